"""Events in words: one line each, whatever stands in the names.

For: talk for people. Refuses: to pass text from outside to a terminal as it is.
"""

from typing import assert_never

from smki_sync.cli.run_report import counts_text, files_text
from smki_sync.cli.talk.pace import Progress, Speed
from smki_sync.events import (
    Building,
    Checking,
    Committed,
    Detail,
    Fetching,
    Listing,
    Noted,
    Planned,
    Reading,
    Restarted,
    Resumed,
    Retrying,
    Troubled,
    Verifying,
    Waiting,
)
from smki_sync.model.plan import Action, Plan
from smki_sync.model.report import Applied, Attention
from smki_sync.text import in_bytes, in_time, visible

Said = Listing | Planned | Troubled | Building | Checking | Committed | Noted | Detail
"""Events that are said once, as a line."""


def doing(event: Progress) -> str:
    """Say what is done to which file."""
    match event:
        case Fetching():
            return f"fetching {visible(event.file)}"
        case Reading():
            return f"reading {visible(event.file)}"
        case Verifying():
            return f"verifying {visible(event.file)}"
        case _:
            assert_never(event)


def amount_text(event: Progress) -> str:
    """Say how much there is: of bytes to fetch in all, of records read so far."""
    match event:
        case Fetching():
            return f"of {in_bytes(event.size)}"
        case Reading():
            return f"{event.records:,} records"
        case Verifying():
            return f"of {event.size:,} certificates"
        case _:
            assert_never(event)


def rate_text(event: Progress, speed: Speed) -> str:
    """Say how fast it goes, in bytes or in records a second."""
    match event:
        case Fetching():
            return f"{in_bytes(speed.octets)}/s"
        case Reading():
            return f"{speed.records:,.0f} records/s"
        case Verifying():
            return f"{speed.octets:,.0f} certificates/s"
        case _:
            assert_never(event)


def progress_text(event: Progress, speed: Speed) -> str:
    """Say in one line how far a phase is: file, share, amount, rate, time left."""
    share = f"{100 * event.done / event.size:.0f} % " if event.size else ""
    left = f", {in_time(speed.left)} left" if speed.left is not None else ""
    return f"{doing(event)}: {share}{amount_text(event)}, {rate_text(event, speed)}{left}"


def event_text(event: Said) -> str:
    """Say one event in one line; text from outside is made visible."""
    match event:
        case Listing():
            text = f"asking {event.source} what it offers"
        case Planned():
            text = _plan_text(event.plan)
        case Resumed() | Restarted() | Retrying() | Waiting():
            text = _trouble_text(event)
        case Building():
            text = f"finishing {event.file}: {event.step}"
        case Checking():
            text = f"checking {event.file}: {event.step}"
        case Committed():
            text = _applied_text(event.applied)
        case Noted():
            text = _attention_text(event.attention)
        case Detail():
            text = event.text
        case _:
            assert_never(event)
    return visible(text)


def _trouble_text(event: Troubled) -> str:
    match event:
        case Resumed():
            return f"going on with {event.file} at {in_bytes(event.done)} of {in_bytes(event.size)}"
        case Restarted():
            return f"fetching {event.file} from its beginning: {event.why}"
        case Retrying():
            tries = f"attempt {event.failed} of {event.attempts}"
            return f"{event.message} ({event.code}, {tries}); trying again in {in_time(event.pause)}"
        case Waiting():
            return f"{event.message}; looking again in {in_time(event.pause)}"
        case _:
            assert_never(event)


def _plan_text(plan: Plan) -> str:
    files = files_text(plan.extracts)
    return f"{_ACTIONS[plan.action]}: {plan.reason.words} ({plan.reason}){'; ' if files else ''}{files}"


_ACTIONS = {
    Action.NONE: "nothing to do",
    Action.DELTAS: "to apply",
    Action.FULL: "to build anew",
    Action.BLOCKED: "blocked",
}


def _applied_text(applied: Applied) -> str:
    lasted = f", in {in_time(applied.seconds)}" if applied.seconds >= 1 else ""
    return f"applied {applied.file}: {counts_text((applied,))}{lasted}"


def _attention_text(attention: Attention) -> str:
    mark = "note" if attention.code.is_note else "ATTENTION"
    hint = f" - {attention.hint}" if attention.hint else ""
    return f"{mark} {attention.code}: {attention.message}{hint}"
