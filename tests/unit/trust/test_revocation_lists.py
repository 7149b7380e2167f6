"""Rules for ARL and CRL: which may come into force, which are stale, what they say of a certificate."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from hashlib import sha256

import pytest
from cryptography import x509
from support.list_pki import (
    ISSUED,
    ISSUING,
    LIFE,
    ROOT,
    SECOND_KEY,
    Form,
    certificate,
    held,
    listed,
    octets,
    signer,
    with_null,
)

from smki_sync.model.certificate import key_id_of
from smki_sync.model.extract import ListInForce, ListKind, ListPolicy, RevocationList
from smki_sync.model.report import NoticeCode
from smki_sync.simulator import pki
from smki_sync.simulator.pki import Authority
from smki_sync.simulator.publisher import signed_by_another
from smki_sync.trust.chain import Authorities, AuthorityStatus, ChainValidator, anchors_of, authority_of
from smki_sync.trust.revocation_lists import (
    ListSigner,
    ProvenList,
    Refusal,
    SignerCheck,
    check_list,
    expected,
    is_complete,
    read_list,
    signer_check,
    trust_every_signer,
    why_stale,
)
from smki_sync.x509.revocation_list import split_list

KEY = key_id_of(ISSUING.key_id)
DAY = timedelta(days=1)
NOW = int((ISSUED + DAY).timestamp())
PROVEN = ProvenList(signer=KEY, is_news=True, entries=0)


def check(
    found: RevocationList,
    *,
    kind: ListKind = ListKind.CRL,
    signers: Iterable[ListSigner] | None = None,
    in_force: Iterable[ListInForce] = (),
    now: int = NOW,
    trusted: SignerCheck = trust_every_signer,
) -> ProvenList | Refusal:
    signers = [signer(ISSUING)] if signers is None else signers
    return check_list(found, kind, signers, in_force, now=now, signer_check=trusted)


def code_of(verdict: ProvenList | Refusal) -> NoticeCode | None:
    return verdict.code if isinstance(verdict, Refusal) else None


def idp(**parts: object) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    """An issuingDistributionPoint as the extensions of a form."""
    names = [*("full_name", "relative_name", "only_contains_user_certs", "only_contains_ca_certs")]
    names += [*("only_some_reasons", "indirect_crl", "only_contains_attribute_certs")]
    values = {name: parts.get(name, None if "name" in name or "reasons" in name else False) for name in names}
    return ((x509.IssuingDistributionPoint(**values), True),)  # type: ignore[arg-type]  # as named


# Signers.


def test_check_list_accepts_a_list_of_an_authority_in_use() -> None:
    assert check(listed(), signers=[signer(ROOT, role=0), signer(ISSUING)]) == PROVEN
    arl = check(listed(ROOT), kind=ListKind.ARL, signers=[signer(ROOT, role=0)])
    assert arl == replace(PROVEN, signer=key_id_of(ROOT.key_id))


def test_check_list_finds_the_signer_when_two_keys_have_its_name() -> None:
    both = [signer(SECOND_KEY), signer(ISSUING)]
    assert check(listed(), signers=both) == PROVEN
    assert check(listed(form=Form(aki=False)), signers=both) == PROVEN


def test_check_list_finds_a_signer_without_key_identifier() -> None:
    assert check(listed(form=Form(aki=False)), signers=[signer(ISSUING, ski=False)]) == PROVEN


@pytest.mark.parametrize("text", ["oca issuing s2", "OCA  ISSUING  S2", " OCA Issuing S2 "])
def test_check_list_compares_names_as_rfc_5280_requires(text: str) -> None:
    name = x509.Name(
        [
            x509.NameAttribute(one.oid, text if one.value == "OCA Issuing S2" else one.value)
            for one in ISSUING.name
        ]
    )
    found = listed(form=Form(name=name))
    assert found.issuer != listed().issuer
    assert check(found) == PROVEN
    older = check(found, in_force=[held(listed(), number=6)])
    assert code_of(older) is NoticeCode.LIST_OLDER


def test_check_list_refuses_the_signature_of_another_key() -> None:
    forged = read_list(signed_by_another(octets(ISSUING)))
    assert code_of(check(forged)) is NoticeCode.LIST_SIGNATURE_FALSE


def test_check_list_refuses_another_algorithm() -> None:
    assert code_of(check(listed(form=Form(sha384=True)))) is NoticeCode.LIST_SIGNATURE_FALSE
    tbs, _, signature = pki.split_signed(octets(ISSUING))
    sha384 = pki.split_signed(octets(ISSUING, Form(sha384=True)))[1]
    mixed = read_list(pki.join_signed(tbs, sha384, signature))
    assert split_list(mixed.der).inner != split_list(mixed.der).outer
    assert code_of(check(mixed)) is NoticeCode.LIST_SIGNATURE_FALSE


def test_check_list_refuses_a_list_of_an_unknown_signer() -> None:
    for found, signers in (
        (listed(), [signer(ROOT, role=0)]),
        (listed(SECOND_KEY), [signer(ISSUING)]),
        (listed(form=Form(aki=False)), []),
    ):
        assert code_of(check(found, signers=signers)) is NoticeCode.LIST_SIGNER_UNKNOWN


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
def test_check_list_refuses_a_signer_that_may_not_sign_it(kind: ListKind, by: ListSigner, why: str) -> None:
    verdict = check(listed(), kind=kind, signers=[by])
    assert isinstance(verdict, Refusal)
    assert verdict.code is NoticeCode.LIST_SIGNER_UNFIT
    assert why in verdict.why


def test_check_list_accepts_a_signer_of_unknown_role() -> None:
    assert code_of(check(listed(), kind=ListKind.ARL, signers=[signer(ISSUING, role=None)])) is None


def test_check_list_takes_the_certificate_in_use_of_a_key() -> None:
    assert code_of(check(listed(), signers=[signer(ISSUING, in_use=False), signer(ISSUING)])) is None


PLACES = pytest.mark.parametrize(
    ("inside", "beside"), [(True, True), (True, False), (False, True)], ids=["both", "inside", "outside"]
)
"""Where an AlgorithmIdentifier has a forbidden NULL."""


@PLACES
def test_check_list_accepts_a_null_among_the_parameters(inside: bool, beside: bool) -> None:
    odd = with_null(octets(ISSUING), inside=inside, beside=beside)
    assert read_list(odd).der == odd
    assert check(read_list(odd)) == PROVEN


@PLACES
def test_check_list_refuses_a_forgery_with_a_null(inside: bool, beside: bool) -> None:
    odd = with_null(octets(ISSUING), SECOND_KEY, inside=inside, beside=beside)
    assert code_of(check(read_list(odd))) is NoticeCode.LIST_SIGNATURE_FALSE


def test_check_list_verifies_the_bytes_as_served() -> None:
    made = octets(ISSUING)
    tbs = pki.with_null_parameters(pki.split_signed(made)[0])
    found = read_list(pki.join_signed(tbs, pki.ECDSA_WITH_SHA256_NULL, pki.split_signed(made)[2]))
    assert code_of(check(found)) is NoticeCode.LIST_SIGNATURE_FALSE


def test_check_list_reads_entries_only_of_a_genuine_list(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_list(signed_by_another(octets(ISSUING, Form(lines=((7, ()),)))))
    genuine = listed(form=Form(lines=((7, ()),)))
    same = held(genuine, sha256=sha256(genuine.der).hexdigest())
    fresh = read_list(genuine.der)

    def failing(*_: object) -> None:
        raise AssertionError("entries are parsed")

    monkeypatch.setattr("smki_sync.x509.revocation_list._entries", failing)
    assert code_of(check(found)) is NoticeCode.LIST_SIGNATURE_FALSE
    assert check(fresh, in_force=[same]) == replace(PROVEN, is_news=False, entries=1)
    with pytest.raises(AssertionError):
        check(fresh)


# Age.


def test_check_list_knows_the_list_in_force() -> None:
    found = listed()
    same = held(found, sha256=sha256(found.der).hexdigest())
    assert check(found, in_force=[same]) == replace(PROVEN, is_news=False)
    assert check(found, in_force=[replace(same, forgotten=True)]) == PROVEN


@pytest.mark.parametrize(
    ("number", "later", "refused"),
    [
        (4, 0, False),
        (5, 0, False),
        (6, 0, True),
        (5, 1, True),
        (4, 1, False),
        (6, -1, True),
        (None, 0, False),
        (None, 1, True),
    ],
)
def test_check_list_compares_numbers_before_dates(number: int | None, later: int, refused: bool) -> None:
    found = listed()
    verdict = check(found, in_force=[held(found, number=number, later=later)])
    assert code_of(verdict) == (NoticeCode.LIST_OLDER if refused else None)
    assert refused or (isinstance(verdict, ProvenList) and verdict.is_news)


def test_check_list_refuses_a_list_that_has_lost_its_number() -> None:
    found = listed(form=Form(number=None, issued=ISSUED + DAY))
    verdict = check(found, in_force=[held(found)])
    assert isinstance(verdict, Refusal)
    assert "has no number" in verdict.why


@pytest.mark.parametrize(("ahead", "refused"), [(0, False), (86_400, False), (86_401, True), (10**9, True)])
def test_check_list_refuses_a_list_dated_in_the_future(ahead: int, refused: bool) -> None:
    found = replace(listed(), this_update=NOW + ahead)
    assert code_of(check(found)) == (NoticeCode.LIST_DATED_IN_FUTURE if refused else None)


def test_check_list_ignores_the_date_of_a_list_from_the_future() -> None:
    """CRL 21, dated 2031, was accepted by an older version: 22 and 23 must not be refused as older."""
    found = listed(form=Form(number=22))
    assert code_of(check(found, in_force=[held(found, number=21, later=10**8)])) is None
    assert code_of(check(found, in_force=[held(found, number=22, later=10**8)])) is None
    assert code_of(check(found, in_force=[held(found, number=23)])) is NoticeCode.LIST_OLDER


def test_check_list_accepts_any_list_in_place_of_a_forgotten_one() -> None:
    found = listed()
    assert check(found, in_force=[held(found, number=99, later=99, forgotten=True)]) == PROVEN


def test_check_list_compares_lists_of_the_same_kind_issuer_key_and_scope() -> None:
    found = listed()
    later = held(found, number=9)
    others = [
        replace(later, kind=ListKind.ARL),
        replace(later, issuer="CN=other"),
        replace(later, scope="3000"),
        held(found, SECOND_KEY, number=9),
    ]
    assert code_of(check(found, in_force=others)) is None
    assert code_of(check(found, in_force=[later])) is NoticeCode.LIST_OLDER


@pytest.mark.parametrize(
    "parts",
    [
        {"only_contains_ca_certs": True},
        {"only_contains_user_certs": True},
        {"full_name": [x509.UniformResourceIdentifier("urn:x")]},
        {"only_some_reasons": frozenset({x509.ReasonFlags.key_compromise})},
    ],
    ids=["authorities", "users", "point", "reasons"],
)
def test_check_list_keeps_lists_of_other_scopes_apart(parts: dict[str, object]) -> None:
    partial = listed(form=Form(number=9, extensions=idp(**parts)))
    assert partial.scope
    assert check(partial, in_force=[held(listed(), number=5)]) == PROVEN
    assert check(listed(), in_force=[held(partial, number=9)]) == PROVEN


def test_check_list_refuses_a_list_with_an_unreadable_entry() -> None:
    made = octets(ISSUING, Form(lines=((0x1234, ()),)))
    tbs = pki.split_signed(made)[0]
    assert tbs.count(b"\2\2\x12\x34") == 1
    broken = tbs.replace(b"\2\2\x12\x34", b"\4\2\x12\x34")
    found = read_list(pki.join_signed(broken, pki.ECDSA_WITH_SHA256, ISSUING.sign(broken)))
    assert code_of(check(found)) is NoticeCode.LIST_UNREADABLE


# Anchors.


def trusting(*anchors: bytes, at: datetime = ISSUED) -> SignerCheck:
    """Trust some certificates, with root and issuing authority in the mirror."""
    stored = [authority_of(certificate(one), AuthorityStatus.IN_USE) for one in (ROOT, ISSUING)]
    authorities = Authorities(stored, anchors_of(anchors), find=lambda _: ())
    return signer_check(ChainValidator(authorities, int(at.timestamp())))


@pytest.mark.parametrize("anchor", [ROOT, ISSUING], ids=["root", "issuing"])
def test_check_list_accepts_a_signer_with_a_chain_to_an_anchor(anchor: Authority) -> None:
    assert check(listed(), trusted=trusting(certificate(anchor))) == PROVEN


@pytest.mark.parametrize(
    ("trusted", "why"),
    [
        (trusting(certificate(SECOND_KEY)), "does not end at a trust anchor"),
        (trusting(certificate(ROOT), at=ISSUED - 90 * DAY), "not valid yet"),
    ],
    ids=["no anchor above", "not valid at the time"],
)
def test_check_list_refuses_a_signer_without_a_chain_to_an_anchor(trusted: SignerCheck, why: str) -> None:
    verdict = check(listed(), trusted=trusted)
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
def test_why_stale_uses_next_update_and_the_limit(today: date, limit: int | None, stale: bool) -> None:
    assert bool(why_stale(held(listed()), today=today, max_age_days=limit)) == stale


def test_why_stale_uses_only_the_limit_without_next_update() -> None:
    endless = replace(held(listed()), next_update=None)
    far = (ISSUED + 1000 * DAY).date()
    assert why_stale(endless, today=far, max_age_days=None) is None
    assert why_stale(endless, today=far, max_age_days=999)


def test_expected_returns_lists_of_authorities_in_use() -> None:
    used, left = held(listed()), held(listed(), signer_in_use=False)
    assert expected([used, left]) == [used]


def test_list_policy_has_a_limit_for_each_kind() -> None:
    policy = ListPolicy(arl_max_age_days=400, crl_max_age_days=7)
    assert [policy.max_age_days(kind) for kind in ListKind] == [400, 7]


# Completeness.


@pytest.mark.parametrize(
    ("kind", "parts", "complete"),
    [
        (ListKind.CRL, {"only_contains_user_certs": True}, True),
        (ListKind.CRL, {"full_name": [x509.UniformResourceIdentifier("urn:x")]}, True),
        (ListKind.CRL, {"only_contains_ca_certs": True}, False),
        (ListKind.CRL, {"only_some_reasons": frozenset({x509.ReasonFlags.key_compromise})}, False),
        (ListKind.ARL, {"only_contains_user_certs": True}, False),
        (ListKind.ARL, {"only_contains_ca_certs": True}, True),
    ],
    ids=["users", "point", "authorities", "reasons", "arl-users", "arl-authorities"],
)
def test_list_is_complete_if_scope_leaves_nothing_out(
    kind: ListKind, parts: dict[str, object], complete: bool
) -> None:
    assert is_complete(kind, listed(form=Form(extensions=idp(**parts))).scope) is complete


@pytest.mark.parametrize(("scope", "complete"), [("", True), ("30", False), ("zz", False)])
def test_list_is_not_complete_if_scope_cannot_be_read(scope: str, complete: bool) -> None:
    assert is_complete(ListKind.CRL, scope) is complete
