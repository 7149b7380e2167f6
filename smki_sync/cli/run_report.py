"""A SyncReport as text and as JSON."""

from collections.abc import Iterator
from typing import assert_never

from smki_sync.cli.output import Json, schema_of
from smki_sync.model.extract import Extract, ExtractKind, ListOutcome, ListState
from smki_sync.model.plan import Action, Plan
from smki_sync.model.report import AppliedExtract, Notice, Outcome, SyncReport
from smki_sync.text import bytes_text, wrapped
from smki_sync.timestamps import text_of


def sync_text(report: SyncReport) -> str:
    """Say what a sync did, to what, and what to do next, in at most 80 columns."""
    lines = [*wrapped(_headline(report)), *_facts(report)]
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
    return wrapped(f"{name:<13} {text}", indent="  ", hanging=14)


def files_text(files: tuple[Extract, ...]) -> str:
    """Name files as people do: a full by its name, deltas by how many and from when to when."""
    fulls = [x.name for x in files if x.kind is ExtractKind.FULL]
    days = sorted(x.day.isoformat() for x in files if x.kind is ExtractKind.DELTA)
    spans = [f"{len(days)} deltas, {days[0]} to {days[-1]}"] if len(days) > 1 else []
    ones = [f"the delta of {days[0]}"] if len(days) == 1 else []
    return " and ".join(fulls + spans + ones)


def _to_read(plan: Plan) -> str:
    size = sum(extract.size for extract in plan.extracts)
    return f"{files_text(plan.extracts)}; {bytes_text(size)} in all" if plan.extracts else "nothing"


def _done(applied: tuple[AppliedExtract, ...]) -> str:
    size = bytes_text(sum(a.bytes for a in applied))
    return f"{len(applied)} file{'s' * (len(applied) > 1)}, {size}, {counts_text(applied)}"


def counts_text(applied: tuple[AppliedExtract, ...]) -> str:
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


def _attention_lines(attention: Notice) -> Iterator[str]:
    mark = "note" if attention.code.is_note else "ATTENTION"
    yield from wrapped(f"{mark} {attention.code.value}: {attention.message}")
    yield from wrapped(attention.hint, indent="  ")


def document(report: SyncReport, *, command: str = "sync") -> Json:
    """Give the document of ``sync --json``; ``restore`` shares it under its own name."""
    return {
        "schema": schema_of(command),
        "outcome": report.outcome.value,
        "dry_run": report.dry_run,
        "plan": plan_document(report.plan),
        "position": report.position.isoformat() if report.position else None,
        "applied": [applied_document(applied) for applied in report.applied],
        "certificates": {"total": report.census.total, "in_use": report.census.in_use},
        "quarantined": report.census.quarantined,
        "digest": report.census.digest,
        "attention": [attention_document(attention) for attention in report.attention],
        "lists": [list_document(outcome) for outcome in report.lists],
    }


def list_document(outcome: ListOutcome) -> Json:
    """Give what became of an ARL or CRL on offer; its number as text, for it may have 20 octets."""
    times = {"this_update": outcome.this_update, "next_update": outcome.next_update}
    return {
        "file": outcome.file,
        "kind": outcome.kind.value,
        "state": outcome.state.value,
        "code": outcome.code,
        "issuer": outcome.issuer,
        "number": None if outcome.number is None else str(outcome.number),
        **{name: None if at is None else text_of(at) for name, at in times.items()},
        "entries": outcome.entries,
        "revoked": outcome.revoked,
        "unrevoked": outcome.unrevoked,
    }


def plan_document(plan: Plan) -> Json:
    """Give a plan as JSON: ``deltas`` are all that it reads, in order, those of ``overlap`` first."""
    overlap = [extract.name for extract in plan.overlap]
    return {
        "action": plan.action.value,
        "reason": plan.reason.value,
        "full": plan.full.name if plan.full else None,
        "deltas": overlap + [extract.name for extract in plan.deltas],
        "overlap": overlap,
        "missing": [day.isoformat() for day in plan.missing],
        "uncovered": [day.isoformat() for day in plan.unproven],
        "sources": {extract.name: extract.origin for extract in plan.extracts if extract.origin},
    }


def applied_document(applied: AppliedExtract) -> Json:
    """Give one applied file as JSON; counts in certificates, ``seconds`` to the millisecond."""
    counts = applied.counts
    return {
        "file": applied.file,
        "kind": applied.kind.value,
        "records": counts.records,
        "inserted": counts.inserted,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "withdrawn": counts.withdrawn,
        "quarantined": counts.quarantined,
        "bytes": applied.bytes,
        "seconds": round(applied.seconds, 3),
        "sha256": applied.sha256,
    }


def attention_document(attention: Notice) -> Json:
    """Give one thing to know as JSON; ``level`` is ``note`` where the mirror is current all the same."""
    return {
        "code": attention.code.value,
        "level": "note" if attention.code.is_note else "attention",
        "message": attention.message,
        "hint": attention.hint,
    }
