"""The rule that says whether a certificate is usable at a time, and if not, why not.

Every answer uses it: ``show``, ``find``, exports, JSON, the Python API and, as SQL, the view
``certificates``. A certificate is usable at T if it is In-Use, notBefore <= T <= notAfter, no list in force
revokes it, no authority above it is revoked, and no signature in its chain is false. Imports nothing slow,
because lookups use it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, TypeVar

from smki_sync.model.certificate import Kind, Status
from smki_sync.timestamps import utc


class UnusableReason(StrEnum):
    """Why a certificate is not usable. The first one that applies is reported. Never rename one.

    ``SIGNATURE_FALSE``: only where the chain was checked. Certificates whose signature was false when they
    arrived are in the quarantine, and are not served.
    """

    REVOKED = "revoked"
    WITHDRAWN = "withdrawn"
    NOT_IN_USE = "not-in-use"
    ISSUER_REVOKED = "issuer-revoked"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    REVOCATION_UNKNOWN = "revocation-unknown"
    SIGNATURE_FALSE = "signature-false"


class RevocationState(StrEnum):
    """Whether a certificate is revoked, as far as lists and its status tell."""

    REVOKED = "revoked"
    NOT_REVOKED = "not-revoked"
    UNKNOWN = "unknown"


class StaleLists(StrEnum):
    """What to do with a certificate if no list in force tells whether it is revoked.

    ``REPORT``: the answer says so. ``REFUSE``: it is also not usable.
    """

    REPORT = "report"
    REFUSE = "refuse"


class CertificateState(Protocol):
    """What the rule needs to know. Times are ISO 8601, UTC, with ``Z``.

    ``revocation_until``: latest nextUpdate of the complete lists in force of its issuer. ``None``: there
    is no such list.
    """

    @property
    def kind(self) -> str:
        """Return the kind."""

    @property
    def status(self) -> str:
        """Return the last status in the Repository."""

    @property
    def withdrawn(self) -> str | None:
        """Return the date of the full that first did not list it."""

    @property
    def revoked(self) -> str | None:
        """Return since when a list in force revokes it."""

    @property
    def revoked_by(self) -> str | None:
        """Return the name of that list."""

    @property
    def revocation_reason(self) -> str | None:
        """Return the reason that the list gives."""

    @property
    def issuer(self) -> str:
        """Return the name of the issuer."""

    @property
    def issuer_revoked(self) -> str | None:
        """Return since when an authority above it is revoked."""

    @property
    def revoked_authority(self) -> str | None:
        """Return the name of that authority."""

    @property
    def not_before(self) -> str:
        """Return the begin of its validity."""

    @property
    def not_after(self) -> str:
        """Return the end of its validity."""

    @property
    def last_changed(self) -> str:
        """Return the date of the last change."""

    @property
    def revocation_until(self) -> str | None:
        """Return until when lists tell whether it is revoked."""


class UsabilityRule(NamedTuple):
    """When a certificate is to be used, and what stale lists mean. ``at``: ISO 8601, UTC, with ``Z``."""

    at: str
    stale_lists: StaleLists = StaleLists.REPORT


def rule_at(moment: datetime, stale_lists: StaleLists = StaleLists.REPORT) -> UsabilityRule:
    """Return the rule for a time with a time zone."""
    return UsabilityRule(utc(moment), stale_lists)


WITH_LISTS: Final = {Kind.ORGANISATION.value, Kind.OCA.value}
"""Kinds of certificates that lists can revoke: a CRL an organisation, an ARL an authority."""


def revocation_of(c: CertificateState, at: str) -> RevocationState | None:
    """Say whether a certificate is revoked. ``None``: no list exists for its kind, and it is not revoked."""
    if c.revoked or c.status == Status.REVOKED:
        return RevocationState.REVOKED
    if c.kind not in WITH_LISTS:
        return None
    known = c.revocation_until is not None and at <= c.revocation_until
    return RevocationState.NOT_REVOKED if known else RevocationState.UNKNOWN


def unusable_reason(c: CertificateState, rule: UsabilityRule) -> UnusableReason | None:
    """Return why a certificate is not usable; ``None`` if it is usable, as far as the mirror tells."""
    revocation = revocation_of(c, rule.at)
    refused = revocation is RevocationState.UNKNOWN and rule.stale_lists is StaleLists.REFUSE
    found = {
        UnusableReason.REVOKED: revocation is RevocationState.REVOKED,
        UnusableReason.WITHDRAWN: c.withdrawn is not None,
        UnusableReason.NOT_IN_USE: c.status not in (Status.IN_USE, Status.EXPIRED),
        UnusableReason.ISSUER_REVOKED: c.issuer_revoked is not None,
        UnusableReason.EXPIRED: c.status == Status.EXPIRED or c.not_after < rule.at,
        UnusableReason.NOT_YET_VALID: c.not_before > rule.at,
        UnusableReason.REVOCATION_UNKNOWN: refused,
    }
    return next((reason for reason, applies in found.items() if applies), None)


def why_unusable(c: CertificateState, reason: UnusableReason) -> str:
    """Return a reason for people, to follow "not usable:"."""
    texts = {
        UnusableReason.REVOKED: _revoked_text(c),
        UnusableReason.WITHDRAWN: f"withdrawn, not in the full extract of {c.withdrawn}",
        UnusableReason.NOT_IN_USE: _status_text(c),
        UnusableReason.ISSUER_REVOKED: revoked_issuer_text(c),
        UnusableReason.EXPIRED: _status_text(c) if c.status == Status.EXPIRED else f"expired {c.not_after}",
        UnusableReason.NOT_YET_VALID: f"not valid before {c.not_before}",
        UnusableReason.REVOCATION_UNKNOWN: f"revocation unknown: {unknown_revocation_text(c)}",
        UnusableReason.SIGNATURE_FALSE: "a signature in its chain is false",
    }
    return texts[reason]


def _status_text(c: CertificateState) -> str:
    return f"status {Status(c.status).words} ({c.status}) since {c.last_changed}"


def _revoked_text(c: CertificateState) -> str:
    if not c.revoked:
        return _status_text(c)
    reason = f": {c.revocation_reason}" if c.revocation_reason else ""
    return f"revoked since {c.revoked} by {c.revoked_by}{reason}"


def revoked_issuer_text(c: CertificateState) -> str:
    """Say which authority above a certificate is revoked, and since when."""
    if c.revoked_authority in (None, c.issuer):
        return f"its issuer {c.issuer} was revoked on {c.issuer_revoked}"
    return f"its issuer {c.issuer} is below {c.revoked_authority}, which was revoked on {c.issuer_revoked}"


def unknown_revocation_text(c: CertificateState) -> str:
    """Say why lists do not tell whether a certificate is revoked."""
    if c.revocation_until is None:
        return "no revocation list of its issuer is in force"
    return f"the next revocation list of its issuer was due by {c.revocation_until}"


class _Certificate(CertificateState, Protocol):
    @property
    def unusable(self) -> UnusableReason | None: ...
    @property
    def serial(self) -> str: ...
    @property
    def first_seen(self) -> str: ...
    @property
    def ski(self) -> str | None: ...
    @property
    def der(self) -> bytes: ...


_C = TypeVar("_C", bound=_Certificate)


def usable_first(found: Iterable[_C]) -> list[_C]:
    """Sort certificates: usable first, then In-Use, then the latest notBefore, then first seen last."""
    ordered = sorted(found, key=lambda c: c.serial)
    ordered.sort(key=lambda c: (c.not_before, c.first_seen), reverse=True)
    ordered.sort(key=lambda c: (c.unusable is not None, c.status != Status.IN_USE or bool(c.withdrawn)))
    return ordered


def newest_usable(found: Iterable[_C]) -> list[_C]:
    """Return the usable certificate with the latest notBefore, and others that tie with another key.

    Empty: no certificate is usable. More than one: which one to use is ambiguous.
    """
    usable = [c for c in usable_first(found) if c.unusable is None]
    newest = [c for c in usable if c.not_before == usable[0].not_before]
    return newest if len(newest) < 2 else _one_per_key(newest)  # noqa: PLR2004 - a tie needs two


def _one_per_key(found: Sequence[_C]) -> list[_C]:
    from smki_sync.x509.certificate import read_body  # noqa: PLC0415 - only a tie needs it

    keys: dict[bytes, _C] = {}
    for c in found:
        try:
            key = read_body(c.der).spki
        except ValueError:
            key = bytes.fromhex(c.ski) if c.ski else c.der
        keys.setdefault(key, c)
    return list(keys.values())
