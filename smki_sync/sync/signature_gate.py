"""Who stands at a mirror's door: new certificates are proven before they commit (``policy.verify``).

For: ``sync``. A certificate that its issuer's key has not signed is refused, and goes to the quarantine. One
whose issuer is not known yet comes in and is counted: the issuer may follow. An issuer that comes in the same
file counts, wherever in it. Refuses: to judge dates, profiles or anchors; ``verify`` does.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from smki_sync.errors import BadExtract, MirrorError
from smki_sync.mirror.held import Db, HeldRow, read_authorities, read_rows
from smki_sync.mirror.rows import Row
from smki_sync.mirror.signature_cache import Marker, Proofs
from smki_sync.model.faults import Fault
from smki_sync.trust.authorities import Authorities, Authority, Resolved
from smki_sync.trust.findings import Code
from smki_sync.verify.judges import authorities_in
from smki_sync.verify.threads import in_threads, usual_threads
from smki_sync.x509 import examine
from smki_sync.x509.certificate import read_body

REFUSED_LIMIT: Final = 100_000
"""Certificates of one full that may be refused: some 150 MB of evidence; more is no slip but another PKI."""

Learn = Callable[[], Iterable[Authority]]
"""Gives the authorities that a file brings, by reading it once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proven:
    """What some rows came to. ``marks``: proven just now; ``unproven``: of unknown issuers."""

    refused: list[tuple[HeldRow, str]]
    marks: list[int]
    unproven: int


@dataclass(slots=True)
class Keeper:
    """``known``: authorities of the mirror. ``anchors``: those of the operator.

    ``limit``: how many of a full may be refused before it is refused as a whole. ``unproven``:
    certificates that came in although their issuer is not known.
    """

    known: list[Authority]
    anchors: tuple[Authority, ...]
    proofs: Proofs
    threads: int = field(default_factory=usual_threads)
    limit: int = REFUSED_LIMIT
    unproven: int = 0
    _authorities: Authorities = field(init=False)
    _learn: Learn | None = None
    _markers: dict[bytes, Marker] = field(default_factory=dict)
    _marks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Know those of the mirror."""
        self._acquaint(())

    def open_file(self, learn: Learn) -> None:
        """A file is about to be applied; ``learn`` is asked once, and only if an issuer is not known."""
        self._learn = learn

    def close_file(self) -> None:
        """What was applied is committed: remember what was proven, if that can be written."""
        with suppress(MirrorError):
            self.proofs.add(self._marks)
        self._marks.clear()

    def refuse(self, row: Row) -> str | None:
        """Say why a certificate may not come in; ``None`` where it may."""
        resolved = self._resolve(row.der)
        if not resolved.issuers and self._learn:
            self._acquaint(self._learn())
            self._learn = None
            resolved = self._resolve(row.der)
        if resolved.issuers:
            self._marks.append(self._mark(resolved.issuers[0].body.spki, row.der))
            return None
        if _is_false(resolved):
            return resolved.findings[0].detail
        self.unproven += 1
        return None

    def refuse_among(self, db: Db) -> Iterator[tuple[HeldRow, str]]:
        """Every row of a generation in the making that may not stay, with the reason."""
        self._acquaint(authorities_in(read_authorities(db)))
        refused = 0
        for some in in_threads(self._prove, read_rows(db), self.threads):
            self._marks += some.marks
            self.unproven += some.unproven
            refused += len(some.refused)
            if refused > self.limit:
                raise BadExtract(
                    f"more than {self.limit:,} certificates of this full are not signed by their issuers",
                    hint='Keep the file and tell the DCC; `policy.verify = "off"` takes it as it is.',
                    code=Fault.TOO_MANY_REJECTED.value,
                )
            yield from some.refused

    def _prove(self, rows: list[HeldRow]) -> _Proven:
        """Prove some rows, but for those that are remembered."""
        marks = {mark: row.id for row in rows for mark in self._first_marks(row.der)}
        proven = {marks[mark] for mark in self.proofs.known(list(marks))} if marks else set()
        done = _Proven(refused=[], marks=[], unproven=0)
        unproven = 0
        for row in rows:
            if row.id in proven:
                continue
            resolved = self._resolve(row.der)
            if resolved.issuers:
                done.marks.append(self._mark(resolved.issuers[0].body.spki, row.der))
            elif _is_false(resolved):
                done.refused.append((row, resolved.findings[0].detail))
            else:
                unproven += 1
        return _Proven(refused=done.refused, marks=done.marks, unproven=unproven)

    def _first_marks(self, der: bytes) -> set[int]:
        first = self._authorities.first_choice(examine(der).facts)
        return {self._mark(one.body.spki, der) for one in first}

    def _resolve(self, der: bytes) -> Resolved:
        return self._authorities.resolve(examine(der).facts, der, read_body(der))

    def _mark(self, spki: bytes, der: bytes) -> int:
        marker = self._markers.get(spki)
        if marker is None:
            marker = self._markers[spki] = self.proofs.marker(spki)
        return marker(der)

    def _acquaint(self, more: Iterable[Authority]) -> None:
        self.known += more
        self._authorities = Authorities(self.known, self.anchors, find=lambda _key_id: ())


def _is_false(resolved: Resolved) -> bool:
    return any(finding.code is Code.SIGNATURE_FALSE for finding in resolved.findings)
