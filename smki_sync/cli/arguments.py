"""The filters that ``find`` and ``export`` share: each option once, and what they ask for together.

For: annotations, and :func:`wanted_of`. Refuses: to guess: what is no date, status or role says so.
"""

from datetime import date, datetime
from typing import Annotated, Final

import typer

from smki_sync.cli.identities import parse_role
from smki_sync.errors import UsageError
from smki_sync.mirror.queries import Standing, Wanted
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
    word: standing for standing in Standing for word in (standing.value, standing.name.replace("_", "-"))
}
_WORDS: Final = {word.upper(): standing for word, standing in _STANDINGS.items()}


def wanted_of(
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
) -> Wanted:
    """What the options ask for; :class:`UsageError` for what cannot be read."""
    if any_status and statuses:
        raise UsageError("--any-status and --status exclude one another", hint="Leave one of them out.")
    return Wanted(
        kinds=tuple(kinds or ()),
        standings=tuple(map(_standing, statuses or ())),
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


def _standing(text: str) -> Standing:
    found = _WORDS.get(text.upper().replace("_", "-").replace(" ", "-"))
    if found is None:
        raise UsageError(
            f"--status: {text!r:.40} is no status",
            hint="One of P, I, N, E, R, or pending, in-use, not-in-use, expired, revoked, withdrawn.",
        )
    return found
