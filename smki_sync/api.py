"""The mirror from Python, for teams that embed it.

For: ``smki_sync.open(path)``, a :class:`Mirror` that answers from one snapshot in typed rows. It builds on
:mod:`smki_sync.mirror.queries` and adds no query of its own. Refuses: to write, to take the lock, to talk
to the network::

    with smki_sync.open("/var/lib/smki-sync") as mirror:
        certificate = mirror.certificate("00-DB-12-34-56-78-90-A4", usage="KA")
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from smki_sync.errors import MirrorDamaged, MirrorError, OtherSchema
from smki_sync.mirror.connection import disk_errors, mirror_errors
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.journal import (
    AfterLine,
    FromDate,
    JournalGapError,
    JournalLine,
    Place,
    read_changes,
    read_journal,
    start_after,
)
from smki_sync.mirror.queries import (
    Certificate,
    CertificateFilter,
    EuiIs,
    Fingerprint,
    Identity,
    SerialIs,
    SkiIs,
    StatusFilter,
    find,
    find_certificates,
    open_mirror,
    read_counts,
    read_stamp,
)
from smki_sync.model.certificate import ROLE_NAMES, Flag, KeyId, Kind, Usage, parse_eui, parse_serial
from smki_sync.model.report import CertificateCounts

__all__ = [
    "Certificate",
    "CertificateCounts",
    "Flag",
    "JournalGap",
    "JournalLine",
    "Kind",
    "Mirror",
    "MirrorDamaged",
    "MirrorError",
    "OtherSchema",
    "StatusFilter",
    "Usage",
]

_Row = TypeVar("_Row")

_ALGORITHMS: Final = {20: "sha1", 32: "sha256"}
"""Hashes by their length in octets."""


class JournalGap(LookupError):
    """The journal cannot go on from there without a gap. ``hint``: what to do instead."""

    def __init__(self, gap: JournalGapError) -> None:
        """Keep both sentences."""
        super().__init__(gap.why)
        self.hint = gap.hint


class Mirror:
    """One state of the mirror, for as long as it is open; a context manager.

    A sync that goes on meanwhile is not seen: open anew for each job. A state that is held for hours
    keeps the write-ahead log from being emptied. One thread uses it at a time.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        """Open the mirror directory, or ``mirror.db`` in it.

        Raises :class:`MirrorError` where there is none, :class:`MirrorDamaged` where it is none of ours,
        :class:`OtherSchema` where another version of this program has written it.
        """
        self._path = _link(Path(path))
        with ExitStack() as held:
            self._db = held.enter_context(open_mirror(self._path))
            self._stamp = read_stamp(self._db)  # the first read is what the snapshot is of
            self._held = held.pop_all()

    @property
    def position(self) -> date:
        """How far it is: the date of the last delta applied, or of the full where none followed."""
        return self._stamp.position

    @property
    def digest(self) -> str:
        """64 hex digits over the set of In-Use certificates: equal sets, equal digits."""
        return self._stamp.digest

    @property
    def token(self) -> str:
        """This state's place in the journal, for the next :meth:`changes`."""
        return self._stamp.token

    @property
    def counts(self) -> CertificateCounts:
        """How many certificates there are, In-Use, by kind and by status; kept, not counted."""
        with mirror_errors(self._path):
            return read_counts(self._db)

    def certificate(
        self, eui: str, *, usage: Usage | str | None = None, role: int | str | None = None
    ) -> Certificate | None:
        """The In-Use certificate of a subject that was seen last, or ``None``.

        A device may have several of one usage (Appendix M): :meth:`certificates` gives them all.
        ``eui``: in any usual notation. ``role``: a number or its name. Raises ``ValueError`` for a text that
        is no EUI-64, usage or role.
        """
        return next(iter(self.certificates(eui, usage=usage, role=role)), None)

    def certificates(
        self,
        eui: str,
        *,
        usage: Usage | str | None = None,
        role: int | str | None = None,
        any_status: bool = False,
    ) -> list[Certificate]:
        """All certificates of a subject, In-Use only unless ``any_status``; In-Use first, then newest."""
        asked, number = None if usage is None else Usage(usage), _role(role)
        identity = EuiIs(eui=parse_eui(eui))
        with mirror_errors(self._path):
            return find_certificates(self._db, identity, usage=asked, role=number, any_status=any_status)

    def by_serial(self, serial: str | int) -> list[Certificate]:
        """Certificates of whatever status by serial number: a text is hex, a number is the number."""
        return self._all(
            SerialIs(serials=(parse_serial(serial if isinstance(serial, str) else f"{serial:X}"),))
        )

    def by_ski(self, ski: bytes) -> list[Certificate]:
        """Certificates of whatever status by subject key identifier; may read every device."""
        return self._all(SkiIs(ski=KeyId(ski.hex().upper())))

    def by_hash(self, digest: bytes) -> list[Certificate]:
        """Certificates of whatever status by SHA-1 or SHA-256 of the DER; may read every device.

        Raises ``ValueError`` for another number of octets than 20 or 32.
        """
        algorithm = _ALGORITHMS.get(len(digest))
        if algorithm is None:
            raise ValueError(f"a SHA-1 has 20 octets and a SHA-256 32, this has {len(digest)}")
        return self._all(Fingerprint(algorithm=algorithm, digest=digest))

    def find(
        self,
        *,
        kind: Kind | str | None = None,
        standing: StatusFilter | str | None = None,
        any_status: bool = False,
        usage: Usage | str | None = None,
        role: int | str | None = None,
        issuer: str | None = None,
        changed_since: date | None = None,
        ends_before: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[Certificate]:
        """Everything that is all of this, as a stream; In-Use only unless told otherwise.

        ``standing``: a status letter or ``withdrawn``. ``issuer``: a name, or part of one.
        ``ends_before``: end of validity, with its time zone. Memory does not grow with the answer.
        """
        if ends_before is not None and ends_before.tzinfo is None:
            raise ValueError("ends_before needs a time zone")
        wanted = CertificateFilter(
            kinds=() if kind is None else (Kind(kind),),
            standings=() if standing is None else (StatusFilter(standing),),
            any_status=any_status,
            usage=None if usage is None else Usage(usage),
            role=_role(role),
            issuer=issuer,
            changed_since=changed_since,
            ends_before=None if ends_before is None else int(ends_before.astimezone(UTC).timestamp()),
        )
        return self._stream(lambda: find(self._db, wanted, limit=limit))

    def changes(self, *, since: date | int | str) -> Iterator[JournalLine]:
        """What has changed, in order: from a date on, or after a sequence number or a :attr:`token`.

        Raises :class:`JournalGap` where the journal does not reach back that far, or is another.
        """
        place = _place(since)
        with mirror_errors(self._path):
            start = start_after(self._db, read_journal(self._db), place)
        if isinstance(start, JournalGapError):
            raise JournalGap(start)
        return self._stream(lambda: read_changes(self._db, start))

    def close(self) -> None:
        """Let the state go; closing twice is no fault."""
        self._held.close()

    def __enter__(self) -> Self:
        """It is open already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close it."""
        self.close()

    def _all(self, identity: Identity) -> list[Certificate]:
        with mirror_errors(self._path):
            return find_certificates(self._db, identity, any_status=True)

    def _stream(self, rows: Callable[[], Iterator[_Row]]) -> Iterator[_Row]:
        with mirror_errors(self._path):
            yield from rows()


def _link(path: Path) -> Path:
    with disk_errors(path):
        link = MirrorDirectory(path).link if path.is_dir() else path
        is_there = link.exists() or link.is_symlink()
    if not is_there:
        raise MirrorError(f"there is no mirror in {path}", hint="Run `smki-sync sync`.", code="no-mirror")
    return link


def _role(role: int | str | None) -> int | None:
    """A Remote Party Role by its number; a name that nobody knows would find nothing, and is refused."""
    if not isinstance(role, str):
        return role
    found = next((number for number, name in ROLE_NAMES.items() if name.lower() == role.lower()), None)
    if found is None:
        raise ValueError(f"{role!r:.40} is no Remote Party Role")
    return found


def _place(since: date | int | str) -> Place:
    if isinstance(since, date):
        return FromDate(day=since.date() if isinstance(since, datetime) else since)
    if isinstance(since, int):
        return AfterLine(sequence=since)
    return AfterLine.parse(since)
