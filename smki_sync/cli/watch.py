"""The command `watch`, and the notice of a sync about our certificates."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Final

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import MirrorOptions, add_command, load_config
from smki_sync.cli.certificate_view import link_in
from smki_sync.cli.check import unproven_document
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import Json, print_json, print_text, schema_of
from smki_sync.config.loader import Config
from smki_sync.errors import UsageError
from smki_sync.lookup.verdicts import why_not
from smki_sync.lookup.watch import (
    WatchNotice,
    WatchState,
    certificate_text,
    days_left,
    read_accepted,
    read_watch,
    revocation_text,
    write_accepted,
)
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import Certificate, open_mirror, read_position
from smki_sync.model.plan import Position
from smki_sync.model.report import Notice, NoticeCode, SyncReport
from smki_sync.text import wrapped

EVERY: Final = "all"
"""The value of --accept for every pending notice."""
_NAMED: Final = 3
"""Notices that the message of a sync contains; `watch` lists all."""


def register_watch(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "watch",
        watch,
        examples=(
            "smki-sync watch",
            "smki-sync watch --accept new:5B2AE084D99682218937EB5A55D99919",
            "smki-sync watch --json",
        ),
    )


def watch(
    *,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="NOTICE", help="Accept this notice, or all; may be repeated."),
    ] = None,
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """Show our certificates and what happened to them.

    Also notices about authorities and revocation lists. Each stays until it is accepted: exit code 3. The
    first run accepts what there is, except certificates and lists that end soon, and revoked authorities with
    In-Use certificates below them. Without [party] in the configuration, only --accept works.
    """
    config = load_config(place)
    now = now_here()
    directory = MirrorDirectory(config.need_mirror())
    parties = config.party.parties() if accept else config.need_parties()
    with open_mirror(link_in(directory.root)) as db:
        state = read_watch(db, directory.watch, parties, now, config.party.warn_days)
        position = read_position(db)
    if accept:
        state = _accept(directory, state, accept)
    if as_json:
        print_json(watch_document(state, position, now))
    else:
        _print_state(state, position, now)
    raise typer.Exit(Exit.ATTENTION if state.pending else Exit.OK)


def _accept(directory: MirrorDirectory, state: WatchState, names: list[str]) -> WatchState:
    """Store the accepted notices; one that does not exist is an error, so that no typing error hides one."""
    pending = {notice.name for notice in state.pending}
    wanted = pending if EVERY in names else set(names)
    unknown = sorted(wanted - {notice.name for notice in state.notices})
    if unknown:
        raise UsageError(f"--accept: there is no notice {unknown[0]!r:.80}.", hint="Run `smki-sync watch`.")
    current = {notice.name for notice in state.notices}
    write_accepted(directory.watch, (wanted | (read_accepted(directory.watch) or frozenset())) & current)
    return replace(state, pending=tuple(notice for notice in state.pending if notice.name not in wanted))


def watch_document(state: WatchState, position: Position, now: datetime) -> Json:
    """Return the document of ``watch --json``."""
    return {
        "schema": schema_of("watch"),
        "outcome": "attention" if state.pending else "current",
        "position": position.day.isoformat(),
        "unproven": unproven_document(position),
        "notices": [_notice_document(notice) for notice in state.pending],
        "certificates": [_certificate_document(c, now) for c in state.certificates],
        "authorities": [_certificate_document(c, now) for c in state.authorities],
    }


def _notice_document(notice: WatchNotice) -> Json:
    return {
        "name": notice.name,
        "code": notice.code.value,
        "message": notice.message,
        "eui": notice.eui,
        "serial": notice.serial,
        "below": notice.below,
    }


def _certificate_document(c: Certificate, now: datetime) -> Json:
    return {
        "eui": c.eui,
        "subject": c.subject,
        "role": c.role,
        "usage": c.usage,
        "serial": c.serial,
        "issuer": c.issuer,
        "not_before": c.not_before,
        "not_after": c.not_after,
        "days_left": days_left(c, now),
        "usable": c.usable,
        "why": why_not(c) or None,
    }


def _print_state(state: WatchState, position: Position, now: datetime) -> None:
    for notice in state.pending:
        print_text("\n".join(wrapped(f"{notice.name}: {notice.message}")), colour="yellow")
    if not state.pending:
        print_text("No notice is pending.", colour="green")
    print_text("\n".join(_certificate_lines(state, now)))
    unproven = f", UNPROVEN since {position.unproven.since}" if position.unproven else ""
    print_text(f"mirror at position {position.day}{unproven}")


def _certificate_lines(state: WatchState, now: datetime) -> Iterator[str]:
    usable = [c for c in state.certificates if c.usable]
    yield f"{len(usable)} of our {len(state.certificates)} certificates are usable:"
    for c in usable:
        left = days_left(c, now)
        ends = "does not expire" if left is None else f"{left:,} days left"
        yield from wrapped(f"{certificate_text(c)}: {ends}{revocation_text(c)}", indent="  ")


def with_party_notice(report: SyncReport, config: Config, now: datetime) -> SyncReport:
    """Return the report of a sync with a notice, if notices about our certificates are pending."""
    directory = MirrorDirectory(config.need_mirror())
    parties = config.party.parties()
    if not parties or report.dry_run or report.position is None:
        return report
    with open_mirror(directory.link) as db:
        state = read_watch(db, directory.watch, parties, now, config.party.warn_days)
    if not state.pending:
        return report
    names = ", ".join(notice.name for notice in state.pending[:_NAMED])
    more = f" and {len(state.pending) - _NAMED} more" if len(state.pending) > _NAMED else ""
    notice = Notice(
        code=NoticeCode.PARTY,
        message=f"Notices about our certificates, authorities or lists: {names}{more}.",
        hint="Run `smki-sync watch`. Accept each notice with `smki-sync watch --accept NOTICE`.",
    )
    return replace(report, attention=(*report.attention, notice))
