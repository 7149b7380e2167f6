import pytest

from smki_sync.x509.der import ENTRIES, OCTETS, intern_value


class Asked:
    """A function that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.__name__ = "asked"
        self.__qualname__ = "asked"

    def __call__(self, octets: bytes) -> int:
        self.asked.append(octets)
        return len(octets) // (len(octets) and 1)


def test_what_repeats_is_asked_once() -> None:
    asked = Asked()
    ask = intern_value(asked)
    assert (ask(b"ab"), ask(b"ab"), ask(b"abc")) == (2, 2, 3)
    assert asked.asked == [b"ab", b"abc"]


def test_long_octets_are_answered_and_not_kept() -> None:
    asked = Asked()
    ask = intern_value(asked)
    long = bytes(OCTETS + 1)
    assert (ask(long), ask(long)) == (OCTETS + 1, OCTETS + 1)
    assert asked.asked == [long, long]


def test_only_the_latest_results_are_kept() -> None:
    asked = Asked()
    ask = intern_value(asked)
    first = b"first"
    ask(first)
    for number in range(ENTRIES):
        ask(number.to_bytes(4))
    ask(first)
    assert asked.asked.count(first) == 2


def test_a_failure_is_not_kept() -> None:
    asked = Asked()
    ask = intern_value(asked)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            ask(b"")
    assert asked.asked == [b"", b""]
