"""ARL and CRL: what is read, what may come into force, what is stale."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.list_pki import (
    ISSUED,
    ISSUING,
    LIFE,
    ROOT,
    SECOND_KEY,
    WHEN,
    Form,
    certificate,
    held,
    listed,
    octets,
    signer,
    with_null,
)

from smki_sync.model.certificate import key_id_of
from smki_sync.model.extract import ListKind, ListPolicy
from smki_sync.model.report import NoticeCode
from smki_sync.simulator import pki
from smki_sync.simulator.pki import Authority
from smki_sync.simulator.publisher import signed_by_another
from smki_sync.trust.chain import Authorities, AuthorityStatus, ChainValidator, anchors_of, authority_of
from smki_sync.trust.revocation_lists import (
    Distrust,
    NotAList,
    ProvenList,
    Refusal,
    distrust_by,
    expected,
    judge_list,
    read_list,
    take_apart,
    why_stale,
)

REASON = (x509.CRLReason(x509.ReasonFlags.key_compromise), False)
REMOVED = (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)
FUTURE_DOUBT = (x509.InvalidityDate(WHEN.replace(tzinfo=None)), False)
POINT = x509.DistributionPoint([x509.UniformResourceIdentifier("urn:x")], None, None, None)
KEY = key_id_of(ISSUING.key_id)
DAY = timedelta(days=1)


def idp(*, user: bool = False, indirect: bool = False, some: bool = False) -> x509.IssuingDistributionPoint:
    reasons = frozenset({x509.ReasonFlags.key_compromise}) if some else None
    return x509.IssuingDistributionPoint(None, None, user, False, reasons, indirect, False)


def code_of(verdict: ProvenList | Refusal) -> NoticeCode | None:
    return verdict.code if isinstance(verdict, Refusal) else None


# Reading.


def test_a_list_says_who_signed_it_when_and_what_it_revokes() -> None:
    found = listed(form=Form(lines=((0x0A1B, (REASON,)), (0xFF, (FUTURE_DOUBT,)), (1, ()))))
    assert found.issuer == "CN=OCA Issuing S2,OU=07"
    assert (found.key_id, found.number) == (KEY, 5)
    assert found.this_update == int(ISSUED.timestamp())
    assert found.next_update == int((ISSUED + LIFE).timestamp())
    since = int(WHEN.timestamp())
    assert [tuple(line) for line in found.revoked] == [
        ("0A1B", since, "keyCompromise"),
        ("FF", since, None),
        ("01", since, None),
    ]


def test_pem_and_der_hold_the_same_list() -> None:
    made = octets(ISSUING)
    armoured = b"issued by hand\n" + pem_of(made)
    assert read_list(armoured) == read_list(made)


def pem_of(made: bytes) -> bytes:
    return x509.load_der_x509_crl(made).public_bytes(Encoding.PEM)


def test_a_line_that_takes_a_certificate_off_the_list_revokes_nothing() -> None:
    found = listed(form=Form(lines=((5, (REMOVED,)), (6, ()))))
    assert [line.serial for line in found.revoked] == ["06"]


def test_number_and_key_identifier_may_be_absent() -> None:
    found = listed(form=Form(number=None, aki=False))
    assert (found.number, found.key_id) == (None, None)


def test_a_list_without_next_update_is_read() -> None:
    made = octets(ISSUING)
    tbs, algorithm, signature = pki.split_signed(made)
    stamp = pki.tlv(0x17, (ISSUED + LIFE).strftime("%y%m%d%H%M%SZ").encode())
    assert stamp in tbs
    bare = pki.tlv(pki.SEQUENCE, pki.first(tbs)[1].replace(stamp, b""))
    assert read_list(pki.join_signed(bare, algorithm, signature)).next_update is None


PLACES = pytest.mark.parametrize(
    ("inside", "beside"), [(True, True), (True, False), (False, True)], ids=["both", "inside", "beside"]
)
"""Where an AlgorithmIdentifier carries a NULL that does not belong there."""


def long_number() -> x509.ExtensionType:
    """More digits than Python writes."""
    return x509.UnrecognizedExtension(x509.CRLNumber.oid, pki.tlv(2, b"\x7f" * 3000))


def of_version(number: int) -> bytes:
    tbs, algorithm, signature = pki.split_signed(octets(ISSUING))
    return pki.join_signed(tbs.replace(b"\2\1\1", bytes((2, 1, number)), 1), algorithm, signature)


def test_a_negative_serial_number_is_known_by_its_octets_as_that_of_a_certificate_is() -> None:
    made = octets(ISSUING, Form(lines=((0xA1B2, ()), (0x8000, ()))))
    tbs, algorithm, signature = pki.split_signed(made)
    content = pki.first(tbs)[1]
    lines = b"".join(line_of(serial) for serial in (b"\0\xa1\xb2", b"\0\x80\0"))
    shorter = b"".join(line_of(serial) for serial in (b"\xa1\xb2", b"\x80\0"))
    assert lines in content
    content = content.replace(pki.tlv(pki.SEQUENCE, lines), pki.tlv(pki.SEQUENCE, shorter))
    found = read_list(pki.join_signed(pki.tlv(pki.SEQUENCE, content), algorithm, signature))
    assert found.revoked == read_list(made).revoked


def line_of(serial: bytes) -> bytes:
    return pki.tlv(pki.SEQUENCE, pki.tlv(2, serial) + pki.tlv(0x17, WHEN.strftime("%y%m%d%H%M%SZ").encode()))


def test_a_number_of_twenty_octets_is_read() -> None:
    number = 2 ** (8 * 20 - 1) - 1  # RFC 5280 5.2.3
    assert listed(form=Form(number=number)).number == number


@PLACES
def test_a_null_among_the_parameters_of_the_algorithm_keeps_no_list_out(inside: bool, beside: bool) -> None:
    made = octets(ISSUING, Form(lines=((7, ()),)))
    odd = with_null(made, inside=inside, beside=beside)
    found = read_list(odd)
    assert found == replace(read_list(made), der=odd)  # the octets are those that were served
    assert judge_list(found, ListKind.CRL, [signer(ISSUING)], []) == ProvenList(signer=KEY, is_news=True)


@PLACES
def test_a_forged_list_is_none_the_better_for_a_null(inside: bool, beside: bool) -> None:
    odd = with_null(octets(ISSUING), SECOND_KEY, inside=inside, beside=beside)
    verdict = judge_list(read_list(odd), ListKind.CRL, [signer(ISSUING)], [])
    assert code_of(verdict) is NoticeCode.LIST_SIGNATURE_FALSE


def test_what_was_signed_counts_and_not_its_copy_without_the_null() -> None:
    made = octets(ISSUING)
    signature = pki.split_signed(made)[2]  # of the list without the NULL
    tbs = pki.with_null_parameters(pki.split_signed(made)[0])
    found = read_list(pki.join_signed(tbs, pki.ECDSA_WITH_SHA256_NULL, signature))
    assert code_of(judge_list(found, ListKind.CRL, [signer(ISSUING)], [])) is NoticeCode.LIST_SIGNATURE_FALSE


def test_a_list_of_the_first_version_is_read() -> None:
    tbs, algorithm, _ = pki.split_signed(octets(ISSUING))
    version, rest = pki.first(pki.first(tbs)[1])[0], pki.first(pki.first(tbs)[1])[2]
    assert version == bytes.fromhex("020101")
    parts = []
    while rest:
        part, _, rest = pki.first(rest)
        parts.append(part)
    first = pki.tlv(pki.SEQUENCE, b"".join(parts[:-1]))  # without extensions, which it cannot have
    found = read_list(with_null(pki.join_signed(first, algorithm, b"")))
    assert (found.key_id, found.number) == (None, None)
    assert code_of(judge_list(found, ListKind.CRL, [signer(ISSUING)], [])) is None


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (b"", "no CRL"),
        (b"no list at all", "no CRL"),
        (certificate(ROOT), "no CRL"),
        (octets(ISSUING)[:-1], "no CRL"),
        (octets(ISSUING) + b"\0", "no CRL"),
        (of_version(0), "no CRL"),
        (of_version(3), "no CRL"),
        (octets(ISSUING, Form(extensions=((long_number(), False),), number=None)), "more than 20 octets"),
        (pem_of(octets(ISSUING)) * 2, "2 lists"),
        (b"-----BEGIN X509 CRL-----\n####\n-----END X509 CRL-----", "no Base64"),
        (octets(ISSUING, Form(extensions=((x509.DeltaCRLIndicator(1), True),))), "delta CRL"),
        (octets(ISSUING, Form(extensions=((x509.FreshestCRL([POINT]), True),))), "2.5.29.46 is unknown"),
        (octets(ISSUING, Form(extensions=((idp(indirect=True), True),))), "indirect"),
        (octets(ISSUING, Form(extensions=((idp(some=True), True),))), "partial"),
        (
            octets(ISSUING, Form(lines=((5, ((x509.CertificateIssuer([x509.DNSName("x")]), True),)),))),
            "a line has the unknown critical extension",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_whole_list_of_one_issuer_is_refused(made: bytes, why: str) -> None:
    with pytest.raises(NotAList, match=why):
        read_list(made)


def test_a_list_that_says_that_it_is_of_end_entities_is_read() -> None:
    assert listed(form=Form(extensions=((idp(user=True), True),))).number == 5
    assert listed(form=Form(extensions=((x509.FreshestCRL([POINT]), False),))).number == 5


# Judging.


def test_a_list_that_an_authority_in_use_has_signed_may_come_into_force() -> None:
    assert judge_list(listed(), ListKind.CRL, [signer(ROOT, role=0), signer(ISSUING)], []) == ProvenList(
        signer=KEY, is_news=True
    )
    arl = listed(ROOT)
    assert judge_list(arl, ListKind.ARL, [signer(ROOT, role=0)], []) == ProvenList(
        signer=key_id_of(ROOT.key_id), is_news=True
    )


def test_a_list_in_force_is_no_news() -> None:
    found = listed()
    same = held(found, sha256=sha256(found.der).hexdigest())
    assert judge_list(found, ListKind.CRL, [signer(ISSUING)], [same]) == ProvenList(signer=KEY, is_news=False)


@pytest.mark.parametrize(
    ("number", "later", "refused"),
    [
        (4, 0, False),
        (5, 0, False),
        (6, 0, True),
        (5, 1, True),
        (4, 1, True),
        (None, 0, False),
        (None, 1, True),
    ],
)
def test_a_list_older_than_the_one_in_force_is_refused(number: int | None, later: int, refused: bool) -> None:
    found = listed()
    verdict = judge_list(found, ListKind.CRL, [signer(ISSUING)], [held(found, number=number, later=later)])
    assert code_of(verdict) == (NoticeCode.LIST_OLDER if refused else None)
    assert refused or (isinstance(verdict, ProvenList) and verdict.is_news)


def test_a_list_that_has_lost_its_number_is_refused() -> None:
    found = listed(form=Form(number=None, issued=ISSUED + DAY))
    verdict = judge_list(found, ListKind.CRL, [signer(ISSUING)], [held(found)])
    assert isinstance(verdict, Refusal)
    assert "absent" in verdict.why


def test_lists_of_another_kind_name_or_key_do_not_make_one_older() -> None:
    found = listed()
    later = held(found, number=9)
    others = [
        replace(later, kind=ListKind.ARL),
        replace(later, issuer="CN=other"),
        held(found, SECOND_KEY, number=9),
    ]
    assert code_of(judge_list(found, ListKind.CRL, [signer(ISSUING)], others)) is None


def test_of_two_keys_under_one_name_the_one_that_signed_counts() -> None:
    both = [signer(SECOND_KEY), signer(ISSUING)]
    assert judge_list(listed(), ListKind.CRL, both, []) == ProvenList(signer=KEY, is_news=True)
    unnamed = listed(form=Form(aki=False))
    assert judge_list(unnamed, ListKind.CRL, both, []) == ProvenList(signer=KEY, is_news=True)


def test_an_authority_without_key_identifier_is_tried_where_the_list_names_none() -> None:
    bare = signer(ISSUING, ski=False)
    assert judge_list(listed(form=Form(aki=False)), ListKind.CRL, [bare], []) == ProvenList(
        signer=KEY, is_news=True
    )


def test_a_signature_of_another_key_is_false() -> None:
    found = read_list(signed_by_another(octets(ISSUING)))
    assert code_of(judge_list(found, ListKind.CRL, [signer(ISSUING)], [])) is NoticeCode.LIST_SIGNATURE_FALSE


def test_another_algorithm_than_the_profiles_is_no_signature() -> None:
    found = listed(form=Form(sha384=True))
    assert code_of(judge_list(found, ListKind.CRL, [signer(ISSUING)], [])) is NoticeCode.LIST_SIGNATURE_FALSE


def test_a_signer_that_the_mirror_does_not_hold_is_unknown() -> None:
    for found, signers in (
        (listed(), [signer(ROOT, role=0)]),
        (listed(SECOND_KEY), [signer(ISSUING)]),
        (listed(form=Form(aki=False)), []),
    ):
        assert code_of(judge_list(found, ListKind.CRL, signers, [])) is NoticeCode.LIST_SIGNER_UNKNOWN


@pytest.mark.parametrize(
    ("kind", "by", "why"),
    [
        (ListKind.CRL, signer(ISSUING, in_use=False), "not In-Use"),
        (ListKind.ARL, signer(ISSUING), "role 7"),
        (ListKind.CRL, signer(ISSUING, role=0), "role 0"),
        (ListKind.CRL, signer(ISSUING, may_sign_lists=False), "may not sign lists"),
    ],
    ids=["not-in-use", "issuing-signs-arl", "root-signs-crl", "key-usage"],
)
def test_a_signer_that_may_not_sign_such_a_list_is_refused(kind: ListKind, by: object, why: str) -> None:
    verdict = judge_list(listed(), kind, [by], [])  # type: ignore[list-item]  # made above
    assert isinstance(verdict, Refusal)
    assert verdict.code is NoticeCode.LIST_SIGNER_UNFIT
    assert why in verdict.why


def test_an_authority_whose_role_is_unknown_may_sign() -> None:
    assert code_of(judge_list(listed(), ListKind.ARL, [signer(ISSUING, role=None)], [])) is None


def test_of_two_certificates_of_the_key_the_one_in_use_counts() -> None:
    both = [signer(ISSUING, in_use=False), signer(ISSUING)]
    assert code_of(judge_list(listed(), ListKind.CRL, both, [])) is None


def test_an_algorithm_beside_what_was_signed_that_is_not_the_one_inside_it_is_no_signature() -> None:
    tbs, _, signature = pki.split_signed(octets(ISSUING))
    sha384 = pki.split_signed(octets(ISSUING, Form(sha384=True)))[1]
    assert not take_apart(pki.join_signed(tbs, sha384, signature)).is_ecdsa_with_sha256


# Anchors.


def distrust(*anchors: bytes, at: datetime = ISSUED) -> Distrust:
    """Of one who holds root and issuing authority, and trusts some certificates."""
    held_ones = [authority_of(certificate(one), AuthorityStatus.IN_USE) for one in (ROOT, ISSUING)]
    authorities = Authorities(held_ones, anchors_of(anchors), find=lambda _: ())
    return distrust_by(ChainValidator(authorities, int(at.timestamp())))


@pytest.mark.parametrize("anchor", [ROOT, ISSUING], ids=["root", "issuing"])
def test_a_list_whose_signer_leads_to_an_anchor_may_come_into_force(anchor: Authority) -> None:
    trusting = distrust(certificate(anchor))
    verdict = judge_list(listed(), ListKind.CRL, [signer(ISSUING)], [], distrust=trusting)
    assert verdict == ProvenList(signer=KEY, is_news=True)


@pytest.mark.parametrize(
    ("trusting", "why"),
    [
        (distrust(certificate(SECOND_KEY)), "not at a trust anchor"),
        (distrust(certificate(ROOT), at=ISSUED - 90 * DAY), "not valid yet"),
    ],
    ids=["no anchor above", "not valid at the time"],
)
def test_a_list_whose_signer_is_not_proven_up_to_an_anchor_is_refused(trusting: Distrust, why: str) -> None:
    verdict = judge_list(listed(), ListKind.CRL, [signer(ISSUING)], [], distrust=trusting)
    assert isinstance(verdict, Refusal)
    assert verdict.code is NoticeCode.LIST_NOT_ANCHORED
    assert "CN=OCA Issuing S2" in verdict.why
    assert why in verdict.why


# Freshness.


@pytest.mark.parametrize(
    ("today", "limit", "stale"),
    [
        (ISSUED.date(), None, False),
        ((ISSUED + LIFE).date(), None, False),
        ((ISSUED + LIFE + DAY).date(), None, True),
        ((ISSUED + 3 * DAY).date(), 3, False),
        ((ISSUED + 4 * DAY).date(), 3, True),
    ],
)
def test_a_list_is_stale_after_its_next_update_or_the_operators_limit(
    today: date, limit: int | None, stale: bool
) -> None:
    assert bool(why_stale(held(listed()), today=today, max_age_days=limit)) == stale


def test_a_list_without_next_update_is_stale_by_the_operators_limit_alone() -> None:
    endless = replace(held(listed()), next_update=None)
    far = (ISSUED + 1000 * DAY).date()
    assert why_stale(endless, today=far, max_age_days=None) is None
    assert why_stale(endless, today=far, max_age_days=999)


def test_only_lists_of_an_authority_in_use_are_expected_to_be_fresh() -> None:
    used, left = held(listed()), held(listed(), signer_in_use=False)
    assert expected([used, left]) == [used]


def test_each_kind_has_its_own_limit_on_age() -> None:
    policy = ListPolicy(arl_max_age_days=400, crl_max_age_days=7)
    assert [policy.max_age_days(kind) for kind in ListKind] == [400, 7]
