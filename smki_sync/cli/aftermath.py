"""After a run: whoever watches is told, by metrics and by hooks.

For: every recorded run, failed ones too. Refuses: to make a run fail; what went wrong here is a note.
"""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from smki_sync import __version__
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import exit_of
from smki_sync.cli.failing import failure
from smki_sync.cli.render import document
from smki_sync.cli.status import hours_of, survey
from smki_sync.config.whole import Config
from smki_sync.hooks import call_hook
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.history import Run
from smki_sync.model.report import Attention, AttentionCode, Outcome, SyncReport
from smki_sync.status import freshness_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that has ended: with a report, or with an error."""

    run: Run
    report: SyncReport | None = None
    error: BaseException | None = None


def tell(settings: Config, ended: Ended) -> tuple[Attention, ...]:
    """Write the metrics, call the hooks; what could not be done."""
    return (*_metrics(settings, ended), *_hooks(settings, ended))


def _metrics(settings: Config, ended: Ended) -> tuple[Attention, ...]:
    path = settings.metrics.textfile
    if path is None:
        return ()
    try:
        _write(path, settings, ended)
    except Exception as error:  # noqa: BLE001 - a run never fails because it cannot be told
        why = (isinstance(error, OSError) and error.strerror) or error
        return (
            Attention(
                code=AttentionCode.METRICS_NOT_WRITTEN,
                message=f"The metrics could not be written to {path}: {why}.",
                hint="Let the user that runs smki-sync write there, or configure another metrics.textfile.",
            ),
        )
    return ()


def _write(path: Path, settings: Config, ended: Ended) -> None:
    from smki_sync.monitoring import Snapshot, write_metrics  # noqa: PLC0415 - loads what few configure

    now, run, report = now_here(), ended.run, ended.report
    directory = MirrorDirectory(settings.need_mirror())
    found = survey(directory, now=now, max_age=hours_of(None, settings))
    fresh = freshness_of(
        directory, position=found.position, window_days=settings.policy.window_days, today=now.date()
    )
    census, applied = found.census, report.applied if report else ()
    snapshot = Snapshot(
        version=__version__,
        command=run.command,
        began=datetime.fromisoformat(run.at),
        seconds=run.seconds,
        exit=run.exit,
        outcome=run.outcome,
        reason=run.reason,
        success=_moment(found.last_success.at if found.last_success else None),
        looked=_moment(fresh.looked),
        position=found.position,
        days_left=fresh.days_left,
        total=census.total if census else None,
        in_use=census.in_use if census else None,
        by_status=census.by_status if census else {},
        quarantined=census.quarantined if census else None,
        mirror_bytes=found.bytes if census else None,
        applied=Counter(one.kind.value for one in applied),
        applied_bytes=sum(one.bytes for one in applied),
        attention=Counter(one.code.value for one in report.attention) if report else {},
    )
    write_metrics(path, snapshot)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _hooks(settings: Config, ended: Ended) -> tuple[Attention, ...]:
    """Call what is configured for this end; an updated mirror that is behind calls two."""
    hooks, report, text = settings.hooks, ended.report, _document(ended)
    due = {
        "on_updated": hooks.on_updated if report and report.applied else (),
        "on_attention": hooks.on_attention if report and report.outcome is Outcome.BEHIND else (),
        "on_failed": hooks.on_failed if ended.error else (),
    }
    notes = []
    for name, words in due.items():
        with suppress(KeyboardInterrupt):  # the run has ended; how it ended is not changed by a hook
            fault = call_hook(words, text, seconds=hooks.timeout_seconds) if words else None
            if fault:
                notes.append(_hook_failed(name, fault))
    return tuple(notes)


def _document(ended: Ended) -> str:
    if ended.report:
        made = document(ended.report, command=ended.run.command)
    else:
        assert ended.error is not None  # a run ends with one or the other
        made = failure(ended.run.command, ended.error, exit_of(ended.error))
    return json.dumps(made, indent=2) + "\n"


def _hook_failed(name: str, fault: str) -> Attention:
    return Attention(
        code=AttentionCode.HOOK_FAILED,
        message=f"The hook hooks.{name} failed: {fault}.",
        hint="The run is not touched by that. Run the command by hand with the JSON document on its stdin.",
    )
