"""``Mirror.certificate()`` and ``certificates()``: the newest usable certificate, and reasons."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.list_builders import arrival, revoke
from support.mirror_builders import ISSUER, OTHER_ISSUER, apply, build, entry, eui_of, november, serial_of

import smki_sync
from smki_sync.api import AmbiguousCertificate, Certificate, JournalGap
from smki_sync.model.certificate import Entry, Kind

SUBJECT = eui_of(1)
IN_2026 = datetime(2026, 11, 22, tzinfo=UTC)


def seconds(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


def renewal(n: int, begins: int, ends: int, status: str = "I", *, kind: Kind = Kind.DEVICE) -> Entry:
    """Certificate ``n`` of the subject, valid for whole years."""
    found = entry(n, status, eui=SUBJECT, kind=kind, role=2 if kind is Kind.ORGANISATION else None)
    return found._replace(facts=found.facts._replace(not_before=seconds(begins), not_after=seconds(ends)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A mirror whose smallest serial number has expired, and whose largest is from 2024."""
    found = tmp_path / "mirror.db"
    keys = [renewal(1, 2016, 2020), renewal(2, 2026, 2036), renewal(4, 2024, 2034), renewal(5, 2027, 2037)]
    build(found, [*keys, renewal(3, 2025, 2035, "P")])
    return found


def test_certificate_is_the_usable_one_with_the_latest_not_before(path: Path) -> None:
    with smki_sync.open(path) as mirror:
        found = {
            year: mirror.certificate(SUBJECT, at=datetime(year, 6, 1, tzinfo=UTC))
            for year in (2018, 2022, 2025, 2026, 2028, 2040)
        }
    serials = {year: c and c.serial for year, c in found.items()}
    expected = {2018: 1, 2022: None, 2025: 4, 2026: 2, 2028: 5, 2040: None}
    assert serials == {year: n and serial_of(n) for year, n in expected.items()}


def test_certificates_lists_usable_first_and_reasons_of_the_others(path: Path) -> None:
    with smki_sync.open(path) as mirror:
        found = mirror.certificates(SUBJECT, any_status=True, at=IN_2026)
    assert [(c.serial, c.unusable) for c in found] == [
        (serial_of(2), None),
        (serial_of(4), None),
        (serial_of(5), "not-yet-valid"),
        (serial_of(1), "expired"),
        (serial_of(3), "not-in-use"),
    ]


def test_certificate_is_ambiguous_when_two_keys_have_the_same_not_before(path: Path) -> None:
    apply(path, november(10), [renewal(6, 2026, 2030)])
    with smki_sync.open(path) as mirror:
        with pytest.raises(AmbiguousCertificate, match=f"{serial_of(6)}, {serial_of(2)}") as caught:
            mirror.certificate(SUBJECT, at=IN_2026)
        assert mirror.certificate(SUBJECT, at=datetime(2031, 1, 2, tzinfo=UTC)) is not None
    assert [c.serial for c in caught.value.certificates] == [serial_of(6), serial_of(2)]


def test_certificate_below_a_revoked_authority_is_not_usable(path: Path) -> None:
    authority = entry(0x41, "R", kind=Kind.OCA, role=7, subject=ISSUER, issuer=OTHER_ISSUER)
    apply(path, november(10), [authority])
    with smki_sync.open(path) as mirror:
        assert mirror.certificate(SUBJECT, at=IN_2026) is None
        found = mirror.certificates(SUBJECT, at=IN_2026)
    assert {c.unusable for c in found} == {"issuer-revoked"}
    assert {c.revoked_authority for c in found} == {ISSUER}
    assert all(c.in_use for c in found)


def test_stale_lists_refuse_makes_unknown_revocation_unusable(tmp_path: Path) -> None:
    path = tmp_path / "mirror.db"
    build(path, [renewal(2, 2026, 2036, kind=Kind.ORGANISATION)])
    for known in (False, True):
        if known:
            revoke(path, arrival(9, next_update=seconds(2027)))
        with smki_sync.open(path) as reporting, smki_sync.open(path, stale_lists="refuse") as refusing:
            reported, refused = (m.certificates(SUBJECT, at=IN_2026)[0] for m in (reporting, refusing))
            assert (reporting.certificate(SUBJECT, at=IN_2026) is None) is False
            assert (refusing.certificate(SUBJECT, at=IN_2026) is None) is not known
        assert reported.revocation == refused.revocation == ("not-revoked" if known else "unknown")
        assert refused.unusable == (None if known else "revocation-unknown")


@pytest.mark.parametrize("call", ["certificate", "certificates"])
def test_at_without_time_zone_is_a_value_error(path: Path, call: str) -> None:
    with smki_sync.open(path) as mirror, pytest.raises(ValueError, match="time zone"):
        getattr(mirror, call)(SUBJECT, at=datetime(2026, 11, 22))  # noqa: DTZ001 - what is refused


def stored(found: Iterable[Certificate]) -> dict[tuple[str, str], tuple[object, ...]]:
    """Return all stored columns by identity, without those that depend on the time."""
    return {(c.issuer, c.serial): c._replace(revocation=None, unusable=None) for c in found}


def test_news_is_each_changed_certificate_once_as_it_is_now(path: Path) -> None:
    with smki_sync.open(path) as mirror:
        token = mirror.token
        copy = stored(mirror.find(any_status=True))
        assert list(mirror.news(since=token)) == []
    apply(path, november(10), [renewal(1, 2016, 2020, "E"), renewal(6, 2026, 2030)])
    apply(path, november(11), [renewal(6, 2026, 2030, "N")])
    with smki_sync.open(path) as mirror:
        news = list(mirror.news(since=token))
        assert sorted((c.serial, c.status) for c in news) == [(serial_of(1), "E"), (serial_of(6), "N")]
        assert copy | stored(news) == stored(mirror.find(any_status=True))
        assert list(mirror.news(since=mirror.token)) == []
        with pytest.raises(JournalGap):
            mirror.news(since="0123456789abcdef:1")
