"""Two mirrors, or a mirror and a statement: equal, or where they part, to the certificate.

For: ``compare``. Digests first; only where they differ are shards compared, and only of shards that differ
are certificates looked at. Refuses: to judge which side is right.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from typing import Final, Protocol

from smki_sync.errors import UsageError
from smki_sync.mirror.shards import Member, member_order
from smki_sync.proof.statement import Shard

AT_ONCE: Final = 500_000
"""Certificates of one side that are held in memory while they are compared: some 150 MiB."""


class Side(Protocol):
    """One of the two."""

    @property
    def title(self) -> str:
        """What it is, for people: its path."""

    @property
    def position(self) -> date:
        """As of when."""

    @property
    def digest(self) -> str:
        """64 hex digits."""

    @property
    def in_use(self) -> int:
        """How many certificates are In-Use."""

    def shards(self) -> Sequence[Shard]:
        """Its shards; none where it does not say."""

    def members(self, wanted: Collection[int]) -> Mapping[int, Iterable[Member]]:
        """The certificates of some shards; a shard that it does not list is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """``shards``: numbers of those that differ; empty also where one side did not say.

    ``only_one``, ``only_other``: certificates that are In-Use on one side alone. ``unread``: shards that
    differ, and whose certificates a side did not list or that were too many to hold.
    """

    one: Side
    other: Side
    shards: tuple[int, ...] = ()
    only_one: tuple[Member, ...] = ()
    only_other: tuple[Member, ...] = ()
    unread: tuple[int, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both hold the same In-Use certificates."""
        return self.one.digest == self.other.digest


def compare(one: Side, other: Side) -> Comparison:
    """Compare; every row of a side that is a mirror is read once or twice where the digests differ.

    Raises :class:`UsageError` for statements whose shards are not cut alike.
    """
    if one.digest == other.digest:
        return Comparison(one=one, other=other)
    here, there = one.shards(), other.shards()
    if not here or not there:
        return Comparison(one=one, other=other)
    if len(here) != len(there):
        raise UsageError(f"{one.title} has {len(here)} shards, {other.title} has {len(there)}")
    parted = tuple(n for n, (a, b) in enumerate(zip(here, there, strict=True)) if a.digest != b.digest)
    wanted = _as_many_as_fit(parted, here, there)
    left, right = one.members(wanted), other.members(wanted)
    read = sorted({*left} & {*right})
    only_one, only_other = _differences(
        [m for n in read for m in left[n]], [m for n in read for m in right[n]]
    )
    return Comparison(
        one=one,
        other=other,
        shards=parted,
        only_one=only_one,
        only_other=only_other,
        unread=tuple(n for n in parted if n not in read),
    )


def _as_many_as_fit(parted: Sequence[int], here: Sequence[Shard], there: Sequence[Shard]) -> list[int]:
    """The first of the shards that differ, as many as can be held; always one."""
    sizes = accumulate(max(here[n].count, there[n].count) for n in parted)
    return [n for n, size in zip(parted, sizes, strict=True) if size <= AT_ONCE or n == parted[0]]


def _differences(
    left: Iterable[Member], right: Iterable[Member]
) -> tuple[tuple[Member, ...], tuple[Member, ...]]:
    ours, theirs = {*left}, {*right}
    return tuple(sorted(ours - theirs, key=member_order)), tuple(sorted(theirs - ours, key=member_order))
