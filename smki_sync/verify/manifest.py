"""prove/compare: state a mirror's contents and compare two."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Final, Literal, Protocol

import msgspec

from smki_sync.errors import MirrorDamaged, UsageError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.integrity import (
    Member,
    all_shards,
    check_digest,
    member_order,
    read_members,
    read_shards,
)
from smki_sync.mirror.queries import (
    Connection,
    Stamp,
    Told,
    ignore_progress,
    open_mirror,
    read_counts,
    read_position,
    read_stamp,
)
from smki_sync.model.plan import AppliedFile
from smki_sync.model.report import CertificateCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One part of the set of In-Use certificates: how many, and their set digest in hex."""

    count: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a mirror holds. ``chain``: the full and every file applied since, in order.

    ``shards``: empty where the rows were not read. ``members``: the certificates of some shards.
    """

    stamp: Stamp
    full: date
    census: CertificateCounts
    chain: tuple[AppliedFile, ...]
    shards: tuple[Shard, ...] = ()
    members: Mapping[int, tuple[Member, ...]] = field(default_factory=dict)


def build_manifest(
    db: Connection, *, shards: bool = False, members: Collection[int] = (), told: Told = ignore_progress
) -> Manifest:
    """State what a mirror holds; ``db``: from :func:`~smki_sync.mirror.queries.open_mirror`.

    ``shards``: read every row, and prove the digest. ``members``: shards whose certificates are listed.
    Raises :class:`MirrorDamaged` where the rows do not make the digest that the mirror carries.
    """
    stamp, position = read_stamp(db), read_position(db)
    return Manifest(
        stamp=stamp,
        full=position.full,
        census=read_counts(db),
        chain=position.applied,
        shards=prove_shards(db, told) if shards else (),
        members=list_members(db, members, told) if members else {},
    )


def prove_shards(db: Connection, told: Told = ignore_progress) -> tuple[Shard, ...]:
    """The shards, from the rows themselves; raises :class:`MirrorDamaged` where they do not add up."""
    found = read_shards(db, told)
    if check_digest(db, all_shards(found)):
        raise MirrorDamaged(
            f"the rows of {db.filename} do not make the digest that it carries",
            hint="Rows were lost or changed outside this program. `smki-sync sync --full` builds it anew.",
            code="digest-differs",
        )
    return tuple(Shard(count=shard.count, digest=shard.hex) for shard in found)


def list_members(
    db: Connection, wanted: Collection[int], told: Told = ignore_progress
) -> Mapping[int, tuple[Member, ...]]:
    """The certificates of some shards, each list in order."""
    listed: dict[int, list[Member]] = {shard: [] for shard in wanted}
    for member in read_members(db, listed, told):
        listed[member.shard].append(member)
    return {shard: tuple(sorted(those, key=member_order)) for shard, those in listed.items()}


AT_ONCE: Final = 500_000
"""Certificates of one side that are held in memory while they are compared: some 150 MiB."""


class ManifestSource(Protocol):
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
class ManifestComparison:
    """``shards``: numbers of those that differ; empty also where one side did not say.

    ``only_one``, ``only_other``: certificates that are In-Use on one side alone. ``unread``: shards that
    differ, and whose certificates a side did not list or that were too many to hold.
    """

    one: ManifestSource
    other: ManifestSource
    shards: tuple[int, ...] = ()
    only_one: tuple[Member, ...] = ()
    only_other: tuple[Member, ...] = ()
    unread: tuple[int, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both hold the same In-Use certificates."""
        return self.one.digest == self.other.digest


def compare_manifests(one: ManifestSource, other: ManifestSource) -> ManifestComparison:
    """Compare; every row of a side that is a mirror is read once or twice where the digests differ.

    Raises :class:`UsageError` for statements whose shards are not cut alike.
    """
    if one.digest == other.digest:
        return ManifestComparison(one=one, other=other)
    here, there = one.shards(), other.shards()
    if not here or not there:
        return ManifestComparison(one=one, other=other)
    if len(here) != len(there):
        raise UsageError(f"{one.title} has {len(here)} shards, {other.title} has {len(there)}")
    parted = tuple(n for n, (a, b) in enumerate(zip(here, there, strict=True)) if a.digest != b.digest)
    wanted = _as_many_as_fit(parted, here, there)
    left, right = one.members(wanted), other.members(wanted)
    read = sorted({*left} & {*right})
    only_one, only_other = _differences(
        [m for n in read for m in left[n]], [m for n in read for m in right[n]]
    )
    return ManifestComparison(
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


_MOST_OCTETS: Final = 1 << 30
"""A statement with every shard's certificates of 5 million is about so long; more is none."""

_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _Counts(msgspec.Struct):
    in_use: int


class _Shard(msgspec.Struct):
    count: int
    digest: _Hash


class _Member(msgspec.Struct):
    shard: int
    serial: str
    issuer: str
    kind: str
    eui: str | None
    sha256: _Hash


class _Document(msgspec.Struct):
    schema: Literal["smki-sync/prove/1"]
    position: date
    digest: _Hash
    certificates: _Counts
    shards: list[_Shard] = []
    listed: list[int] = []
    members: list[_Member] = []


class ManifestFile:
    """A statement as one side of a comparison."""

    def __init__(self, title: str, document: _Document) -> None:
        """``title``: the file's path."""
        self.title = title
        self._document = document

    @property
    def position(self) -> date:
        """As of when."""
        return self._document.position

    @property
    def digest(self) -> str:
        """64 hex digits."""
        return self._document.digest

    @property
    def in_use(self) -> int:
        """How many certificates are In-Use."""
        return self._document.certificates.in_use

    def shards(self) -> tuple[Shard, ...]:
        """As stated; none where it was made without ``--shards``."""
        return tuple(Shard(count=shard.count, digest=shard.digest) for shard in self._document.shards)

    def members(self, wanted: Collection[int]) -> Mapping[int, list[Member]]:
        """As stated, for the shards that it lists."""
        found: dict[int, list[Member]] = {n: [] for n in self._document.listed if n in wanted}
        for m in self._document.members:
            if m.shard in found:
                found[m.shard].append(Member(m.shard, m.serial, m.issuer, m.kind, m.eui, m.sha256))
        return found


def read_manifest(path: Path) -> ManifestFile:
    """Read a statement; raises :class:`UsageError` where the file is none."""
    try:
        if path.stat().st_size > _MOST_OCTETS:
            raise UsageError(f"{path} is too long for a statement")
        return ManifestFile(str(path), msgspec.json.decode(path.read_bytes(), type=_Document))
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as exc:
        raise UsageError(
            f"{path} is neither a mirror nor a statement: {exc}",
            hint="Make a statement with `smki-sync prove --shards --json`.",
        ) from exc


_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorManifest:
    """A mirror, seen in one snapshot for as long as ``db`` is open."""

    title: str
    db: Connection
    stamp: Stamp
    in_use: int
    told: Told = field(default=ignore_progress)

    @property
    def position(self) -> date:
        """As of when."""
        return self.stamp.position

    @property
    def digest(self) -> str:
        """64 hex digits."""
        return self.stamp.digest

    def shards(self) -> tuple[Shard, ...]:
        """From its rows; raises :class:`MirrorDamaged` where they do not make its digest."""
        return prove_shards(self.db, self.told)

    def members(self, wanted: Collection[int]) -> Mapping[int, tuple[Member, ...]]:
        """From its rows."""
        return list_members(self.db, wanted, self.told)


@contextmanager
def open_manifest_source(path: Path, *, told: Told = ignore_progress) -> Iterator[ManifestSource]:
    """A mirror directory, a mirror's file, or a statement in JSON.

    Raises :class:`UsageError` where ``path`` is none of these.
    """
    path, is_mirror = _look_at(path)
    if not is_mirror:
        yield read_manifest(path)
        return
    with open_mirror(path) as db:
        stamp, in_use = read_stamp(db), read_counts(db).in_use
        yield MirrorManifest(title=str(path), db=db, stamp=stamp, in_use=in_use, told=told)


def _look_at(path: Path) -> tuple[Path, bool]:
    """The file that is meant, and whether it is a mirror's."""
    try:
        if path.is_dir():
            path = MirrorDirectory(path).link
            if path.exists() and not path.is_file():  # to open a pipe is to wait for somebody
                raise FileNotFoundError
        with path.open("rb") as file:
            return path, file.read(len(_SQLITE)) == _SQLITE
    except OSError as exc:
        what = "is not there" if isinstance(exc, FileNotFoundError) else f"cannot be read: {exc.strerror}"
        raise UsageError(
            f"{path} {what}", hint="Name a mirror directory, a mirror's file, or a statement."
        ) from exc
