"""One certificate before the judge, among authorities and anchors of the test's choice."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from smki_sync.model.certificate import KeyId
from smki_sync.trust.chain import (
    Authorities,
    Authority,
    AuthorityStatus,
    ChainValidator,
    ChainVerdict,
    anchors_of,
    authority_of,
)
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import read_body
from support.defects import NOW, PKI


def held(*ders: bytes, standing: AuthorityStatus = AuthorityStatus.IN_USE) -> list[Authority]:
    return [authority_of(der, standing) for der in ders]


def judged(
    der: bytes,
    authorities: Sequence[Authority] | None = None,
    *,
    trusted: Iterable[bytes] = PKI.trusted,
    at: datetime = NOW,
    among_end_entities: Sequence[bytes] = (),
) -> ChainVerdict:
    """``authorities``: of the mirror; those of the PKI unless given."""

    def find(key_id: KeyId) -> list[Authority]:
        return [one for one in held(*among_end_entities) if one.facts.ski == key_id]

    rows = held(*PKI.authorities) if authorities is None else authorities
    judge = ChainValidator(Authorities(rows, anchors_of(trusted), find=find), int(at.timestamp()))
    return judge.judge(read_facts(der), der, read_body(der))


def codes(verdict: ChainVerdict) -> set[str]:
    return {finding.code.value for finding in verdict.findings}


def details(verdict: ChainVerdict) -> str:
    return "; ".join(finding.detail for finding in verdict.findings)
