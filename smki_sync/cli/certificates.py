"""One certificate for people: who, what for, usable or not and why, since when, from which file.

For: ``show``. Refuses: to decide anything; text from certificates reaches a terminal only through
:func:`~smki_sync.cli.words.visible`.
"""

from datetime import datetime
from typing import Final

from smki_sync.mirror.queries.row import Certificate
from smki_sync.model.certificate import ROLE_NAMES, Status, Usage
from smki_sync.text import block, visible

_USAGES: Final = {Usage.DIGITAL_SIGNING: "digital signing", Usage.KEY_AGREEMENT: "key agreement"}
_STATUSES: Final = {status.value: status.words for status in Status}
_INDENT: Final = "  "
_HANGING: Final = 12
"""Where the second line of a fact begins: below the first."""
_NEVER: Final = "9999-12-31"
"""The date by which a certificate says that it has no end (RFC 5280 4.1.2.5)."""


def headline(c: Certificate) -> str:
    """Who it is, and what for."""
    role = "" if c.role is None else f", {ROLE_NAMES.get(c.role, 'role')} ({c.role})"
    usage = f", {_USAGES[Usage(c.usage)]}" if c.usage else ""
    return f"{c.eui or visible(c.subject) or 'no name'}  {c.kind}{role}{usage}"


def is_usable(c: Certificate, now: datetime) -> bool:
    """Whether it is In-Use and within its validity; no signature is looked at."""
    return c.in_use and c.not_before <= _text(now) <= c.not_after


def standing(c: Certificate, now: datetime) -> str:
    """Whether it may be used, and if not, why not and since when."""
    if c.in_use and c.not_after < _text(now):
        return f"NOT usable: In-Use, but its validity ended {c.not_after}"
    if c.in_use and c.not_before > _text(now):
        return f"NOT usable: In-Use, but its validity begins {c.not_before}"
    if c.in_use:
        return f"In-Use, unchanged since {c.last_changed}"
    if c.revoked:
        why = f": {c.revocation_reason}" if c.revocation_reason else ""
        return f"NOT In-Use: revoked since {c.revoked} by {c.revoked_by}{why}"
    if c.withdrawn:
        return f"NOT In-Use: withdrawn, no longer listed by the full of {c.withdrawn}"
    return f"NOT In-Use: status {_STATUSES[c.status]} ({c.status}) since {c.last_changed}"


def facts(c: Certificate) -> list[str]:
    """Everything else, one fact a line."""
    ends = "without end" if c.not_after.startswith(_NEVER) else f"to {c.not_after}"
    changed = "" if c.last_changed == c.first_seen else f", last changed {c.last_changed}"
    pairs = (
        ("serial", c.serial),
        ("issuer", c.issuer),
        ("subject", c.subject),
        ("valid", f"{c.not_before} {ends}"),
        ("key id", c.ski or "none in the certificate"),
        ("first seen", f"{c.first_seen}{changed}"),
        ("file", c.file),
        ("flags", ", ".join(c.flags.codes)),
    )
    return [line for name, value in pairs if value for line in _fact(name, value)]


def _fact(name: str, value: str) -> list[str]:
    return block(f"{name:<{_HANGING - 1}} {value}", indent=_INDENT, hanging=_HANGING)


def _text(moment: datetime) -> str:
    """A time as the mirror writes it: such texts compare as the times do."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
