"""Manifests: build one from a mirror, read one from a file, compare two."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol

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
    ProgressCallback,
    Stamp,
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
    """What a mirror contains. ``chain``: the full extract and every file applied since, in order.

    ``shards``: empty if the rows were not read. ``members``: the certificates of some shards.
    """

    stamp: Stamp
    full: date
    counts: CertificateCounts
    chain: tuple[AppliedFile, ...]
    shards: tuple[Shard, ...] = ()
    members: Mapping[int, tuple[Member, ...]] = field(default_factory=dict)


def build_manifest(
    db: Connection,
    *,
    shards: bool = False,
    members: Collection[int] = (),
    progress: ProgressCallback = ignore_progress,
) -> Manifest:
    """Return the manifest of a mirror; ``db``: from :func:`~smki_sync.mirror.queries.open_mirror`.

    ``shards``: read every row and check the stored digest. ``members``: shards whose certificates to list.
    Raises :class:`MirrorDamaged` if the digest of the rows is not the stored one.
    """
    stamp, position = read_stamp(db), read_position(db)
    return Manifest(
        stamp=stamp,
        full=position.full,
        counts=read_counts(db),
        chain=position.applied,
        shards=compute_shards(db, progress) if shards else (),
        members=list_members(db, members, progress) if members else {},
    )


def compute_shards(db: Connection, progress: ProgressCallback = ignore_progress) -> tuple[Shard, ...]:
    """Compute the shards from the rows; raises :class:`MirrorDamaged` if they do not match the digest."""
    found = read_shards(db, progress)
    if check_digest(db, all_shards(found)):
        raise MirrorDamaged(
            f"The digest of the rows of {db.filename} is not the stored digest.",
            hint="Rows were lost or changed by another program. Run `smki-sync sync --full` to rebuild it.",
            code="digest-differs",
        )
    return tuple(Shard(count=shard.count, digest=shard.hex) for shard in found)


def list_members(
    db: Connection, wanted: Collection[int], progress: ProgressCallback = ignore_progress
) -> Mapping[int, tuple[Member, ...]]:
    """Return the certificates of some shards, each list in order."""
    listed: dict[int, list[Member]] = {shard: [] for shard in wanted}
    for member in read_members(db, listed, progress):
        listed[member.shard].append(member)
    return {shard: tuple(sorted(those, key=member_order)) for shard, those in listed.items()}


MAX_COMPARED: Final = 500_000
"""Certificates of one side that are compared in memory at once: about 150 MiB."""


class ManifestSource(Protocol):
    """One side of a comparison."""

    @property
    def title(self) -> str:
        """Its path, for people."""

    @property
    def position(self) -> date:
        """Position of the mirror."""

    @property
    def digest(self) -> str:
        """64 hex digits."""

    @property
    def in_use(self) -> int:
        """Number of In-Use certificates."""

    def shards(self) -> Sequence[Shard]:
        """Return its shards; empty if they are unknown."""

    def members(self, wanted: Collection[int]) -> Mapping[int, Iterable[Member]]:
        """Return the certificates of some shards, without the shards that it does not list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestComparison:
    """``shards``: numbers of the shards that differ; empty also if those of one side are unknown.

    ``only_one``, ``only_other``: certificates that are In-Use only on this side. ``unread``: shards that
    differ but were not compared: a side does not list them, or they have too many certificates.
    """

    one: ManifestSource
    other: ManifestSource
    shards: tuple[int, ...] = ()
    only_one: tuple[Member, ...] = ()
    only_other: tuple[Member, ...] = ()
    unread: tuple[int, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both contain the same In-Use certificates."""
        return self.one.digest == self.other.digest


def compare_manifests(one: ManifestSource, other: ManifestSource) -> ManifestComparison:
    """Compare two sides. If the digests differ, every row of a mirror is read once or twice.

    Raises :class:`UsageError` if the two sides have a different number of shards.
    """
    if one.digest == other.digest:
        return ManifestComparison(one=one, other=other)
    here, there = one.shards(), other.shards()
    if not here or not there:
        return ManifestComparison(one=one, other=other)
    if len(here) != len(there):
        raise UsageError(f"{one.title} has {len(here)} shards, but {other.title} has {len(there)}.")
    different = tuple(n for n, (a, b) in enumerate(zip(here, there, strict=True)) if a.digest != b.digest)
    wanted = _first_that_fit(different, here, there)
    left, right = one.members(wanted), other.members(wanted)
    read = sorted({*left} & {*right})
    only_one, only_other = _differences(
        [m for n in read for m in left[n]], [m for n in read for m in right[n]]
    )
    return ManifestComparison(
        one=one,
        other=other,
        shards=different,
        only_one=only_one,
        only_other=only_other,
        unread=tuple(n for n in different if n not in read),
    )


def _first_that_fit(different: Sequence[int], here: Sequence[Shard], there: Sequence[Shard]) -> list[int]:
    """Return the first of the different shards that fit in memory; at least one."""
    sizes = accumulate(max(here[n].count, there[n].count) for n in different)
    return [n for n, size in zip(different, sizes, strict=True) if size <= MAX_COMPARED or n == different[0]]


def _differences(
    left: Iterable[Member], right: Iterable[Member]
) -> tuple[tuple[Member, ...], tuple[Member, ...]]:
    ours, theirs = {*left}, {*right}
    return tuple(sorted(ours - theirs, key=member_order)), tuple(sorted(theirs - ours, key=member_order))


_MAX_FILE_BYTES: Final = 1 << 30
"""Size of a manifest that lists about 5 million certificates; a longer file is not a manifest."""

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
    schema: Literal["smki-sync/manifest/1", "smki-sync/prove/1"]
    position: date
    digest: _Hash
    certificates: _Counts
    shards: list[_Shard] = []
    listed: list[int] = []
    members: list[_Member] = []


class ManifestFile:
    """A manifest in JSON as one side of a comparison."""

    def __init__(self, title: str, content: bytes) -> None:
        """``title``: path of the file. Raises :class:`msgspec.MsgspecError` if ``content`` is no manifest."""
        self.title = title
        self._content = content
        self._document = msgspec.json.decode(content, type=_Document)

    def document(self) -> dict[str, Any]:
        """Return the whole JSON document."""
        return msgspec.json.decode(self._content, type=dict[str, Any])

    @property
    def position(self) -> date:
        """Position of the mirror."""
        return self._document.position

    @property
    def digest(self) -> str:
        """64 hex digits."""
        return self._document.digest

    @property
    def in_use(self) -> int:
        """Number of In-Use certificates."""
        return self._document.certificates.in_use

    def shards(self) -> tuple[Shard, ...]:
        """Return the shards of the file; empty if it was made without ``--shards``."""
        return tuple(Shard(count=shard.count, digest=shard.digest) for shard in self._document.shards)

    def members(self, wanted: Collection[int]) -> Mapping[int, list[Member]]:
        """Return the certificates of the shards that the file lists."""
        found: dict[int, list[Member]] = {n: [] for n in self._document.listed if n in wanted}
        for m in self._document.members:
            if m.shard in found:
                found[m.shard].append(Member(m.shard, m.serial, m.issuer, m.kind, m.eui, m.sha256))
        return found


def read_manifest(path: Path) -> ManifestFile:
    """Read a manifest; raises :class:`UsageError` if the file is not one."""
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise UsageError(f"{path} is too large for a manifest: more than {_MAX_FILE_BYTES:,} bytes.")
        return ManifestFile(str(path), path.read_bytes())
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as exc:
        raise UsageError(
            f"{path} is neither a mirror nor a manifest: {exc}",
            hint="Make a manifest with `smki-sync manifest --shards --json`.",
        ) from exc


_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorManifest:
    """One snapshot of a mirror as one side of a comparison; valid while ``db`` is open."""

    title: str
    db: Connection
    stamp: Stamp
    in_use: int
    progress: ProgressCallback = field(default=ignore_progress)

    @property
    def position(self) -> date:
        """Position of the mirror."""
        return self.stamp.position

    @property
    def digest(self) -> str:
        """64 hex digits."""
        return self.stamp.digest

    def shards(self) -> tuple[Shard, ...]:
        """Compute the shards from the rows; raises :class:`MirrorDamaged` if they do not match the digest."""
        return compute_shards(self.db, self.progress)

    def members(self, wanted: Collection[int]) -> Mapping[int, tuple[Member, ...]]:
        """Read the certificates from the rows."""
        return list_members(self.db, wanted, self.progress)


@contextmanager
def open_manifest_source(
    path: Path, *, progress: ProgressCallback = ignore_progress
) -> Iterator[ManifestSource]:
    """Open a mirror directory, a mirror file, or a manifest in JSON.

    Raises :class:`UsageError` if ``path`` is none of these.
    """
    path, is_mirror = _locate(path)
    if not is_mirror:
        yield read_manifest(path)
        return
    with open_mirror(path) as db:
        stamp, in_use = read_stamp(db), read_counts(db).in_use
        yield MirrorManifest(title=str(path), db=db, stamp=stamp, in_use=in_use, progress=progress)


def _locate(path: Path) -> tuple[Path, bool]:
    """Return the file, and whether it is a SQLite database."""
    try:
        if path.is_dir():
            path = MirrorDirectory(path).link
            if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
                raise FileNotFoundError
        with path.open("rb") as file:
            return path, file.read(len(_SQLITE)) == _SQLITE
    except OSError as exc:
        problem = (
            "does not exist" if isinstance(exc, FileNotFoundError) else f"cannot be read: {exc.strerror}"
        )
        raise UsageError(
            f"{path} {problem}", hint="Name a mirror directory, a mirror file or a manifest."
        ) from exc
