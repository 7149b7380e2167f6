"""What a sync did, as the JSON that scripts rely on and as text for people.

For: ``sync`` and ``restore`` (``document``, ``sync_text``), every command that fails (``failure``,
``failure_text``), and the pieces that the log shows too. Refuses: to print, to colour, to decide;
text from outside reaches a terminal only through :func:`visible`.
"""

from datetime import UTC, datetime

from smki_sync.cli.exits import Exit
from smki_sync.cli.words import block
from smki_sync.errors import ConfigError, SmkiSyncError
from smki_sync.model.lists import ListOutcome
from smki_sync.model.plan import Plan
from smki_sync.model.report import Applied, Attention, Outcome, SyncReport
from smki_sync.model.times import text_of

Json = dict[str, object]
"""One JSON object: text, numbers, booleans, ``None``, lists and objects of these."""


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
        "uncovered": [day.isoformat() for day in plan.uncovered],
        "sources": {extract.name: extract.origin for extract in plan.extracts if extract.origin},
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


def failure_line(error: BaseException, code: Exit) -> str:
    """Give the line of a JSON log that says what failed."""
    word, message, hint = _facts_of(error)
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"time": stamp, "level": "error", "event": "failed"}
    import json  # noqa: PLC0415 - only a log of a failure needs it

    return json.dumps(head | {"code": word, "exit": code.value, "message": message, "hint": hint})


def failure_text(error: BaseException) -> str:
    """Say to people what failed and what to do next, in lines of at most 80 columns."""
    _, message, hint = _facts_of(error)
    # The findings of a configuration are ours and stand one a line; any other line end is from outside.
    first, *more = message.split("\n") if isinstance(error, ConfigError) else [message]
    lines = [*block(f"smki-sync: {first}"), *(line for text in more for line in block(text, indent="  "))]
    return "\n".join((*lines, *block(hint, indent="  ")))


def _facts_of(error: BaseException) -> tuple[str, str, str]:
    if isinstance(error, SmkiSyncError):
        return error.reason, error.message, error.hint
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "interrupted; nothing is half done", "run again"
    what = f"a defect in this program: {type(error).__name__}: {error}"
    return "unexpected", what, "please report it, with what was run and what it said"
