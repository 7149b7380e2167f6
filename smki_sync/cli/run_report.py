"""What a sync did, for people: a headline, some facts in a column, what needs attention.

For: stdout of ``sync`` without ``--json``. What each file did is told as it happens, on stderr.
Refuses: to print, to colour, to decide.
"""

from collections.abc import Iterator
from typing import assert_never

from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.lists import ListOutcome, ListState
from smki_sync.model.plan import Action, Plan
from smki_sync.model.report import Applied, Attention, Outcome, SyncReport
from smki_sync.text import block, in_bytes


def sync_text(report: SyncReport) -> str:
    """Say what a sync did, to what, and what to do next, in at most 80 columns."""
    lines = [*block(_headline(report)), *_facts(report)]
    for attention in report.attention:
        lines += _attention_lines(attention)
    return "\n".join(lines)


def _headline(report: SyncReport) -> str:
    reached = f"as of {report.position.isoformat()}" if report.position else "still empty"
    if report.dry_run:
        return f"Dry run, nothing was changed. {_INTENTION[report.plan.action]} The mirror is {reached}."
    match report.outcome:
        case Outcome.CURRENT:
            return f"The mirror is current, {reached}."
        case Outcome.BEHIND | Outcome.FAILED:
            return f"The mirror is NOT current, {reached}; what to do stands below."
        case _:
            assert_never(report.outcome)


_INTENTION = {
    Action.NONE: "A sync would read no file.",
    Action.DELTAS: "A sync would apply deltas.",
    Action.FULL: "A sync would build the mirror anew from a full.",
    Action.BLOCKED: "A sync could not make the mirror current.",
}


def _facts(report: SyncReport) -> Iterator[str]:
    yield from _fact("why", report.plan.reason.words)
    if report.dry_run:
        yield from _fact("would read", _to_read(report.plan))
    elif report.applied:
        yield from _fact("applied", _done(report.applied))
    if report.plan.missing:
        yield from _fact("missing", ", ".join(day.isoformat() for day in report.plan.missing))
    census = report.census
    yield from _fact("certificates", f"{census.total:,}, of them {census.in_use:,} In-Use")
    if report.lists:
        yield from _fact("lists", "; ".join(map(_list_text, report.lists)))
    if census.quarantined:
        yield from _fact("quarantined", f"{census.quarantined:,}")
    if census.digest:
        yield from _fact("digest", census.digest)


def _list_text(outcome: ListOutcome) -> str:
    number = "" if outcome.number is None else f" number {outcome.number}"
    moved = [f"{outcome.revoked:,} revoked"] * bool(outcome.revoked)
    moved += [f"{outcome.unrevoked:,} revoked no longer"] * bool(outcome.unrevoked)
    return ", ".join([f"{outcome.kind.upper()}{number} {_LIST_STATES[outcome.state]}", *moved])


_LIST_STATES = {
    ListState.APPLIED: "applied",
    ListState.IN_FORCE: "in force",
    ListState.REFUSED: "REFUSED",
}


def _fact(name: str, text: str) -> list[str]:
    return block(f"{name:<13} {text}", indent="  ", hanging=14)


def files_text(files: tuple[Extract, ...]) -> str:
    """Name files as people do: a full by its name, deltas by how many and from when to when."""
    fulls = [x.name for x in files if x.kind is ExtractKind.FULL]
    days = sorted(x.day.isoformat() for x in files if x.kind is ExtractKind.DELTA)
    spans = [f"{len(days)} deltas, {days[0]} to {days[-1]}"] if len(days) > 1 else []
    ones = [f"the delta of {days[0]}"] if len(days) == 1 else []
    return " and ".join(fulls + spans + ones)


def _to_read(plan: Plan) -> str:
    size = sum(extract.size for extract in plan.extracts)
    return f"{files_text(plan.extracts)}; {in_bytes(size)} in all" if plan.extracts else "nothing"


def _done(applied: tuple[Applied, ...]) -> str:
    size = in_bytes(sum(a.bytes for a in applied))
    return f"{len(applied)} file{'s' * (len(applied) > 1)}, {size}, {counts_text(applied)}"


def counts_text(applied: tuple[Applied, ...]) -> str:
    """Say what files did, together; what is zero is not said."""
    total = {name: sum(getattr(a.counts, name) for a in applied) for name in ("records", *_COUNTS)}
    counts = ", ".join(f"{total[name]:,} {word}" for name, word in _COUNTS.items() if total[name])
    return f"{total['records']:,} records{': ' if counts else ''}{counts}"


_COUNTS = {
    "inserted": "new",
    "updated": "changed",
    "unchanged": "as before",
    "withdrawn": "withdrawn",
    "quarantined": "quarantined",
}


def _attention_lines(attention: Attention) -> Iterator[str]:
    mark = "note" if attention.code.is_note else "ATTENTION"
    yield from block(f"{mark} {attention.code.value}: {attention.message}")
    yield from block(attention.hint, indent="  ")
