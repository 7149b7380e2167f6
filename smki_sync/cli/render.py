"""What a sync did, as the JSON that scripts rely on and as text for people.

For: ``sync`` and ``restore`` (``document``, ``sync_text``), every command that fails (``failure``,
``failure_text``), and the pieces that the log shows too. Refuses: to print, to colour, to decide;
text from outside reaches a terminal only through :func:`visible`.
"""

import textwrap
from collections.abc import Iterable, Iterator
from typing import assert_never

from smki_sync.cli.exits import Exit
from smki_sync.errors import ConfigError, SmkiSyncError
from smki_sync.model.plan import Action, Plan
from smki_sync.model.report import Applied, Attention, Outcome, SyncReport

Json = dict[str, object]
"""One JSON object: text, numbers, booleans, ``None``, lists and objects of these."""

COLUMNS = 80
"""Width of text for people: the narrowest terminal in use, and what a cron mail shows unwrapped."""


def schema_of(command: str) -> str:
    """Name the schema of a command's document; the number grows only if a field goes or changes."""
    return f"smki-sync/{command}/1"


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
        "uncovered": [day.isoformat() for day in plan.uncovered],
    }


def applied_document(applied: Applied) -> Json:
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


def attention_document(attention: Attention) -> Json:
    """Give one thing to know as JSON; ``level`` is ``note`` where the mirror is current all the same."""
    return {
        "code": attention.code.value,
        "level": "note" if attention.code.is_note else "attention",
        "message": attention.message,
        "hint": attention.hint,
    }


def failure(command: str, error: BaseException, code: Exit) -> Json:
    """Give the document of any command that failed; ``error.code`` is the stable word of the tree."""
    word, message, hint = _facts_of(error)
    return {
        "schema": schema_of(command),
        "outcome": Outcome.FAILED.value,
        "error": {"code": word, "exit": code.value, "message": message, "hint": hint},
    }


def failure_text(error: BaseException) -> str:
    """Say to people what failed and what to do next, in lines of at most 80 columns."""
    _, message, hint = _facts_of(error)
    # The findings of a configuration are ours and stand one a line; any other line end is from outside.
    first, *more = message.split("\n") if isinstance(error, ConfigError) else [message]
    lines = [*_block(f"smki-sync: {first}"), *(line for text in more for line in _block(text, indent="  "))]
    return "\n".join((*lines, *_block(hint, indent="  ")))


def _facts_of(error: BaseException) -> tuple[str, str, str]:
    if isinstance(error, SmkiSyncError):
        return error.reason, error.message, error.hint
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "interrupted; nothing is half done", "run again"
    what = f"a defect in this program: {type(error).__name__}: {error}"
    return "unexpected", what, "please report it, with what was run and what it said"


def sync_text(report: SyncReport) -> str:
    """Say to people what a sync did, to what, and what to do next, in at most 80 columns."""
    lines = [*_block(_headline(report)), *_block(f"Why: {report.plan.reason.words}.")]
    lines += _to_read(report.plan) if report.dry_run else _applied_lines(report.applied)
    if report.plan.missing:
        days = ", ".join(day.isoformat() for day in report.plan.missing)
        lines += _block(f"Missing deltas: {days}", indent="  ")
    lines += _census_lines(report)
    for attention in report.attention:
        lines += _attention_lines(attention)
    return "\n".join(lines)


def _headline(report: SyncReport) -> str:
    at = f"at {report.position.isoformat()}" if report.position else "still empty"
    if report.dry_run:
        return f"Dry run, nothing was changed. {_INTENTION[report.plan.action]} The mirror is {at}."
    match report.outcome:
        case Outcome.CURRENT:
            return f"The mirror is current, {at}. Nothing to do."
        case Outcome.BEHIND | Outcome.FAILED:
            return f"The mirror is NOT current, {at}. It can be used; see below."
        case _:
            assert_never(report.outcome)


_INTENTION = {
    Action.NONE: "A sync would read no file.",
    Action.DELTAS: "A sync would apply deltas.",
    Action.FULL: "A sync would build the mirror anew from a full.",
    Action.BLOCKED: "A sync could not make the mirror current.",
}


def _to_read(plan: Plan) -> Iterator[str]:
    for extract in plan.extracts:
        yield from _block(f"would read {extract.name}, {in_bytes(extract.size)}", indent="  ")


def _applied_lines(applied: Iterable[Applied]) -> Iterator[str]:
    for one in applied:
        counts = one.counts
        yield from _block(f"{one.kind.value} {one.file}", indent="  ")
        yield from _block(
            f"{counts.records:,} records: {counts.inserted:,} new, {counts.updated:,} changed,"
            f" {counts.unchanged:,} as before, {counts.withdrawn:,} withdrawn,"
            f" {counts.quarantined:,} quarantined; {in_bytes(one.bytes)} in {in_time(one.seconds)}",
            indent="    ",
        )


def _census_lines(report: SyncReport) -> Iterator[str]:
    census = report.census
    yield from _block(
        f"It holds {census.total:,} certificates, {census.in_use:,} of them In-Use;"
        f" {census.quarantined:,} records are in quarantine."
    )
    if census.digest:
        yield from _block(f"Digest {census.digest}")


def _attention_lines(attention: Attention) -> Iterator[str]:
    mark = "note" if attention.code.is_note else "ATTENTION"
    yield from _block(f"{mark} {attention.code.value}: {attention.message}")
    yield from _block(attention.hint, indent="  ")


def _block(text: str, *, indent: str = "") -> list[str]:
    """Lay one paragraph out in lines that fit; names are not cut at their hyphens."""
    return textwrap.wrap(
        visible(text),
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )


def visible(text: str) -> str:
    """Give text that is safe on a terminal: whatever does not print stands as its escape.

    Control characters, direction overrides, lone surrogates and line ends are all written out.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000
_SIXTY = 60


def in_bytes(count: float) -> str:
    """Write a number of bytes for people, in powers of 1000: ``16.2 GB``."""
    for unit in _UNITS:
        if count < _STEP or unit == _UNITS[-1]:
            break
        count /= _STEP
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def in_time(seconds: float) -> str:
    """Write a duration in seconds for people: ``0.4 s``, ``12 min``, ``3 h 05 min``."""
    if round(seconds, 1) < _SIXTY:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / _SIXTY), _SIXTY)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
