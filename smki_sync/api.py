"""Read the mirror from Python.

``smki_sync.open(path)`` returns a :class:`Mirror`, which reads typed rows from one snapshot. It does not
write, lock the mirror or use the network::

    with smki_sync.open("/var/lib/smki-sync") as mirror:
        certificate = mirror.certificate("00-DB-12-34-56-78-90-A4", usage="KA")
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from os import PathLike
from pathlib import Path
from threading import Event, Lock, Thread
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
    Connection,
    EuiIs,
    Fingerprint,
    Identity,
    SerialIs,
    SkiIs,
    StatusFilter,
    connect_mirror,
    filter_scans,
    find,
    find_certificates,
    find_changed,
    identity_scans,
    open_mirror,
    read_counts,
    read_stamp,
)
from smki_sync.model.certificate import ROLE_NAMES, Flag, KeyId, Kind, Usage, parse_eui, parse_serial
from smki_sync.model.report import CertificateCounts
from smki_sync.usability import StaleLists, UnusableReason, UsabilityRule, newest_usable, rule_at

__all__ = [
    "AmbiguousCertificate",
    "Certificate",
    "CertificateCounts",
    "Flag",
    "JournalGap",
    "JournalLine",
    "Kind",
    "Mirror",
    "MirrorConnection",
    "MirrorDamaged",
    "MirrorError",
    "OtherSchema",
    "ScanRefused",
    "StaleLists",
    "StatusFilter",
    "UnusableReason",
    "Usage",
]

_Row = TypeVar("_Row")

_ALGORITHMS: Final = {20: "sha1", 32: "sha256"}
"""Hash algorithms by the length of their digests in bytes."""


class JournalGap(LookupError):
    """The journal has a gap after the requested place. ``hint``: how to recover."""

    def __init__(self, gap: JournalGapError) -> None:
        """Take the message and the hint from ``gap``."""
        super().__init__(gap.why)
        self.hint = gap.hint


class ScanRefused(LookupError):
    """The query would read every row, and the reader was opened with ``allow_scans=False``."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("This query would read every row of the mirror, which this reader does not allow.")


class AmbiguousCertificate(LookupError):
    """Several usable certificates with different keys have the same notBefore.

    ``certificates``: all of them. Which one to use cannot be decided from the mirror.
    """

    def __init__(self, certificates: Sequence[Certificate]) -> None:
        """Keep the certificates."""
        self.certificates = tuple(certificates)
        serials = ", ".join(c.serial for c in certificates)
        super().__init__(
            f"{len(certificates)} usable certificates have different keys and the same notBefore,"
            f" {certificates[0].not_before}. Serial numbers: {serials}."
        )


class Mirror:
    """A snapshot of the mirror; a context manager.

    Later syncs are not visible until the mirror is opened again, so open it for each job. A snapshot that
    is open for hours prevents the write-ahead log from being emptied. Use it from one thread at a time.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        stale_lists: StaleLists | str = StaleLists.REPORT,
        allow_scans: bool = True,
        connection: Connection | None = None,
    ) -> None:
        """Open the mirror directory, or ``mirror.db`` in it.

        ``stale_lists``: as ``policy.stale_lists`` in the configuration, which is not read. ``"refuse"``: a
        certificate is not usable if no revocation list in force tells whether it is revoked.
        ``allow_scans=False``: a query that reads every row is refused. ``connection``: an open one, in a
        transaction, which the caller ends; :class:`MirrorConnection` has it.

        Raises:
            MirrorError: if the mirror does not exist.
            MirrorDamaged: if the file is not a mirror of this program.
            OtherSchema: if another version of this program wrote it.
        """
        self._path = _link(Path(path))
        self._stale_lists = StaleLists(stale_lists)
        self._allow_scans = allow_scans
        with ExitStack() as held:
            self._db = connection or held.enter_context(open_mirror(self._path))
            self._stamp = read_stamp(self._db)  # the first read takes the snapshot
            self._held = held.pop_all()

    @property
    def position(self) -> date:
        """Date of the last delta applied, or of the full if no delta followed it."""
        return self._stamp.position

    @property
    def digest(self) -> str:
        """Digest of the set of In-Use certificates, 64 hex digits; equal sets have equal digests."""
        return self._stamp.digest

    @property
    def token(self) -> str:
        """Place of this state in the journal, for the next call of :meth:`changes`."""
        return self._stamp.token

    @property
    def counts(self) -> CertificateCounts:
        """Number of certificates: In-Use, by kind and by status. Read from stored counts."""
        with mirror_errors(self._path):
            return read_counts(self._db)

    def certificate(
        self,
        eui: str,
        *,
        usage: Usage | str | None = None,
        role: int | str | None = None,
        at: datetime | None = None,
    ) -> Certificate | None:
        """Return the usable certificate of a subject with the latest notBefore; ``None`` if none is usable.

        :meth:`certificates` lists the others, each with the reason (``unusable``).

        Args:
            eui: EUI-64 in any usual notation.
            usage: usage of the certificate.
            role: Remote Party Role, as a number or a name.
            at: the time of use, with a time zone. If ``None``, now.

        Raises:
            AmbiguousCertificate: several usable certificates with different keys have that notBefore.
            ValueError: a text is not an EUI-64, usage or role, or ``at`` has no time zone.
        """
        newest = newest_usable(self.certificates(eui, usage=usage, role=role, at=at))
        if len(newest) > 1:
            raise AmbiguousCertificate(newest)
        return newest[0] if newest else None

    def certificates(
        self,
        eui: str,
        *,
        usage: Usage | str | None = None,
        role: int | str | None = None,
        any_status: bool = False,
        at: datetime | None = None,
    ) -> list[Certificate]:
        """Return the certificates of a subject, usable first, then newest. Default: In-Use only.

        Each says in ``unusable`` why it is not usable at the time ``at`` (``None``: now); ``None`` if it is.
        """
        asked, number = None if usage is None else Usage(usage), _role(role)
        identity, rule = EuiIs(eui=parse_eui(eui)), self._rule(at)
        with mirror_errors(self._path):
            return find_certificates(
                self._db, identity, rule, usage=asked, role=number, any_status=any_status
            )

    def by_serial(self, serial: str | int) -> list[Certificate]:
        """Return certificates of any status by serial number, given as hex text or as an integer."""
        return self._all(
            SerialIs(serials=(parse_serial(serial if isinstance(serial, str) else f"{serial:X}"),))
        )

    def would_scan(
        self,
        *,
        ski: bytes | None = None,
        digest: bytes | None = None,
        kind: Kind | str | None = None,
        role: int | str | None = None,
    ) -> bool:
        """Return whether a query reads every row, which takes seconds on a mirror of millions.

        ``ski``: :meth:`by_ski`. ``digest``: :meth:`by_hash`. Otherwise :meth:`find` with this ``kind`` and
        ``role``; its other conditions make no difference. All other queries use an index.
        """
        if ski is not None or digest is not None:
            identity = _ski_is(ski) if ski is not None else _fingerprint(digest or b"")
            with mirror_errors(self._path):
                return identity_scans(self._db, identity)
        kinds = () if kind is None else (Kind(kind),)
        return filter_scans(CertificateFilter(kinds=kinds, role=_role(role)))

    def by_ski(self, ski: bytes) -> list[Certificate]:
        """Return certificates of any status by subject key identifier; may read every device."""
        return self._all(_ski_is(ski))

    def by_hash(self, digest: bytes) -> list[Certificate]:
        """Return certificates of any status by SHA-1 or SHA-256 of the DER; may read every device.

        Raises:
            ValueError: if ``digest`` is not 20 or 32 bytes long.
        """
        return self._all(_fingerprint(digest))

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
        """Yield the certificates that meet every condition; uses constant memory. Default: In-Use only.

        Args:
            kind: kind of certificate.
            standing: a status letter or ``withdrawn``.
            any_status: include certificates that are not In-Use.
            usage: usage of the certificate.
            role: Remote Party Role, as a number or a name.
            issuer: name of the issuer, or part of it.
            changed_since: earliest date of the extract that last changed the certificate.
            ends_before: latest end of validity (exclusive), with a time zone.
            limit: maximum number of certificates; ``None``: all.

        Raises:
            ValueError: if an argument is not valid.
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
        self._refuse_scan(scans=filter_scans(wanted))
        rule = self._rule(None)
        return self._stream(lambda: find(self._db, wanted, rule, limit=limit))

    def changes(self, *, since: date | int | str) -> Iterator[JournalLine]:
        """Yield changes in order: from a date, or after a sequence number or :attr:`token`.

        Raises:
            JournalGap: if the journal does not go back that far, or if the token is from another journal.
        """
        start = self._start(since)
        return self._stream(lambda: read_changes(self._db, start))

    def news(self, *, since: date | int | str) -> Iterator[Certificate]:
        """Yield each certificate that changed after a :attr:`token` once, complete, as it is in this state.

        A copy that stores these rows, and then :attr:`token`, equals this mirror, except for columns that are
        derived when a row is read: ``issuer_revoked``, ``revoked_authority``, ``revoked_by``,
        ``revocation_reason``, ``revocation_until`` and ``unproven``. A late delta or a
        rebuild can also change ``first_seen``, ``last_changed`` and ``file`` without a line in the journal.

        Raises:
            JournalGap: if the journal does not go back that far, or if the token is from another journal.
        """
        start, rule = self._start(since), self._rule(None)
        return self._stream(lambda: find_changed(self._db, start, rule))

    def _start(self, since: date | int | str) -> int:
        place = _place(since)
        with mirror_errors(self._path):
            start = start_after(self._db, read_journal(self._db), place)
        if isinstance(start, JournalGapError):
            raise JournalGap(start)
        return start

    def close(self) -> None:
        """Close the snapshot. Closing it twice is allowed."""
        self._held.close()

    def __enter__(self) -> Self:
        """Return the mirror, which is already open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the snapshot."""
        self.close()

    def _all(self, identity: Identity) -> list[Certificate]:
        with mirror_errors(self._path):
            if not self._allow_scans:
                self._refuse_scan(scans=identity_scans(self._db, identity))
            return find_certificates(self._db, identity, self._rule(None), any_status=True)

    def _refuse_scan(self, *, scans: bool) -> None:
        if scans and not self._allow_scans:
            raise ScanRefused

    def _rule(self, at: datetime | None) -> UsabilityRule:
        if at is not None and at.tzinfo is None:
            raise ValueError("at needs a time zone")
        return rule_at(datetime.now(UTC) if at is None else at, self._stale_lists)

    def _stream(self, rows: Callable[[], Iterator[_Row]]) -> Iterator[_Row]:
        with mirror_errors(self._path):
            yield from rows()


RELEASE_SECONDS: Final = 20.0
"""How often an idle :class:`MirrorConnection` looks for a newer generation, to release the old one."""


class MirrorConnection:
    """A reader for programs that run for a long time, as :func:`smki_sync.connect` returns it.

    It keeps a connection without an open transaction. Each query reads the current state: after a full
    resync the next query uses the new generation. An idle connection releases the old generation within a
    minute, so that its disk space becomes free. Several threads may use it; one query runs at a time.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        stale_lists: StaleLists | str = StaleLists.REPORT,
        allow_scans: bool = True,
    ) -> None:
        """Open the mirror directory. ``allow_scans=False``: a query that reads every row is refused.

        Raises:
            MirrorError: if the mirror does not exist, or another error of :class:`Mirror`.
        """
        self._link = _link(Path(path))
        self._stale_lists = StaleLists(stale_lists)
        self._allow_scans = allow_scans
        self._lock = Lock()
        self._closed = Event()
        self._db: Connection | None = None
        self._file: tuple[int, int] | None = None
        with self._lock:
            self._current()
        self._watcher = Thread(target=self._watch, name="smki-sync-release", daemon=True)
        self._watcher.start()

    @contextmanager
    def read(self) -> Iterator[Mirror]:
        """Yield the current state, for several queries or a stream. Leave it soon: other threads wait."""
        with self._lock:
            db = self._current()
            with mirror_errors(self._link), db:
                yield Mirror(
                    self._link, stale_lists=self._stale_lists, allow_scans=self._allow_scans, connection=db
                )

    def certificate(
        self,
        eui: str,
        *,
        usage: Usage | str | None = None,
        role: int | str | None = None,
        at: datetime | None = None,
    ) -> Certificate | None:
        """Return the newest usable certificate of a subject, as :meth:`Mirror.certificate`."""
        with self.read() as mirror:
            return mirror.certificate(eui, usage=usage, role=role, at=at)

    def release_replaced(self) -> bool:
        """Close the connection if another generation is current now; return whether it did."""
        with self._lock:
            if self._db is None or self._file == _identity_of(self._link):
                return False
            self._disconnect()
            return True

    def close(self) -> None:
        """Close the connection. Closing it twice is allowed."""
        self._closed.set()
        with self._lock:
            self._disconnect()

    def __enter__(self) -> Self:
        """Return the reader, which is already open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the connection."""
        self.close()

    def _current(self) -> Connection:
        """Return a connection to the current generation. The caller has the lock."""
        if self._closed.is_set():
            raise MirrorError("The connection to the mirror is closed.")
        current = _identity_of(self._link)
        if self._db is None or self._file != current:
            self._disconnect()
            self._db = connect_mirror(self._link)
            self._file = current
        return self._db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = self._file = None

    def _watch(self) -> None:
        while not self._closed.wait(RELEASE_SECONDS):
            self.release_replaced()


def _identity_of(link: Path) -> tuple[int, int] | None:
    """Return device and inode of the file behind a link; ``None`` if it does not exist."""
    try:
        found = link.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _ski_is(ski: bytes) -> SkiIs:
    return SkiIs(ski=KeyId(ski.hex().upper()))


def _fingerprint(digest: bytes) -> Fingerprint:
    algorithm = _ALGORITHMS.get(len(digest))
    if algorithm is None:
        raise ValueError(f"a SHA-1 has 20 bytes and a SHA-256 32, this has {len(digest)}")
    return Fingerprint(algorithm=algorithm, digest=digest)


def _link(path: Path) -> Path:
    with disk_errors(path):
        link = MirrorDirectory(path).link if path.is_dir() else path
        is_there = link.exists() or link.is_symlink()
    if not is_there:
        raise MirrorError(f"there is no mirror in {path}", hint="Run `smki-sync sync`.", code="no-mirror")
    return link


def _role(role: int | str | None) -> int | None:
    """Return the number of a Remote Party Role; raise ``ValueError`` if the name is unknown."""
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
