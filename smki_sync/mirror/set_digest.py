"""The set digest of the In-Use certificates, and the position that it belongs to.

A lookup reads both, so this module imports nothing slow.
"""

from datetime import date
from hashlib import sha256, shake_128
from typing import Final, Self

import apsw

from smki_sync.errors import MirrorDamaged

_BYTES: Final = 256
_MODULUS: Final = 1 << (8 * _BYTES)
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
        """Read a state that :meth:`dump` wrote; raises ``ValueError`` for another length."""
        if len(state) != 8 + _BYTES:
            raise ValueError(f"a digest state has {8 + _BYTES} bytes, not {len(state)}")
        self = cls()
        self.count = int.from_bytes(state[:8])
        self._sum = int.from_bytes(state[8:])
        return self

    def dump(self) -> bytes:
        """Return the state as 264 bytes: count, sum."""
        return self.count.to_bytes(8) + (self._sum % _MODULUS).to_bytes(_BYTES)

    def add(self, der: bytes) -> None:
        """Add a certificate."""
        self._sum += expand(der)
        self.count += 1

    def add_expanded(self, expansion: int) -> None:
        """Add a certificate whose expansion is known."""
        self._sum += expansion
        self.count += 1

    def remove(self, der: bytes) -> None:
        """Remove a certificate, which must be a member."""
        self._sum -= expand(der)
        self.count -= 1

    def merge(self, other: Self) -> None:
        """Add every member of another set."""
        self._sum += other._sum
        self.count += other.count

    @property
    def hex(self) -> str:
        """The digest: 64 hex digits."""
        return sha256(_DOMAIN + self.dump()).hexdigest()


def expand(der: bytes) -> int:
    """Expand a certificate to a pseudo-random number of 2048 bits."""
    return int.from_bytes(shake_128(der).digest(_BYTES))


_STATE: Final = "SELECT position, full_day, digest FROM mirror WHERE one = 1"


def read_state(db: apsw.Connection) -> tuple[date, date, SetDigest]:
    """Return position, date of the full and digest; raises :class:`MirrorDamaged` if they are missing."""
    row = db.execute(_STATE).fetchone()
    if row is None or row[0] is None or row[1] is None:
        raise MirrorDamaged(f"{db.filename} has no position")
    try:
        return date.fromisoformat(row[0]), date.fromisoformat(row[1]), SetDigest.load(row[2])
    except (TypeError, ValueError) as exc:
        raise MirrorDamaged(f"{db.filename} has an invalid position: {exc}") from exc


def read_digest(db: apsw.Connection) -> SetDigest:
    """Return the stored set digest, also while a generation is being built."""
    return SetDigest.load(db.execute("SELECT digest FROM mirror WHERE one = 1").get)


def write_state(db: apsw.Connection, *, position: date, digest: SetDigest) -> None:
    """Set position and digest, in the transaction that changes the rows."""
    day = position.isoformat()
    db.execute("UPDATE mirror SET position = ?, digest = ? WHERE one = 1", (day, digest.dump()))
    db.execute(
        "UPDATE extract SET digest = ?, position = ? WHERE id = (SELECT max(id) FROM extract)",
        (digest.hex, day),
    )
