"""What a sync did, as the JSON that scripts rely on.

For: ``sync`` and ``restore`` (``document``), and the pieces that the log shows too. Refuses: to print, to
colour, to decide.
"""

from smki_sync.cli.documents import Json, schema_of
from smki_sync.model.lists import ListOutcome
from smki_sync.model.plan import Plan
from smki_sync.model.report import Applied, Attention, SyncReport
from smki_sync.timestamps import text_of


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
