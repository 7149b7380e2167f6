"""Issuers and chains: who is an issuer at all, who may issue, and where a chain ends."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from support.chains import codes, details, held, judged
from support.defects import (
    DEVICE,
    NOW,
    ORGANISATION,
    P384,
    PKI,
    SINCE,
    Plan,
    certified,
    flipped,
    made,
    name,
    signer,
    with_extension,
    with_usage,
)
from support.x509_builders import REAL

from smki_sync.model.certificate import KeyId
from smki_sync.simulator import pki
from smki_sync.trust.chain import (
    DEPTH_LIMIT,
    FURTHER_LIMIT,
    Authorities,
    Authority,
    AuthorityStatus,
    ChainValidator,
    anchors_of,
    authority_of,
    differs_from_anchor,
)
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import read_body

DEVICE_OF_DCA = made(Plan(), PKI.dca)
LONG_AGO = datetime(2000, 1, 1, tzinfo=SINCE.tzinfo)
ROOTS = held(*PKI.roots)


# Which key has signed.


def test_validate_finds_the_signer_by_key_identifier() -> None:
    second = signer(PKI.dca.name)
    rows = held(*PKI.authorities, certified(second, PKI.dca_root))
    for authority in (PKI.dca, second):
        verdict = judged(made(Plan(), authority), rows)
        assert codes(verdict) == set()
        assert verdict.links[0].key_id == authority.key_id.hex().upper()


def test_validate_finds_the_signer_by_signature() -> None:
    second = signer(PKI.dca.name)
    rows = held(*PKI.authorities, certified(second, PKI.dca_root))
    verdict = judged(made(Plan(aki=None), second), rows)
    assert codes(verdict) == {"aki-missing", "issuer-ambiguous"}
    assert verdict.links[0].key_id == second.key_id.hex().upper()


def test_validate_tries_each_key_of_a_key_identifier() -> None:
    second = signer(PKI.dca.name)
    rows = held(*PKI.authorities, certified(second, PKI.dca_root, ski=PKI.dca.key_id))
    verdict = judged(made(Plan(aki=PKI.dca.key_id), second), rows)
    assert codes(verdict) == {"issuer-ambiguous"}
    assert verdict.anchored


def test_validate_finds_a_signer_without_key_identifier() -> None:
    rows = held(*PKI.roots, certified(PKI.dca, PKI.dca_root, ski=None))
    verdict = judged(DEVICE_OF_DCA, rows)
    assert codes(verdict) == set()
    assert verdict.anchored


def test_validate_takes_the_valid_certificate_of_a_key() -> None:
    spent = pki.authority(PKI.dca.name, LONG_AGO, root=False)
    expired = made(Plan(profile=replace(spent, not_after=SINCE), key=PKI.dca.key), PKI.dca_root)
    for rows in ((expired, *PKI.authorities), (*PKI.authorities, expired)):
        assert codes(judged(DEVICE_OF_DCA, held(*rows))) == set()


def test_validate_reports_a_key_that_is_not_on_p256() -> None:
    odd = certified(replace(PKI.dca, key=P384), PKI.dca_root, ski=PKI.dca.key_id)
    verdict = judged(DEVICE_OF_DCA, [*ROOTS, *held(odd)])
    assert codes(verdict) == {"signature-unchecked"}
    assert "P-256" in details(verdict)


# Who may issue.


def test_validate_tells_an_end_entity_from_a_missing_issuer() -> None:
    owner = signer(ORGANISATION.subject)
    certificate = made(Plan(profile=ORGANISATION, key=owner.key), PKI.oca)
    device = made(Plan(), owner)
    assert codes(judged(device)) == {"issuer-unknown"}
    verdict = judged(device, among_end_entities=[certificate])
    assert codes(verdict) == {"issuer-not-a-ca"}
    assert verdict.signed


def test_validate_accepts_an_end_entity_as_anchor() -> None:
    owner = signer(ORGANISATION.subject)
    certificate = made(Plan(profile=ORGANISATION, key=owner.key), PKI.oca)
    verdict = judged(made(Plan(), owner), [], trusted=[certificate])
    assert codes(verdict) == set()
    assert verdict.anchored


def test_validate_does_not_search_without_key_identifier() -> None:
    owner = signer(ORGANISATION.subject)
    certificate = made(Plan(profile=ORGANISATION, key=owner.key), PKI.oca)
    verdict = judged(made(Plan(aki=None), owner), among_end_entities=[certificate])
    assert codes(verdict) == {"aki-missing", "issuer-unknown"}


def test_validate_uses_the_given_signature_check() -> None:
    judge = ChainValidator(Authorities(held(*PKI.authorities), (), find=lambda _: ()), int(NOW.timestamp()))
    forged = flipped(DEVICE_OF_DCA, -1)
    asked: list[str] = []

    def believe(authority: Authority, _der: bytes, _body: object) -> bool:
        asked.append(authority.label)
        return True

    for _ in range(2):
        assert judge.validate(read_facts(forged), forged, read_body(forged), believe).signed
    assert len(asked) == 2
    assert len(set(asked)) == 1


def test_validate_limits_searches_among_end_entities() -> None:
    asked: list[KeyId] = []

    def find(key_id: KeyId) -> list[Authority]:
        asked.append(key_id)
        return []

    judge = ChainValidator(Authorities(ROOTS, (), find=find), int(NOW.timestamp()))
    for _ in range(2):
        for number in range(FURTHER_LIMIT + 3):
            der = made(Plan(aki=bytes((1, *range(6), number))), signer(name(cn="E358")))
            verdict = judge.validate(read_facts(der), der, read_body(der))
            assert codes(verdict) == {"issuer-unknown"}
    assert len(asked) == len(set(asked)) == FURTHER_LIMIT


@pytest.mark.parametrize(
    ("at", "code"), [(SINCE - timedelta(days=1), "issuer-not-yet-valid"), (NOW, "issuer-expired")]
)
def test_validate_reports_an_issuer_that_is_not_valid(at: datetime, code: str) -> None:
    profile = replace(pki.authority(PKI.dca.name, SINCE, root=False), not_after=NOW - timedelta(days=1))
    rows = [*ROOTS, *held(made(Plan(profile=profile, key=PKI.dca.key), PKI.dca_root))]
    old = made(Plan(profile=replace(DEVICE, not_before=LONG_AGO)), PKI.dca)
    verdict = judged(old, rows, trusted=[], at=at)
    assert code in codes(verdict)
    assert codes(verdict) <= {code, "issuer-not-proven"}  # the root is as young as the issuer


def test_validate_uses_the_given_time() -> None:
    short = made(Plan(profile=replace(ORGANISATION, not_after=NOW)), PKI.oca)
    assert codes(judged(short, at=NOW)) == set()
    assert codes(judged(short, at=NOW + timedelta(seconds=1))) == {"expired"}
    assert codes(judged(short, at=SINCE - timedelta(seconds=1))) >= {"not-yet-valid"}


@pytest.mark.parametrize(
    ("status", "code"),
    [(AuthorityStatus.REVOKED, "issuer-revoked"), (AuthorityStatus.NOT_IN_USE, "issuer-not-in-use")],
)
def test_validate_tells_a_revoked_issuer_from_one_not_in_use(status: AuthorityStatus, code: str) -> None:
    rows = [*ROOTS, *held(PKI.issuing[1], status=status)]
    verdict = judged(DEVICE_OF_DCA, rows)
    assert codes(verdict) == {code}
    assert verdict.has_errors == (status is AuthorityStatus.REVOKED)


def test_validate_reports_an_issuer_that_may_not_sign() -> None:
    profile = with_usage(pki.authority(PKI.dca.name, SINCE, root=False), "crl_sign")
    rows = [*ROOTS, *held(made(Plan(profile=profile, key=PKI.dca.key), PKI.dca_root))]
    assert codes(judged(DEVICE_OF_DCA, rows)) == {"issuer-may-not-sign"}


def test_validate_reports_a_path_that_is_too_long() -> None:
    lower = signer(name(cn="E359"))
    rows = [*held(*PKI.authorities), *held(certified(lower, PKI.dca))]
    verdict = judged(made(Plan(), lower), rows)
    assert codes(verdict) == {"issuer-not-proven"}
    assert "path-too-long" in details(verdict)


def test_validate_reports_a_forged_authority() -> None:
    rows = [*ROOTS, *held(flipped(PKI.issuing[1], -1))]
    verdict = judged(DEVICE_OF_DCA, rows)
    assert codes(verdict) == {"issuer-not-proven"}
    assert "signature-false" in details(verdict)
    assert not verdict.anchored


def test_validate_reports_an_authority_with_an_unknown_extension() -> None:
    profile = pki.authority(PKI.dca.name, SINCE, root=False)
    odd = made(
        Plan(profile=with_extension(profile, "2.5.29.99", critical=True), key=PKI.dca.key), PKI.dca_root
    )
    verdict = judged(DEVICE_OF_DCA, [*ROOTS, *held(odd)])
    assert codes(verdict) == {"issuer-not-proven"}
    assert "critical-unknown" in details(verdict)


def test_validate_reports_a_wrong_name_further_up() -> None:
    odd = certified(PKI.dca, PKI.dca_root, named=name(cn="somebody"))
    verdict = judged(DEVICE_OF_DCA, [*ROOTS, *held(odd)])
    assert codes(verdict) == {"issuer-not-proven"}
    assert "issuer-name-differs" in details(verdict)


# Where a chain ends.


def test_validate_accepts_an_issuing_authority_as_anchor() -> None:
    verdict = judged(DEVICE_OF_DCA, [], trusted=[PKI.issuing[1]])
    assert codes(verdict) == set()
    assert verdict.anchored
    assert [link.is_anchor for link in verdict.links] == [True]


def test_validate_knows_an_anchor_by_name_and_key() -> None:
    renewed = certified(PKI.dca, PKI.dca_root, since=SINCE + timedelta(days=1))
    verdict = judged(DEVICE_OF_DCA, held(renewed), trusted=[PKI.issuing[1]])
    assert verdict.anchored
    assert judged(renewed, held(renewed), trusted=[PKI.issuing[1]]).anchored


def test_validate_reports_an_expired_anchor() -> None:
    verdict = judged(DEVICE_OF_DCA, [], trusted=[PKI.issuing[1]], at=SINCE + timedelta(days=30 * 365))
    assert codes(verdict) == {"issuer-expired"}


def test_validate_reports_a_root_that_is_not_trusted() -> None:
    verdict = judged(DEVICE_OF_DCA, trusted=[PKI.roots[0]])
    assert codes(verdict) == {"not-anchored"}
    assert "signs itself" in details(verdict)
    assert codes(judged(PKI.roots[1], trusted=[PKI.roots[0]])) == {"not-anchored"}


def test_validate_reports_a_chain_with_a_missing_issuer() -> None:
    verdict = judged(DEVICE_OF_DCA, held(PKI.issuing[1]), trusted=[PKI.roots[0]])
    assert codes(verdict) == {"not-anchored"}
    assert "is not known" in details(verdict)


def test_validate_follows_a_chain_without_anchors() -> None:
    verdict = judged(DEVICE_OF_DCA, trusted=[])
    assert codes(verdict) == set()
    assert not verdict.anchored
    assert len(verdict.links) == 2
    assert codes(judged(DEVICE_OF_DCA, held(PKI.issuing[1]), trusted=[])) == set()
    assert codes(judged(PKI.issuing[1], held(PKI.issuing[1]), trusted=[])) == {"issuer-unknown"}


def test_validate_ends_when_authorities_form_a_circle() -> None:
    one, other = signer(name(cn="one")), signer(name(cn="other"))
    rows = held(certified(one, other, root=True), certified(other, one, root=True))
    verdict = judged(made(Plan(), one), rows, trusted=[PKI.roots[0]])
    assert codes(verdict) == {"not-anchored"}
    assert "circle" in details(verdict)


def test_validate_ends_at_the_depth_limit() -> None:
    row = [signer(name(cn=f"authority {n}")) for n in range(DEPTH_LIMIT + 3)]
    top = certified(row[0], row[0], root=True)
    rest = [certified(lower, upper, root=True) for upper, lower in pairwise(row)]
    verdict = judged(made(Plan(), row[-1]), held(top, *rest), trusted=[top])
    assert codes(verdict) == {"not-anchored"}
    assert len(verdict.links) == DEPTH_LIMIT
    near = judged(made(Plan(), row[2]), held(top, *rest), trusted=[top])
    assert codes(near) == set()


def test_validate_does_not_count_a_key_rollover() -> None:
    new = signer(PKI.dca_root.name)
    limited = replace(
        pki.authority(PKI.dca_root.name, SINCE, root=True),
        extensions=pki.authority(PKI.dca_root.name, SINCE, root=False).extensions,
    )
    top = made(Plan(profile=limited, key=PKI.dca_root.key), PKI.dca_root)  # path length 0
    rolled = certified(new, PKI.dca_root, root=True)
    verdict = judged(made(Plan(), new), held(top, rolled), trusted=[])
    assert codes(verdict) == set()


def test_validate_accepts_a_root_without_key_identifier() -> None:
    root = certified(PKI.oca_root, PKI.oca_root, root=True, aki=None)
    assert codes(judged(root, held(root), trusted=[root])) == set()
    assert codes(judged(root, held(root), trusted=[])) == set()


def test_first_choice_is_by_key_identifier_or_name() -> None:
    authorities = Authorities(held(*PKI.authorities), (), find=lambda _: ())
    named = authorities.first_choice(read_facts(DEVICE_OF_DCA))
    unnamed = authorities.first_choice(read_facts(made(Plan(aki=None), PKI.dca)))
    assert [one.label for one in named] == [one.label for one in unnamed] == [f"CN=E357 (key {_KEY})"]
    assert not authorities.first_choice(read_facts(made(Plan(), signer(name(cn="E358")))))


_KEY = PKI.dca.key_id.hex().upper()


def test_validate_takes_the_route_to_an_anchor() -> None:
    cross = signer(name(cn="cross"))
    crossed = certified(PKI.dca, cross)
    rows = held(crossed, certified(cross, cross, root=True), *PKI.authorities)
    verdict = judged(DEVICE_OF_DCA, rows)
    assert codes(verdict) == set()
    assert verdict.anchored


# The DCC's own test certificates.

Z1 = REAL[12]


def test_validate_accepts_a_real_organisation() -> None:
    at = datetime(2025, 6, 1, tzinfo=NOW.tzinfo)
    verdict = judged(REAL[11], held(Z1), trusted=[Z1], at=at)
    assert codes(verdict) == set()
    assert verdict.anchored
    assert codes(judged(REAL[11], held(Z1), trusted=[Z1])) == {"expired"}


def test_validate_calls_another_real_key_unknown() -> None:
    verdict = judged(REAL[8], held(Z1), trusted=[Z1])
    assert codes(verdict) == {"aki-missing", "issuer-unknown"}
    assert not verdict.signed


@pytest.mark.parametrize("number", range(8))
def test_validate_accepts_the_profile_of_a_real_device(number: int) -> None:
    assert codes(judged(REAL[number], held(Z1), trusted=[Z1])) == {"issuer-unknown"}


def test_validate_accepts_a_real_authority_as_anchor() -> None:
    assert codes(judged(Z1, held(Z1), trusted=[Z1])) == set()
    assert codes(judged(Z1, held(Z1), trusted=[])) == {"issuer-unknown"}


def test_anchors_of_removes_duplicates() -> None:
    assert len(anchors_of([Z1, Z1])) == 1
    assert authority_of(Z1, AuthorityStatus.IN_USE).signs_itself is False


# Names that RFC 5280 7.1 calls equal, and altered anchors.


def test_validate_compares_names_as_rfc_5280_requires() -> None:
    upper = name(cn="  e357 ")
    der = made(Plan(named=upper), PKI.dca)
    assert read_facts(der).issuer != read_facts(DEVICE_OF_DCA).issuer
    verdict = judged(der)
    assert codes(verdict) == set()
    assert verdict.anchored


def altered(der: bytes) -> bytes:
    """The certificate with another signature: same issuer and serial number, other bytes."""
    return flipped(der, -1)


def test_validate_refuses_a_certificate_that_differs_from_an_anchor() -> None:
    root = PKI.trusted[0]
    verdict = judged(altered(root))
    assert "anchor-differs" in codes(verdict)
    assert verdict.has_errors
    assert not verdict.anchored
    assert codes(judged(root)) == set()


def test_validate_uses_the_bytes_of_the_anchor_and_not_the_altered_row() -> None:
    rows = [*held(*map(altered, PKI.roots)), *held(*PKI.issuing)]
    verdict = judged(DEVICE_OF_DCA, rows)
    assert codes(verdict) == set()
    assert verdict.anchored
    assert verdict.links[-1].der in PKI.trusted


def test_differs_from_anchor_compares_issuer_serial_and_bytes() -> None:
    anchors = anchors_of(PKI.trusted)
    root = PKI.trusted[0]
    facts = read_facts(root)
    assert differs_from_anchor(anchors, facts.issuer, facts.serial, altered(root))
    assert differs_from_anchor(anchors, facts.issuer.replace("CN=", "CN= "), facts.serial, altered(root))
    assert not differs_from_anchor(anchors, facts.issuer, facts.serial, root)
    assert not differs_from_anchor(anchors, facts.issuer, "01", altered(root))
    assert not differs_from_anchor((), facts.issuer, facts.serial, altered(root))
