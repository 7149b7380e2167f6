"""Options shared by commands; certificate filters."""

from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync.cli.certificate_view import parse_role
from smki_sync.config.file import parse_path
from smki_sync.errors import UsageError
from smki_sync.mirror.queries import CertificateFilter, StatusFilter
from smki_sync.model.certificate import Kind
from smki_sync.model.certificate import Usage as KeyUsage

_PANEL: Final = "Which certificates"

Kinds = Annotated[
    list[Kind] | None,
    typer.Option("--kind", help="Only these; may be repeated.", case_sensitive=False, rich_help_panel=_PANEL),
]
Statuses = Annotated[
    list[str] | None,
    typer.Option(
        "--status",
        metavar="S",
        help="Only these: P, I, N, E, R or their words, or withdrawn; may be repeated.",
        rich_help_panel=_PANEL,
    ),
]
AnyStatus = Annotated[
    bool,
    typer.Option("--any-status", help="Also what is not In-Use, or withdrawn.", rich_help_panel=_PANEL),
]
Usage = Annotated[
    KeyUsage | None,
    typer.Option("--usage", help="Only this key usage.", case_sensitive=False, rich_help_panel=_PANEL),
]
Role = Annotated[
    str | None,
    typer.Option(
        "--role",
        metavar="R",
        help="Only this Remote Party Role, by number or name.",
        rich_help_panel=_PANEL,
    ),
]
Issuer = Annotated[
    str | None,
    typer.Option(
        "--issuer",
        metavar="NAME",
        help="Only of this issuer: its name, or a part of it.",
        rich_help_panel=_PANEL,
    ),
]
ChangedSince = Annotated[
    str | None,
    typer.Option(
        "--changed-since",
        metavar="DATE",
        help="Only what an extract of this date or later brought or changed.",
        rich_help_panel=_PANEL,
    ),
]
ExpiringWithin = Annotated[
    int | None,
    typer.Option(
        "--expiring-within",
        metavar="DAYS",
        min=0,
        max=36_500,
        help="Only what ends within so many days, or has ended.",
        rich_help_panel=_PANEL,
    ),
]

_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86_400
_STANDINGS: Final = {
    word: standing for standing in StatusFilter for word in (standing.value, standing.name.replace("_", "-"))
}
_WORDS: Final = {word.upper(): standing for word, standing in _STANDINGS.items()}


def filter_from_options(
    *,
    kinds: list[Kind] | None,
    statuses: list[str] | None,
    any_status: bool,
    usage: KeyUsage | None,
    role: str | None,
    issuer: str | None,
    changed_since: str | None,
    expiring_within: int | None,
    today: date,
) -> CertificateFilter:
    """What the options ask for; :class:`UsageError` for what cannot be read."""
    if any_status and statuses:
        raise UsageError("--any-status and --status exclude one another", hint="Leave one of them out.")
    return CertificateFilter(
        kinds=tuple(kinds or ()),
        standings=tuple(map(_status_filter, statuses or ())),
        any_status=any_status,
        usage=usage,
        role=parse_role(role),
        issuer=issuer,
        changed_since=None if changed_since is None else parse_date("--changed-since", changed_since),
        ends_before=None if expiring_within is None else _midnight_after(today, expiring_within),
    )


def _midnight_after(today: date, days: int) -> int:
    """The end of the day that is so many days from today, UTC."""
    return (today.toordinal() + days + 1 - _EPOCH) * _DAY_SECONDS


def parse_date(option: str, text: str) -> date:
    """A date as YYYY-MM-DD."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a date has no time zone
    except ValueError as exc:
        raise UsageError(f"{option}: {text!r:.40} is no date", hint="Write YYYY-MM-DD.") from exc


def _status_filter(text: str) -> StatusFilter:
    found = _WORDS.get(text.upper().replace("_", "-").replace(" ", "-"))
    if found is None:
        raise UsageError(
            f"--status: {text!r:.40} is no status",
            hint="One of P, I, N, E, R, or pending, in-use, not-in-use, expired, revoked, withdrawn.",
        )
    return found


_WHERE = "Where things are"
_TALK = "Output"


class LogFormatChoice(StrEnum):
    """How the talk on stderr is written."""

    TEXT = "text"
    JSON = "json"


def _path(text: str) -> Path:
    """Read a path. What may not be read or is not there is left to the command, which says it better."""
    try:
        return parse_path(text)
    except ValueError:
        raise typer.BadParameter("a path is wanted, which is not empty and is UTF-8.") from None


Mirror = Annotated[
    Path | None,
    typer.Option(
        "--mirror", metavar="DIR", help="The mirror directory.", parser=_path, rich_help_panel=_WHERE
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The configuration file.", parser=_path, rich_help_panel=_WHERE
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="URL",
        help="Where extracts come from: sftp://user@host:port/path or file:///directory.",
        rich_help_panel=_WHERE,
    ),
]
IdentityFile = Annotated[
    Path | None,
    typer.Option(
        "--identity-file",
        metavar="FILE",
        help="Private key for the login.",
        parser=_path,
        rich_help_panel=_WHERE,
    ),
]
KnownHosts = Annotated[
    Path | None,
    typer.Option(
        "--known-hosts", metavar="FILE", help="Pinned host keys.", parser=_path, rich_help_panel=_WHERE
    ),
]
Bandwidth = Annotated[
    int | None,
    typer.Option(
        "--bandwidth",
        metavar="BYTES",
        min=0,
        help="Most bytes fetched in a second; 0 is without limit.",
        rich_help_panel=_WHERE,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout, also on failure.", rich_help_panel=_TALK)
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Say only what keeps the mirror from being current.", rich_help_panel=_TALK
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say every detail.", rich_help_panel=_TALK)]
LogFormat = Annotated[
    LogFormatChoice | None,
    typer.Option("--log-format", help="How the talk on stderr is written.", rich_help_panel=_TALK),
]
MaxAge = Annotated[
    float | None,
    typer.Option(
        "--max-age",
        metavar="HOURS",
        min=0,
        help="Stale when the position's date began more than so long ago.",
        show_default="a day more than policy.late_after_days",
    ),
]
