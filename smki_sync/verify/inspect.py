"""Some rows: each held against its certificate, each certificate against its profile and its chain.

For: :class:`Inspector`, which is shared by the threads that verify a mirror, and by whoever verifies a few
rows. Signatures that are remembered are not worked out again. Refuses: to read or write a mirror.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from smki_sync.mirror.held import HeldRow
from smki_sync.mirror.integrity import Recount
from smki_sync.mirror.schema import KINDS
from smki_sync.mirror.signature_cache import Marker, Proofs
from smki_sync.model.certificate import Facts
from smki_sync.trust.authorities import Authority, prove
from smki_sync.trust.chain import Judge, Verdict
from smki_sync.trust.findings import Code, Finding
from smki_sync.verify.report import Subject, Tally
from smki_sync.x509 import examine
from smki_sync.x509.certificate import Body, read_body


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What some rows came to. ``marks``: of signatures that were proven just now."""

    rows: int
    tally: Tally
    recount: Recount
    marks: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A row and what its certificate says; ``marks``: by the keys that are tried first."""

    row: HeldRow
    facts: Facts
    body: Body
    marks: Mapping[int, bytes]


@dataclass(slots=True)
class Inspector:
    """``judge``: knows authorities, anchors and time. ``afresh``: what is remembered is not asked."""

    judge: Judge
    proofs: Proofs
    any_status: bool = False
    afresh: bool = False
    _markers: dict[bytes, Marker] = field(default_factory=dict)

    def inspect(self, rows: Sequence[HeldRow]) -> Inspected:
        """Take some rows through all steps."""
        tally, recount = Tally(), Recount()
        read: list[_Read] = []
        for row in rows:
            recount.take(row)
            if row.in_use or self.any_status:
                tally.checked += 1
                self._read(row, read, tally)
        marks = [mark for one in read for mark in one.marks]
        known = self.proofs.known(marks) if marks and not self.afresh else set()
        fresh = [mark for one in read for mark in self._judge(one, known, tally)]
        return Inspected(rows=len(rows), tally=tally, recount=recount, marks=fresh)

    def _read(self, row: HeldRow, read: list[_Read], tally: Tally) -> None:
        try:
            facts, body = examine(row.der).facts, read_body(row.der)
        except ValueError as exc:
            tally.take(subject_of(row), (Finding(Code.NOT_A_CERTIFICATE, str(exc)),))
            return
        keys = {one.body.spki for one in self.judge.authorities.first_choice(facts)}
        marks = {self._marker(spki)(row.der): spki for spki in keys}
        read.append(_Read(row=row, facts=facts, body=body, marks=marks))

    def _judge(self, one: _Read, known: set[int], tally: Tally) -> Iterator[int]:
        """Judge one certificate; gives the mark of its signature where that was proven just now."""
        row = one.row
        remembered = next((spki for mark, spki in one.marks.items() if mark in known), None)
        verdict = self._verdict(one, remembered)
        findings = [*verdict.findings, *differences(row, one.facts)]
        if findings:
            tally.take(subject_of(row), findings)
        tally.anchored += verdict.anchored
        if verdict.signed and remembered:
            tally.remembered += 1
        elif verdict.signed:
            tally.proven += 1
            yield self._marker(verdict.links[0].body.spki)(row.der)

    def _verdict(self, one: _Read, remembered: bytes | None) -> Verdict:
        """``remembered``: the key that is known to have signed, so that no other can have."""

        def knows(authority: Authority, _der: bytes, _body: Body) -> bool:
            return authority.body.spki == remembered

        proves = prove if remembered is None else knows
        return self.judge.judge(one.facts, one.row.der, one.body, proves)

    def _marker(self, spki: bytes) -> Marker:
        marker = self._markers.get(spki)
        if marker is None:
            marker = self._markers[spki] = self.proofs.marker(spki)
        return marker


def subject_of(row: HeldRow) -> Subject:
    """Whose certificate a row holds."""
    return Subject(
        kind=KINDS[row.kind].value if 0 <= row.kind < len(KINDS) else str(row.kind),
        eui=row.eui,
        name=row.subject or "",
        serial=row.serial,
        issuer=row.issuer,
        status=row.status,
    )


def differences(row: HeldRow, facts: Facts) -> list[Finding]:
    """What the row says otherwise than its certificate; where that is silent, the row holds a claim."""
    pairs: tuple[tuple[str, object, object], ...] = (
        ("serial", row.serial, facts.serial),
        ("issuer", row.issuer, facts.issuer),
        ("subject", row.subject or "", facts.subject),
        ("kind", row.kind, KINDS.index(facts.kind)),
        ("not_before", row.not_before, facts.not_before),
        ("not_after", row.not_after, facts.not_after),
        ("ski", row.ski, facts.ski),
        ("eui", row.eui, facts.eui or row.eui),
        ("role", row.role, row.role if facts.role is None else facts.role),
        ("usage", row.usage, facts.usage or row.usage),
    )
    return [
        Finding(Code.ROW_DIFFERS, f"column {name} says {held!r:.40}, the certificate {said!r:.40}")
        for name, held, said in pairs
        if held != said
    ]
