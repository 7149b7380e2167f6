"""The state of certificates at the end of a past day, with evidence.

The day means what the Repository stated in files dated up to that day. What the mirror had recorded by then
can differ, for example if a delta arrived late; then both are given.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from smki_sync.lookup.verdicts import why_not
from smki_sync.mirror.batch_queries import Matches
from smki_sync.mirror.evidence import (
    Coverage,
    HistoryLine,
    SourceFile,
    newest_full,
    read_coverage,
    read_history,
)
from smki_sync.mirror.inspection import read_authorities
from smki_sync.mirror.journal import ChangeKind
from smki_sync.mirror.queries import Certificate, Connection, SerialIs, find_certificates
from smki_sync.model.certificate import Serial, Status
from smki_sync.timestamps import utc
from smki_sync.usability import UnusableReason, UsabilityRule, unusable_reason
from smki_sync.x509 import NotACertificate, read_facts
from smki_sync.x509.fields import normalise_name

_DEPTH_LIMIT: Final = 8
"""Authorities in one chain, as in :mod:`smki_sync.trust.chain`."""
_BEFORE_THE_JOURNAL: Final = SourceFile("a file before the journal", "", "")
_UNLISTED: Final = "not listed yet"


def end_of(day: date) -> datetime:
    """Return the last second of a day, UTC."""
    return datetime.combine(day, time(23, 59, 59), UTC)


class PastState(NamedTuple):
    """What is known about a certificate on a day.

    ``status``: ``None`` if it was not listed yet. ``withdrawn``, ``revoked``: the line that says so.
    ``last``: the last line before the end of the day; ``None`` if there is none.
    """

    status: str | None
    withdrawn: HistoryLine | None = None
    revoked: HistoryLine | None = None
    last: HistoryLine | None = None

    @property
    def in_use(self) -> bool:
        """Whether it was In-Use."""
        return self.status == Status.IN_USE and not self.withdrawn and not self.revoked

    @property
    def words(self) -> str:
        """The state for people."""
        if self.status is None:
            return _UNLISTED
        if self.revoked:
            return f"revoked by {self.revoked.source.name}"
        if self.withdrawn:
            return f"withdrawn by {self.withdrawn.source.name}"
        return f"{Status(self.status).words} ({self.status})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCertificate:
    """A certificate at the end of a day.

    ``certificate``: with the state of that day, and why it was not usable. ``statement``: the file that
    said so; ``None`` if no file is known. ``mirror_state``: what the mirror had recorded by then, if that
    differs. ``authority``: the authority above it that was not usable, with the reason. ``since``: lines
    after the day.
    """

    certificate: Certificate
    state: PastState
    statement: SourceFile | None
    mirror_state: PastState | None
    authority: str
    since: tuple[HistoryLine, ...]

    @property
    def usable(self) -> bool:
        """Whether it was usable, as far as the journal tells."""
        return self.state.status is not None and self.certificate.usable and not self.authority

    @property
    def why(self) -> str:
        """Why it was not usable, as a sentence; empty if it was."""
        if self.state.status is None:
            return "No file up to that day lists it."
        return self.authority if self.certificate.usable else why_not(self.certificate)


def replay(
    certificate: Certificate,
    lines: Sequence[HistoryLine],
    counts: Callable[[HistoryLine], bool],
    *,
    listed: bool,
) -> PastState:
    """Return the state after the lines that count.

    ``listed``: whether it was listed before its first line, if that line does not add it.
    """
    status, withdrawn, revoked = _before(certificate, lines)
    if not listed:
        status = None
    last = None
    for line in sorted(filter(counts, lines), key=lambda one: (one.day, one.sequence)):
        last = line
        match line.change:
            case ChangeKind.WITHDRAWN:
                withdrawn, status = line, status or line.before
            case ChangeKind.REVOKED:
                revoked, status = line, status or line.before
            case ChangeKind.ADDED | ChangeKind.STATUS | ChangeKind.REINSTATED:
                withdrawn, status = None, line.after or status
            case ChangeKind.UNREVOKED:
                revoked, status = None, line.after or status
    return PastState(status, withdrawn, revoked, last)


def _before(
    c: Certificate, lines: Sequence[HistoryLine]
) -> tuple[str | None, HistoryLine | None, HistoryLine | None]:
    """Return status, withdrawal and revocation before the first line."""
    if not lines:
        return c.status, None, None
    first = lines[0]
    earlier = first._replace(source=_BEFORE_THE_JOURNAL)
    match first.change:
        case ChangeKind.ADDED:
            return None, None, None
        case ChangeKind.REINSTATED:
            return first.after, earlier, None
        case ChangeKind.UNREVOKED:
            return first.after, None, earlier
        case _:
            return first.before, None, None


@dataclass(slots=True)
class PastMirror:
    """Answers for the end of one day. It keeps the states of authorities, which many certificates share."""

    db: Connection
    day: date
    coverage: Coverage = field(init=False)
    _authorities: dict[tuple[str, str | None], str] = field(default_factory=dict)
    _full: SourceFile | None = field(init=False)

    def __post_init__(self) -> None:
        """Read what the journal covers."""
        self.coverage = read_coverage(self.db)
        self._full = newest_full(self.db, self.day)

    @property
    def gap(self) -> str:
        """Why the day cannot be answered; empty if it can."""
        reached = self.coverage.first - timedelta(days=1)  # the state before the first journal line is known
        if self.day < reached:
            return f"The journal does not reach back to {self.day}, only to {reached}."
        if self.day > self.coverage.position:
            return f"The mirror has not reached {self.day}. Its position is {self.coverage.position}."
        return ""

    @property
    def rule(self) -> UsabilityRule:
        """The rule for the end of the day. Which lists were missing then is not known."""
        return UsabilityRule(utc(end_of(self.day)))

    def answer(self, certificate: Certificate, depth: int = 0) -> PastCertificate:
        """Return a certificate at the end of the day."""
        lines = read_history(self.db, certificate.serial, certificate.issuer)
        day, end = self.day.isoformat(), utc(end_of(self.day))
        stated = replay(
            certificate, lines, lambda line: line.day <= day, listed=certificate.first_seen <= day
        )
        mirror_state = replay(
            certificate, lines, lambda line: line.recorded_at <= end, listed=self.coverage.begun <= end
        )
        past = self._past(certificate, stated)
        authority = "" if depth >= _DEPTH_LIMIT else self._authority_above(certificate, depth)
        return PastCertificate(
            certificate=past,
            state=stated,
            statement=stated.last.source if stated.last else self._full,
            mirror_state=mirror_state if _differs(stated, mirror_state) else None,
            authority=authority,
            since=tuple(line for line in lines if line.day > day or line.recorded_at > end),
        )

    def _past(self, c: Certificate, state: PastState) -> Certificate:
        """Return the certificate as it was, judged by the rule for the end of the day."""
        revoked, withdrawn = state.revoked, state.withdrawn
        past = c._replace(
            status=state.status or Status.PENDING.value,
            in_use=state.in_use,
            withdrawn=withdrawn.day if withdrawn else None,
            revoked=(c.revoked or revoked.day) if revoked else None,
            revoked_by=revoked.source.name if revoked else None,
            revocation_reason=c.revocation_reason if revoked else None,
            last_changed=state.last.day if state.last else c.first_seen,
            issuer_revoked=None,
            revoked_authority=None,
            unproven=False,
            revocation=None,
        )
        return past._replace(unusable=unusable_reason(past, self.rule))

    def _authority_above(self, c: Certificate, depth: int) -> str:
        """Return why no authority with the name and key of the issuer was usable; empty if one was."""
        aki = _issuer_key(c)
        if normalise_name(c.issuer) == normalise_name(c.subject):
            return ""
        key = (normalise_name(c.issuer), aki)
        if key not in self._authorities:
            self._authorities[key] = ""  # a circle ends here
            self._authorities[key] = self._why_no_authority(c.issuer, aki, depth)
        return self._authorities[key]

    def _why_no_authority(self, name: str, aki: str | None, depth: int) -> str:
        wanted = normalise_name(name)
        answers = [
            self.answer(found, depth + 1)
            for row in read_authorities(self.db)
            if normalise_name(row.subject or "") == wanted and aki in (None, row.ski)
            for found in find_certificates(
                self.db, SerialIs(serials=(Serial(row.serial),)), self.rule, any_status=True
            )
            if found.issuer == row.issuer
        ]
        if not answers or any(one.usable for one in answers):
            return ""  # an issuer that is not in the mirror has no state
        return f"Its issuer {name} was not usable: {answers[0].why}"


def _issuer_key(c: Certificate) -> str | None:
    try:
        return read_facts(c.der).aki
    except NotACertificate:  # any key of its issuer
        return None


def _differs(stated: PastState, known: PastState) -> bool:
    return (stated.status, bool(stated.withdrawn), bool(stated.revoked)) != (
        known.status,
        bool(known.withdrawn),
        bool(known.revoked),
    )


def past_matches(past: PastMirror, matches: Matches) -> Matches:
    """Return the certificates that were listed on the day, with their state of that day."""
    return {
        key: [_judged(one) for one in map(past.answer, found) if one.state.status is not None]
        for key, found in matches.items()
    }


def _judged(one: PastCertificate) -> Certificate:
    """Return a certificate of which also the authorities are judged."""
    c = one.certificate
    if one.usable or not c.usable:
        return c
    return c._replace(unusable=UnusableReason.ISSUER_REVOKED, issuer_revoked=c.last_changed)


def newest_first(answers: Iterable[PastCertificate]) -> list[PastCertificate]:
    """Sort answers: usable first, then the latest start of validity."""
    return sorted(
        answers,
        key=lambda one: (one.usable, one.certificate.not_before, one.certificate.serial),
        reverse=True,
    )
