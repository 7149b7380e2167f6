"""Watch our certificates, the authorities and the revocation lists: notices that stay until accepted."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from smki_sync.files import atomic_file
from smki_sync.lookup.verdicts import why_not
from smki_sync.mirror.queries import Certificate, CertificateFilter, Connection, find
from smki_sync.mirror.revocation import count_below_revoked, read_lists
from smki_sync.model.certificate import ROLE_NAMES, Eui, Kind, Usage
from smki_sync.timestamps import text_of, utc
from smki_sync.usability import RevocationState, UnusableReason, UsabilityRule

_VERSION: Final = 1
_MODE: Final = 0o640


class WatchCode(StrEnum):
    """What happened. Codes in JSON and in the names of notices: never rename one."""

    NEW = "new"
    REPLACED = "replaced"
    REVOKED = "revoked"
    WITHDRAWN = "withdrawn"
    NOT_IN_USE = "not-in-use"
    ENDING = "ending"
    AUTHORITY_NEW = "authority-new"
    AUTHORITY_REVOKED = "authority-revoked"
    AUTHORITY_WITHDRAWN = "authority-withdrawn"
    AUTHORITY_NOT_IN_USE = "authority-not-in-use"
    AUTHORITY_ENDING = "authority-ending"
    LIST_ENDING = "list-ending"


class WatchNotice(NamedTuple):
    """``name``: what is passed to --accept. ``below``: In-Use certificates below a revoked authority."""

    name: str
    code: WatchCode
    message: str
    serial: str | None = None
    eui: str | None = None
    below: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchState:
    """Our certificates, the usable ones first, and all notices. ``pending``: those that were not accepted."""

    certificates: tuple[Certificate, ...]
    authorities: tuple[Certificate, ...]
    notices: tuple[WatchNotice, ...]
    pending: tuple[WatchNotice, ...]


def read_watch(
    db: Connection, file: Path, parties: tuple[Eui, ...], now: datetime, warn_days: int
) -> WatchState:
    """Return the state of our certificates.

    At the first call, only notices about ends and about revoked authorities with In-Use certificates below
    them are pending. ``file``: of the accepted notices; it is created by the first call. ``parties``: if
    empty, only notices about authorities and lists.
    """
    rule = UsabilityRule(utc(now))
    ours = tuple(find(db, CertificateFilter(euis=parties, any_status=True), rule)) if parties else ()
    kinds = (Kind.OCA, Kind.DCA)
    authorities = tuple(find(db, CertificateFilter(kinds=kinds, any_status=True), rule))
    limit = utc(now + timedelta(days=warn_days))
    found = (
        *_own_notices(ours, limit),
        *_authority_notices(db, authorities, limit),
        *_list_notices(db, limit),
    )
    accepted = read_accepted(file)
    if accepted is None:
        ends = {WatchCode.ENDING, WatchCode.AUTHORITY_ENDING, WatchCode.LIST_ENDING}
        accepted = frozenset(one.name for one in found if one.code not in ends and not one.below)
        write_accepted(file, accepted)
    pending = tuple(notice for notice in found if notice.name not in accepted)
    return WatchState(
        certificates=tuple(sorted(ours, key=lambda c: (not c.usable, c.not_after))),
        authorities=authorities,
        notices=found,
        pending=pending,
    )


def read_accepted(file: Path) -> frozenset[str] | None:
    """Return the names of accepted notices; ``None`` if there is no file yet."""
    try:
        return frozenset(json.loads(file.read_text("utf-8"))["accepted"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return frozenset()  # a damaged file hides no notice


def write_accepted(file: Path, accepted: Collection[str]) -> None:
    """Replace the file of accepted notices."""
    with atomic_file(file, force=True, mode=_MODE) as stream:
        stream.write(json.dumps({"version": _VERSION, "accepted": sorted(accepted)}, indent=1) + "\n")


def authority_revoked_name(serial: str) -> str:
    """Return the name of the notice about a revoked authority."""
    return f"{WatchCode.AUTHORITY_REVOKED}:{serial}"


def _named(code: WatchCode, message: str, c: Certificate, below: int | None = None) -> WatchNotice:
    return WatchNotice(f"{code}:{c.serial}", code, message, c.serial, c.eui, below)


def _own_notices(ours: Sequence[Certificate], limit: str) -> Iterator[WatchNotice]:
    for c in ours:
        what = certificate_text(c)
        yield _named(WatchCode.NEW, f"New certificate: {what}, first seen {c.first_seen}.", c)
        code = _LOST.get(c.unusable) if c.unusable else None
        if code:
            yield _named(code, f"{what}: {why_not(c)}", c)
        later = [one for one in ours if _replaces(one, c)]
        if later:
            serials = ", ".join(one.serial for one in later)
            yield _named(WatchCode.REPLACED, f"{what}: replaced by {serials}.", c)
        elif code is None and c.in_use and c.not_after <= limit:
            yield _named(WatchCode.ENDING, f"{what}: ends {c.not_after}, and no later one is usable.", c)


_LOST: Final = {
    UnusableReason.REVOKED: WatchCode.REVOKED,
    UnusableReason.WITHDRAWN: WatchCode.WITHDRAWN,
    UnusableReason.NOT_IN_USE: WatchCode.NOT_IN_USE,
}


def _replaces(one: Certificate, c: Certificate) -> bool:
    """Whether a usable certificate is a later one of the same subject, role and usage.

    For key agreement also of the same key: another key can be that of the prepayment certificate.
    """
    same = (one.eui, one.role, one.usage) == (c.eui, c.role, c.usage)
    same_key = c.usage != Usage.KEY_AGREEMENT or one.ski == c.ski
    return same and same_key and one.usable and one.not_before > c.not_before


def certificate_text(c: Certificate) -> str:
    """Return a certificate for people: subject, role, usage and serial number."""
    role = "" if c.role is None else f" {ROLE_NAMES.get(c.role, 'role')} ({c.role})"
    return f"{c.eui or c.subject}{role}{f' {c.usage}' if c.usage else ''} serial {c.serial}"


def _authority_notices(
    db: Connection, authorities: Iterable[Certificate], limit: str
) -> Iterator[WatchNotice]:
    below = {impact.serial: impact.certificates for impact in count_below_revoked(db)}
    lost = {
        UnusableReason.REVOKED: WatchCode.AUTHORITY_REVOKED,
        UnusableReason.ISSUER_REVOKED: WatchCode.AUTHORITY_REVOKED,
        UnusableReason.WITHDRAWN: WatchCode.AUTHORITY_WITHDRAWN,
        UnusableReason.NOT_IN_USE: WatchCode.AUTHORITY_NOT_IN_USE,
    }
    for c in authorities:
        what = f"Authority {c.subject}, serial {c.serial}"
        yield _named(WatchCode.AUTHORITY_NEW, f"{what}: new, first seen {c.first_seen}.", c)
        code = lost.get(c.unusable) if c.unusable else None
        if code:
            number = below.get(c.serial)
            tail = "" if number is None else f" {number:,} In-Use certificates are below it."
            yield _named(code, f"{what}: {why_not(c)}{tail}", c, number)
        elif c.in_use and c.not_after <= limit:
            yield _named(WatchCode.AUTHORITY_ENDING, f"{what}: ends {c.not_after}.", c)


def _list_notices(db: Connection, limit: str) -> Iterator[WatchNotice]:
    for one in read_lists(db):
        if one.next_update is not None and text_of(one.next_update) <= limit:
            name = f"{WatchCode.LIST_ENDING}:{one.file}"  # one acceptance is enough for short-lived lists
            message = f"{one.kind.upper()} {one.file}: its next update is due {text_of(one.next_update)}."
            yield WatchNotice(name, WatchCode.LIST_ENDING, message)


def days_left(c: Certificate, now: datetime) -> int | None:
    """Return whole days until the end of a certificate; ``None`` if it does not expire."""
    if c.not_after.startswith("9999-"):
        return None
    return (datetime.fromisoformat(c.not_after).astimezone(UTC) - now).days


def revocation_text(c: Certificate) -> str:
    """Return a remark if revocation is unknown."""
    return ", revocation unknown" if c.revocation is RevocationState.UNKNOWN else ""
