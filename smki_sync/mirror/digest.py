"""The set digest: 64 hex digits over the In-Use certificates, however they came about.

For: comparing two mirrors, or a mirror with itself after a restore, by one line. Each certificate's
DER (which holds its identity) is expanded with SHAKE128 to 2048 bits; the expansions are added modulo
2**2048; SHA-256 of the sum and the number of members is the digest. Adding and removing one member
costs one expansion, order and history leave no trace. With a modulus this wide, finding another set
with the same sum takes work on the order of 2**90 (Wagner's generalised birthday attack).
Refuses: to prove more. Equal digests say that the same certificates are In-Use, not that any of them
is genuine. The design is written down in ``docs/decisions/0005-set-digest.md``.
"""

from hashlib import sha256, shake_128
from typing import Final, Self

_OCTETS: Final = 256
_MODULUS: Final = 1 << (8 * _OCTETS)
_DOMAIN: Final = b"smki-sync set digest 1\0"


class SetDigest:
    """A multiset of certificates as one number and a count."""

    __slots__ = ("_sum", "count")

    def __init__(self) -> None:
        """Start with the empty set."""
        self._sum = 0
        self.count = 0

    @classmethod
    def load(cls, state: bytes) -> Self:
        """Take up a state that :meth:`dump` wrote; ``ValueError`` for one of another length."""
        if len(state) != 8 + _OCTETS:
            raise ValueError(f"a digest state has {8 + _OCTETS} octets, this has {len(state)}")
        self = cls()
        self.count = int.from_bytes(state[:8])
        self._sum = int.from_bytes(state[8:])
        return self

    def dump(self) -> bytes:
        """The state as 264 octets: count, sum."""
        return self.count.to_bytes(8) + (self._sum % _MODULUS).to_bytes(_OCTETS)

    def add(self, der: bytes) -> None:
        """Take a certificate into the set."""
        self._sum += expand(der)
        self.count += 1

    def add_expanded(self, expansion: int) -> None:
        """Take a certificate into the set whose expansion is known."""
        self._sum += expansion
        self.count += 1

    def remove(self, der: bytes) -> None:
        """Take a certificate out of the set; the caller knows that it is a member."""
        self._sum -= expand(der)
        self.count -= 1

    def merge(self, other: Self) -> None:
        """Take every member of another set in."""
        self._sum += other._sum
        self.count += other.count

    @property
    def hex(self) -> str:
        """The digest: 64 hex digits."""
        return sha256(_DOMAIN + self.dump()).hexdigest()


def expand(der: bytes) -> int:
    """A certificate as a number of 2048 bits, as good as chosen by chance."""
    return int.from_bytes(shake_128(der).digest(_OCTETS))
