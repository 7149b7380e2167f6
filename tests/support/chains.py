"""Validate one certificate among the authorities and anchors of a test."""

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


def held(*ders: bytes, status: AuthorityStatus = AuthorityStatus.IN_USE) -> list[Authority]:
    return [authority_of(der, status) for der in ders]


def judged(
    der: bytes,
    authorities: Sequence[Authority] | None = None,
    *,
    trusted: Iterable[bytes] = PKI.trusted,
    at: datetime = NOW,
    among_end_entities: Sequence[bytes] = (),
) -> ChainVerdict:
    """``authorities``: of the mirror (default: those of the PKI)."""

    def find(key_id: KeyId) -> list[Authority]:
        return [one for one in held(*among_end_entities) if one.facts.ski == key_id]

    rows = held(*PKI.authorities) if authorities is None else authorities
    validator = ChainValidator(Authorities(rows, anchors_of(trusted), find=find), int(at.timestamp()))
    return validator.validate(read_facts(der), der, read_body(der))


def codes(verdict: ChainVerdict) -> set[str]:
    return {finding.code.value for finding in verdict.findings}


def details(verdict: ChainVerdict) -> str:
    return "; ".join(finding.detail for finding in verdict.findings)
