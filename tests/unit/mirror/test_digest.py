"""The set digest: the same for the same set, however it came about."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki_sync.mirror.set_digest import SetDigest

bodies = st.binary(min_size=1, max_size=40)


def digest_of(members: list[bytes]) -> SetDigest:
    def add(digest: SetDigest, der: bytes) -> SetDigest:
        digest.add(der)
        return digest

    return reduce(add, members, SetDigest())


@given(st.lists(bodies, unique=True).flatmap(lambda b: st.tuples(st.just(b), st.permutations(b))))
def test_the_order_leaves_no_trace(orders: tuple[list[bytes], list[bytes]]) -> None:
    assert digest_of(orders[0]).hex == digest_of(orders[1]).hex


@given(st.lists(bodies, unique=True), st.lists(bodies, unique=True))
def test_what_came_and_went_leaves_no_trace(members: list[bytes], passing: list[bytes]) -> None:
    digest = digest_of([*members, *passing])
    for der in passing:
        digest.remove(der)
    assert digest.dump() == digest_of(members).dump()


@given(st.lists(bodies, unique=True), st.lists(bodies, unique=True))
def test_what_went_before_it_came_leaves_no_trace(members: list[bytes], passing: list[bytes]) -> None:
    digest = digest_of([*members, *passing])
    for der in members:
        digest.remove(der)
    for der in members:
        digest.add(der)
    assert digest.hex == digest_of([*members, *passing]).hex


@given(st.sets(bodies), st.sets(bodies))
def test_digests_are_equal_for_equal_sets_alone(one: set[bytes], other: set[bytes]) -> None:
    assert (digest_of(sorted(one)).hex == digest_of(sorted(other)).hex) == (one == other)


@given(st.lists(bodies, min_size=1, unique=True), st.data())
def test_any_octet_of_any_body_counts(members: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(members) - 1))
    place = data.draw(st.integers(0, len(members[at]) - 1))
    changed = bytearray(members[at])
    changed[place] ^= data.draw(st.integers(1, 255))
    others = [*members[:at], bytes(changed), *members[at + 1 :]]
    assert digest_of(members).hex != digest_of(others).hex


@given(st.lists(bodies))
def test_a_state_that_was_written_goes_on_where_it_stopped(members: list[bytes]) -> None:
    digest = digest_of(members)
    again = SetDigest.load(digest.dump())
    assert (again.hex, again.count, again.dump()) == (digest.hex, len(members), digest.dump())
    again.add(b"one more")
    digest.add(b"one more")
    assert again.hex == digest.hex


def test_a_member_twice_is_not_a_member_once() -> None:
    assert digest_of([b"a", b"a"]).hex != digest_of([b"a"]).hex


def test_the_digest_of_known_sets_never_changes() -> None:
    """It is stored and compared between machines: another value here is another format."""
    assert SetDigest().hex == "1655b1c673b6050c399c31f361cb8746bcc5900ec591e14c8651f8f9bb35511c"
    assert (
        digest_of([b"one", b"two"]).hex == "be4a0fb0da2033bc857f76dcce648947316dc8bdf6220ee0ac254fdba3c2ddc3"
    )


@pytest.mark.parametrize("octets", [0, 8, 263, 265])
def test_a_state_of_another_length_is_refused(octets: int) -> None:
    with pytest.raises(ValueError, match=f"264 bytes, not {octets}"):
        SetDigest.load(bytes(octets))
