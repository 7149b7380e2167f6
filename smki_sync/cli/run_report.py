"""The report of a run as text and as JSON."""

from collections.abc import Iterator
from typing import assert_never

from smki_sync.cli.output import Json, schema_of
from smki_sync.model.extract import Extract, ExtractKind, ListOutcome, ListState
from smki_sync.model.plan import Action, Plan
from smki_sync.model.report import AppliedExtract, CertificateCounts, Notice, NoticeCode, Outcome, SyncReport
from smki_sync.text import bytes_text, wrapped
from smki_sync.timestamps import text_of


def sync_text(report: SyncReport) -> str:
    """Return what a run did and what to do next, in at most 80 columns."""
    lines = [*wrapped(_headline(report)), *_facts(report)]
    for notice in report.attention:
        lines += _notice_lines(notice)
    return "\n".join(lines)


def _headline(report: SyncReport) -> str:
    position = f"position {report.position.isoformat()}" if report.position else "empty"
    if report.dry_run:
        return f"Dry run: nothing was changed. {_INTENTION[report.plan.action]} The mirror is at {position}."
    match report.outcome:
        case Outcome.CURRENT:
            return f"The mirror is up to date ({position})."
        case Outcome.BEHIND | Outcome.FAILED:
            return _behind_headline(report, position)
        case _:
            assert_never(report.outcome)


def _behind_headline(report: SyncReport, position: str) -> str:
    codes = {notice.code for notice in report.attention if not notice.code.is_note}
    if codes == {NoticeCode.RECORDS_QUARANTINED}:
        count = report.counts.quarantined
        records = "1 record" if count == 1 else f"{count:,} records"
        return f"The mirror is up to date ({position}), but {records} could not be read."
    if codes == {NoticeCode.REPOSITORY_LATE}:
        return f"There is nothing new to apply: the Repository is late ({position})."
    return f"The mirror is NOT up to date ({position}). See the actions below."


_INTENTION = {
    Action.NONE: "A sync would not read any file.",
    Action.DELTAS: "A sync would apply deltas.",
    Action.FULL: "A sync would rebuild the mirror from a full extract.",
    Action.BLOCKED: "A sync could not bring the mirror up to date.",
}


def _facts(report: SyncReport) -> Iterator[str]:
    yield from _fact("reason", report.plan.reason.words)
    if report.dry_run:
        yield from _fact("would read", _planned_files_text(report.plan))
    elif report.applied:
        yield from _fact("applied", _applied_text(report.applied))
    if report.plan.missing:
        yield from _fact("missing", ", ".join(day.isoformat() for day in report.plan.missing))
    counts = report.counts
    yield from _fact("certificates", f"{counts.total:,}, {counts.in_use:,} In-Use")
    if report.lists:
        yield from _fact("lists", "; ".join(map(_list_text, report.lists)))
    if counts.quarantined:
        yield from _fact("quarantined", f"{counts.quarantined:,}")
    if counts.digest:
        yield from _fact("digest", counts.digest)


def _list_text(outcome: ListOutcome) -> str:
    number = "" if outcome.number is None else f" number {outcome.number}"
    changed = [f"{outcome.revoked:,} revoked"] * bool(outcome.revoked)
    changed += [f"{outcome.unrevoked:,} no longer revoked"] * bool(outcome.unrevoked)
    return ", ".join([f"{outcome.kind.upper()}{number} {_LIST_STATES[outcome.state]}", *changed])


_LIST_STATES = {
    ListState.APPLIED: "applied",
    ListState.IN_FORCE: "in force",
    ListState.REFUSED: "REJECTED",
}


def _fact(name: str, text: str) -> list[str]:
    return wrapped(f"{name:<13} {text}", indent="  ", hanging=14)


def files_text(files: tuple[Extract, ...]) -> str:
    """Return files for people: a full extract by its name, deltas by their number and dates."""
    fulls = [x.name for x in files if x.kind is ExtractKind.FULL]
    days = sorted(x.day.isoformat() for x in files if x.kind is ExtractKind.DELTA)
    spans = [f"{len(days)} deltas, {days[0]} to {days[-1]}"] if len(days) > 1 else []
    single = [f"the delta of {days[0]}"] if len(days) == 1 else []
    return " and ".join(fulls + spans + single)


def _planned_files_text(plan: Plan) -> str:
    size = sum(extract.size for extract in plan.extracts)
    return f"{files_text(plan.extracts)}; {bytes_text(size)} in total" if plan.extracts else "nothing"


def _applied_text(applied: tuple[AppliedExtract, ...]) -> str:
    size = bytes_text(sum(a.bytes for a in applied))
    return f"{len(applied)} file{'s' * (len(applied) > 1)}, {size}, {counts_text(applied)}"


def counts_text(applied: tuple[AppliedExtract, ...]) -> str:
    """Return the total of the counts of files, without those that are 0."""
    total = {name: sum(getattr(a.counts, name) for a in applied) for name in ("records", *_COUNTS)}
    counts = ", ".join(f"{total[name]:,} {word}" for name, word in _COUNTS.items() if total[name])
    return f"{total['records']:,} records{': ' if counts else ''}{counts}"


_COUNTS = {
    "inserted": "new",
    "updated": "changed",
    "unchanged": "unchanged",
    "withdrawn": "withdrawn",
    "quarantined": "quarantined",
}


def _notice_lines(notice: Notice) -> Iterator[str]:
    yield from wrapped(f"{level_text(notice)} {notice.code.value}: {notice.message}")
    yield from wrapped(notice.hint, indent="  ")


def level_text(notice: Notice) -> str:
    """Return the level of a notice for people."""
    return "note" if notice.code.is_note else "ATTENTION"


def document(report: SyncReport, *, command: str = "sync") -> Json:
    """Return the document of ``sync --json``; ``restore`` uses it under its own name."""
    return {
        "schema": schema_of(command),
        "outcome": report.outcome.value,
        "dry_run": report.dry_run,
        "plan": plan_document(report.plan),
        "position": report.position.isoformat() if report.position else None,
        "applied": [applied_document(applied) for applied in report.applied],
        "certificates": {"total": report.counts.total, "in_use": report.counts.in_use},
        "quarantined": report.counts.quarantined,
        "unproven": unproven_document(report.counts),
        "digest": report.counts.digest,
        "attention": [notice_document(notice) for notice in report.attention],
        "lists": [list_document(outcome) for outcome in report.lists],
    }


def unproven_document(counts: CertificateCounts) -> Json | None:
    """Give why the mirror is unproven as JSON; ``None`` if it is proven."""
    unproven = counts.unproven
    if unproven is None:
        return None
    missing = [day.isoformat() for day in unproven.missing]
    return {"since": unproven.since.isoformat(), "missing": missing}


def list_document(outcome: ListOutcome) -> Json:
    """Return what was done with an ARL or CRL; its number is text, because it may have 20 bytes."""
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
    """Return a plan as JSON; ``deltas`` are all deltas it reads, in order, those of ``overlap`` first."""
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
    """Return one applied file as JSON; counts in certificates, ``seconds`` with 3 decimals."""
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


def notice_document(notice: Notice) -> Json:
    """Return one notice as JSON; ``level`` is ``note`` if the mirror is up to date in spite of it."""
    return {
        "code": notice.code.value,
        "level": "note" if notice.code.is_note else "attention",
        "message": notice.message,
        "hint": notice.hint,
    }
