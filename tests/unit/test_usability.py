"""The rule that says whether a certificate is usable, and which usable certificate is the newest."""

from datetime import UTC, datetime

import pytest
from support.defects import PKI, Plan, made, signer

from smki_sync.mirror.queries import Certificate
from smki_sync.model.certificate import Flag
from smki_sync.usability import (
    RevocationState,
    StaleLists,
    UnusableReason,
    UsabilityRule,
    newest_usable,
    revocation_of,
    rule_at,
    unusable_reason,
    usable_first,
    why_unusable,
)

START, NOW, END = "2026-01-01T00:00:00Z", "2026-11-22T12:00:00Z", "2027-01-01T00:00:00Z"
RULE = UsabilityRule(NOW)
REFUSING = UsabilityRule(NOW, StaleLists.REFUSE)
GOOD = Certificate(
    eui="00-DB-12-34-56-78-90-A4",
    kind="organisation",
    role=2,
    usage="DS",
    status="I",
    in_use=True,
    serial="01",
    issuer="CN=Y1",
    subject="",
    not_before=START,
    not_after=END,
    ski=None,
    manufacturing=None,
    first_seen="2026-01-02",
    last_changed="2026-11-02",
    withdrawn=None,
    flags=Flag(0),
    file="f",
    der=b"",
    revocation_until=END,
)


def certificate(**other: object) -> Certificate:
    """Return the good certificate with other values, judged at :data:`NOW`."""
    found = GOOD._replace(**other)  # type: ignore[arg-type]  # as the test names them
    return found._replace(unusable=unusable_reason(found, RULE))


def test_rule_at_converts_time_to_utc() -> None:
    moment = datetime.fromisoformat("2026-11-22T13:00:00+01:00")
    assert rule_at(moment, StaleLists.REFUSE) == REFUSING
    assert rule_at(datetime(2026, 11, 22, 12, tzinfo=UTC)) == RULE


@pytest.mark.parametrize("at", [START, NOW, END])
def test_certificate_is_usable_within_its_validity(at: str) -> None:
    assert unusable_reason(GOOD, UsabilityRule(at, StaleLists.REFUSE)) is None


UNUSABLE = [
    ({"revoked": "2026-10-01T00:00:00Z", "revoked_by": "CRL", "in_use": False}, "revoked"),
    ({"status": "R"}, "revoked"),
    ({"status": "R", "kind": "device"}, "revoked"),
    ({"withdrawn": "2026-11-08"}, "withdrawn"),
    ({"status": "P"}, "not-in-use"),
    ({"status": "N", "not_after": NOW}, "not-in-use"),
    ({"status": "E"}, "expired"),
    ({"not_after": "2026-11-22T11:59:59Z"}, "expired"),
    ({"not_before": "2026-11-22T12:00:01Z"}, "not-yet-valid"),
    ({"issuer_revoked": START}, "issuer-revoked"),
    ({"issuer_revoked": START, "not_after": START}, "issuer-revoked"),
]


@pytest.mark.parametrize(("other", "reason"), UNUSABLE)
def test_certificate_is_unusable_with_a_reason(other: dict[str, object], reason: str) -> None:
    assert certificate(**other).unusable == reason
    assert not certificate(**other).usable


@pytest.mark.parametrize(
    ("other", "state"),
    [
        ({}, RevocationState.NOT_REVOKED),
        ({"revocation_until": NOW}, RevocationState.NOT_REVOKED),
        ({"revocation_until": None}, RevocationState.UNKNOWN),
        ({"revocation_until": "2026-11-22T11:59:59Z", "kind": "oca"}, RevocationState.UNKNOWN),
        ({"revocation_until": None, "kind": "device"}, None),
        ({"revocation_until": None, "kind": "dca"}, None),
        ({"revoked": START}, RevocationState.REVOKED),
    ],
)
def test_revocation_is_known_until_next_update(
    other: dict[str, object], state: RevocationState | None
) -> None:
    found = certificate(**other)
    assert revocation_of(found, NOW) == state
    refused = state is RevocationState.UNKNOWN
    assert (unusable_reason(found, REFUSING) is UnusableReason.REVOCATION_UNKNOWN) is refused
    assert (found.unusable is None) is (state is not RevocationState.REVOKED)


@pytest.mark.parametrize(
    ("other", "reason", "text"),
    [
        ({"revoked": START, "revoked_by": "A.crl"}, "revoked", f"revoked since {START} by A.crl"),
        (
            {"revoked": START, "revoked_by": "A.crl", "revocation_reason": "keyCompromise"},
            "revoked",
            f"revoked since {START} by A.crl: keyCompromise",
        ),
        ({"status": "R"}, "revoked", "status Revoked (R) since 2026-11-02"),
        ({"status": "P"}, "not-in-use", "status Pending (P) since 2026-11-02"),
        ({"status": "E"}, "expired", "status Expired (E) since 2026-11-02"),
        ({"not_after": START}, "expired", f"expired {START}"),
        ({"not_before": END}, "not-yet-valid", f"not valid before {END}"),
        ({"withdrawn": "2026-11-08"}, "withdrawn", "withdrawn, not in the full extract of 2026-11-08"),
        (
            {"issuer_revoked": START, "revoked_authority": "CN=Y1"},
            "issuer-revoked",
            f"its issuer CN=Y1 was revoked on {START}",
        ),
        (
            {"issuer_revoked": START, "revoked_authority": "CN=root"},
            "issuer-revoked",
            f"its issuer CN=Y1 is below CN=root, which was revoked on {START}",
        ),
        (
            {"revocation_until": START},
            "revocation-unknown",
            f"revocation unknown: the next revocation list of its issuer was due by {START}",
        ),
        (
            {"revocation_until": None},
            "revocation-unknown",
            "revocation unknown: no revocation list of its issuer is in force",
        ),
        ({}, "signature-false", "a signature in its chain is false"),
    ],
)
def test_why_unusable_names_the_facts(other: dict[str, object], reason: str, text: str) -> None:
    assert why_unusable(certificate(**other), UnusableReason(reason)) == text


# The newest usable certificate.


def test_usable_first_sorts_by_usability_then_newest() -> None:
    old, new = certificate(serial="09"), certificate(serial="05", not_before="2026-06-01T00:00:00Z")
    expired = certificate(serial="01", not_before="2026-09-01T00:00:00Z", not_after="2026-10-01T00:00:00Z")
    pending = certificate(serial="02", not_before="2026-10-01T00:00:00Z", status="P")
    same = certificate(serial="0A")
    assert usable_first([pending, same, old, expired, new]) == [new, old, same, expired, pending]


def test_newest_usable_is_the_one_with_the_latest_not_before() -> None:
    old, new = certificate(serial="09"), certificate(serial="05", not_before="2026-06-01T00:00:00Z")
    future = certificate(serial="06", not_before="2026-12-01T00:00:00Z")
    assert newest_usable([old, future, new]) == [new]
    assert newest_usable([future]) == []
    assert newest_usable([]) == []


def test_newest_usable_is_ambiguous_only_with_different_keys() -> None:
    plan = Plan()
    bodies = [made(plan, PKI.dca), made(plan, signer(PKI.dca.name))]
    first, again = (certificate(serial=f"0{n}", der=der) for n, der in enumerate(bodies, 1))
    assert newest_usable([again, first]) == [first]
    another = certificate(serial="03", der=made(Plan(), PKI.dca))
    broken = certificate(serial="04", der=b"broken")
    assert newest_usable([broken, another, first, again]) == [first, another, broken]
    named, renewed = (certificate(serial=f"0{n}", der=b"?", ski="0A") for n in (5, 6))
    assert newest_usable([named, renewed]) == [named]
