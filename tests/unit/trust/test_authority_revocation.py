"""Which certificates have a revoked authority above them."""

from dataclasses import replace

import pytest

from smki_sync.model.certificate import KeyId
from smki_sync.trust.authority_revocation import DEPTH_LIMIT, AuthorityRecord, RevokedAuthorities

A, B, C = KeyId("AA"), KeyId("BB"), KeyId("CC")
ROOT = AuthorityRecord(subject="CN=Root", serial="01", issuer="CN=Root", key_id=A, aki=A, in_use=True)
ISSUING = AuthorityRecord(subject="CN=Issuing", serial="02", issuer="CN=Root", key_id=B, aki=A, in_use=True)
SINCE = 1_800_000_000


def revoked(record: AuthorityRecord, since: int = SINCE) -> AuthorityRecord:
    return replace(record, in_use=False, revoked=since)


def above(*records: AuthorityRecord, issuer: str = "CN=Issuing", aki: KeyId | None = B) -> str | None:
    """The serial number of the revoked authority above a certificate."""
    found = RevokedAuthorities(records).above(issuer, aki)
    return found.serial if found else None


def test_above_is_none_when_no_authority_is_revoked() -> None:
    assert above(ROOT, ISSUING) is None
    assert not RevokedAuthorities([ROOT, ISSUING])


def test_above_finds_a_revoked_issuer() -> None:
    assert above(ROOT, revoked(ISSUING)) == "02"
    assert above(ROOT, revoked(ISSUING), issuer="cn=ISSUING".replace("cn", "CN")) == "02"
    found = RevokedAuthorities([ROOT, revoked(ISSUING)]).above("CN=Issuing", B)
    assert found is not None
    assert (found.subject, found.key_id, found.since) == ("CN=Issuing", B, SINCE)


def test_above_finds_a_revoked_root() -> None:
    assert above(revoked(ROOT), ISSUING) == "01"
    assert above(revoked(ROOT), replace(ISSUING, aki=None)) == "01"


def test_above_is_none_for_another_key_of_the_same_name() -> None:
    second = replace(ISSUING, serial="03", key_id=C)
    assert above(ROOT, revoked(ISSUING), second, aki=C) is None
    assert above(ROOT, revoked(ISSUING), second, aki=B) == "02"


def test_above_is_a_revoked_key_when_the_certificate_names_no_key() -> None:
    second = replace(ISSUING, serial="03", key_id=C)
    assert above(ROOT, revoked(ISSUING), second, aki=None) == "02"
    assert above(ROOT, ISSUING, second, aki=None) is None


def test_above_is_none_when_the_key_has_a_certificate_in_use() -> None:
    renewed = replace(ISSUING, serial="03")
    assert above(ROOT, revoked(ISSUING), renewed) is None
    assert above(ROOT, revoked(ISSUING), replace(renewed, in_use=False)) == "02"


def test_above_names_the_earliest_revocation() -> None:
    assert above(ROOT, revoked(ISSUING), revoked(replace(ISSUING, serial="03"), SINCE - 1)) == "03"


def test_above_is_none_for_an_authority_that_is_only_out_of_use() -> None:
    assert above(ROOT, replace(ISSUING, in_use=False)) is None


@pytest.mark.parametrize("length", [2, DEPTH_LIMIT, 50])
def test_above_ends_when_authorities_form_a_circle(length: int) -> None:
    circle = [
        AuthorityRecord(
            subject=f"CN={n}",
            serial=f"{n:02X}",
            issuer=f"CN={(n + 1) % length}",
            key_id=KeyId(f"{n:02X}"),
            aki=None,
            in_use=True,
        )
        for n in range(length)
    ]
    assert above(*circle, issuer="CN=0", aki=KeyId("00")) is None


def test_keys_of_returns_none_for_all_keys() -> None:
    second = replace(ISSUING, serial="03", key_id=C)
    found = RevokedAuthorities([ROOT, revoked(ISSUING), second])
    assert [(key, one.serial) for key, one in found.keys_of("CN=issuing")] == [(B, "02")]
    both = RevokedAuthorities([ROOT, revoked(ISSUING), revoked(second)])
    assert [key for key, _ in both.keys_of("CN=Issuing")] == [None]
    assert both.keys_of("CN=Root") == both.keys_of("CN=other") == []
