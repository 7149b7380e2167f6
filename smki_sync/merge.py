"""The merge rule: which of several dated statements about a certificate stands.

Each file makes statements. A delta states status and claims of each certificate in it, as of its date. A full
states In-Use for each certificate that it lists, and "not In-Use" for every other one. A full takes more than
24 hours to produce (MP147), so the time at which it read a certificate is not known. The rule:

1. Between deltas, the later date wins. Within one file, the later record wins.
2. A delta dated ``full_overlap_days`` before a full, or later, wins over that full. An older delta loses.
3. Between fulls, the later date wins.

This is a total order, so the result does not depend on the order in which files arrive, or how often. Every
path of the client uses this module: first load, delta, late delta, full resync, comparison, repair, restore
and rehearsal. ``docs/decisions/0015-merge-rule.md`` shows how rows and SQL express it::

    baseline = Baseline(full=date(2026, 11, 15), overlap_days=2)
    state = merge_full(None, Statement(Status.IN_USE, claims), baseline)
    state = merge_delta(state, Statement(Status.REVOKED, claims), date(2026, 11, 14), baseline)
    assert not state.in_use  # the delta of the 14th wins over the full of the 15th
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import NamedTuple

from smki_sync.model.certificate import Status
from smki_sync.model.extract import ExtractKind

_DAY = timedelta(days=1)


class Statement(NamedTuple):
    """What one record says about a certificate. ``claims``: everything but status and body; compared only."""

    status: Status
    claims: Hashable

    @property
    def in_use(self) -> bool:
        """Whether it says that the certificate is In-Use."""
        return self.status is Status.IN_USE


class Unlisted(Enum):
    """What a full says about a certificate for which it has no usable record."""

    NOT_IN_USE = "not-in-use"
    """Every record was understood, or is known to be about another certificate."""
    UNCLEAR = "unclear"
    """A record was rejected and could be about this certificate. Nothing can be withdrawn."""
    SILENT = "silent"
    """A record about it was rejected or has another body. The full lists it, but states nothing usable."""


FullSays = Statement | Unlisted


class State(NamedTuple):
    """The result of all statements so far about one certificate.

    ``withdrawn``: date of the full that first stopped listing it as In-Use. ``delta``: date of the last delta
    that stated it, ``None`` if the baseline full wins over that delta or there is none. ``disagrees``: what
    the baseline says, if that is not what stands.
    """

    status: Status
    claims: Hashable
    withdrawn: date | None = None
    delta: date | None = None
    disagrees: FullSays | None = None

    @property
    def in_use(self) -> bool:
        """Whether the certificate is In-Use."""
        return self.status is Status.IN_USE and self.withdrawn is None

    @property
    def is_contested(self) -> bool:
        """Whether the baseline says otherwise. The row is marked while the mirror is unproven."""
        return self.disagrees is not None and self.disagrees is not Unlisted.SILENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The newest full that a mirror has used, and how far before its date deltas win over it."""

    full: date
    overlap_days: int

    @property
    def first_delta(self) -> date:
        """The earliest delta that wins over the full."""
        return self.full - self.overlap_days * _DAY

    @property
    def overlap(self) -> tuple[date, ...]:
        """Dates of the deltas that prove the full: from ``first_delta`` to its own date."""
        return tuple(self.first_delta + n * _DAY for n in range(self.overlap_days + 1))

    def is_outranked_by(self, delta: date) -> bool:
        """Whether a delta of this date wins over the full."""
        return delta >= self.first_delta

    def missing(self, applied: Collection[date], reached: date | None = None) -> tuple[date, ...]:
        """Dates from the overlap to the position whose deltas were never applied.

        If there is one, the mirror is unproven. ``reached``: the position.
        """
        days = (max(self.full, reached or self.full) - self.first_delta).days + 1
        dates = (self.first_delta + n * _DAY for n in range(days))
        return tuple(day for day in dates if day not in applied)

    def admits(self, kind: ExtractKind, day: date) -> bool:
        """Whether a file can still say something: an older full or delta loses in every row."""
        return day >= self.full if kind is ExtractKind.FULL else self.is_outranked_by(day)

    def position(self, reached: date | None) -> date:
        """Return the position after the full is merged into a mirror that had reached ``reached``.

        A full does not include the delta of its own date, so it reaches the day before.
        """
        before = self.full - _DAY
        return before if reached is None else max(before, reached)


def unlisted(*, rejected: bool, complete: bool) -> Unlisted:
    """Tell what a full says about a certificate that has no usable record in it.

    ``rejected``: a rejected record, or one with another body, has its identity. ``complete``: the identity of
    every rejected record is known.
    """
    if rejected:
        return Unlisted.SILENT
    return Unlisted.NOT_IN_USE if complete else Unlisted.UNCLEAR


def merge_delta(
    held: State | None,
    said: Statement,
    day: date,
    baseline: Baseline,
    *,
    unheld: Unlisted = Unlisted.NOT_IN_USE,
) -> State | None:
    """Return the state after a delta of ``day`` has stated the certificate.

    ``held``: the state before, ``None`` if the certificate is not known. ``unheld``: what the baseline says
    about a certificate that is not known. Returns ``held`` if the statement loses.
    """
    if not baseline.is_outranked_by(day):
        return held
    if held and held.delta and held.delta > day:
        return held
    full_says = None if day > baseline.full else _full_says(held) if held else unheld
    return State(*said, delta=day, disagrees=_disagreement(full_says, in_use=said.in_use, claims=said.claims))


def merge_full(held: State | None, says: FullSays, baseline: Baseline) -> State | None:
    """Return the state after the full of ``baseline`` was read.

    ``held``: the state before, ``None`` if the certificate is not known. ``says``: the last record about the
    certificate in the full, or why there is none.
    """
    if held is None:
        return State(*says) if isinstance(says, Statement) else None
    if held.delta and baseline.is_outranked_by(held.delta):
        counts = says if held.delta <= baseline.full else None
        return held._replace(disagrees=_disagreement(counts, in_use=held.in_use, claims=held.claims))
    if isinstance(says, Statement):
        return State(*says)
    if says is Unlisted.NOT_IN_USE and held.in_use:
        return held._replace(withdrawn=baseline.full, delta=None, disagrees=None)
    return held._replace(delta=None, disagrees=_disagreement(says, in_use=held.in_use, claims=held.claims))


def _full_says(held: State) -> FullSays:
    """Recover what the baseline says: unless noted, it agrees with what stands."""
    if held.disagrees is not None:
        return held.disagrees
    return Statement(held.status, held.claims) if held.in_use else Unlisted.NOT_IN_USE


def _disagreement(full_says: FullSays | None, *, in_use: bool, claims: Hashable) -> FullSays | None:
    """Return what the full says if it differs. Of two that are not In-Use, the full's word is the weaker."""
    if full_says is None or full_says is Unlisted.SILENT:
        return full_says
    if isinstance(full_says, Unlisted) or not full_says.in_use:
        return full_says if in_use else None
    return None if in_use and full_says.claims == claims else full_says


class Body(NamedTuple):
    """One of several certificates with the same issuer and serial number.

    ``first_stated``: date of the earliest file that contains it. ``place``: its order among bodies of one
    file, 0 for the first. ``verifies``: whether its issuer signed it; ``None`` if the issuer is not known.
    """

    sha256: bytes
    first_stated: date
    place: int = 0
    verifies: bool | None = None


def choose_body(bodies: Sequence[Body]) -> int:
    """Return the index of the body that is served; the others go to the quarantine.

    If exactly one verifies, it wins. Otherwise the earliest dated one wins: a later body cannot replace a
    certificate in service. Ties are broken by the order in the file, then by hash.
    """
    verified = [n for n, body in enumerate(bodies) if body.verifies]
    if len(verified) == 1:
        return verified[0]
    return min(range(len(bodies)), key=lambda n: (bodies[n].first_stated, bodies[n].place, bodies[n].sha256))
