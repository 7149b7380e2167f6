"""The In-Use certificates in 1024 shards, each with a digest of its own.

For: finding where two mirrors part without moving either. A certificate's expansion says which shard it
is in, and the expansions of all shards add up to the set digest, so one pass over the rows gives the
shards and proves the digest that the mirror states. Refuses: to hold the certificates of more shards
than it is asked for.
"""

from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from typing import Final, NamedTuple

import apsw

from smki_sync.mirror.digest import SetDigest, expand
from smki_sync.mirror.queries.slices import Told, nobody, slices
from smki_sync.mirror.schema import IN_USE, KINDS
from smki_sync.mirror.state import read_digest

SHARDS: Final = 1024
"""Of 200 million certificates, each has 195 000. The digests of all of them take 90 kB in a statement."""


class Member(NamedTuple):
    """One In-Use certificate of a shard. ``sha256``: of its DER, 64 hex digits."""

    shard: int
    serial: str
    issuer: str
    kind: str
    eui: str | None
    sha256: str


def member_order(member: Member) -> tuple[str, str, str]:
    """By identity, for lists that people read."""
    return member.issuer, member.serial, member.sha256


def read_shards(db: apsw.Connection, told: Told = nobody) -> list[SetDigest]:
    """The digest of each shard, from the rows themselves; every row is read."""
    shards = [SetDigest() for _ in range(SHARDS)]
    for low, high in slices(db, told):
        for (der,) in db.execute(_BODIES, (low, high)):
            expansion = expand(der)
            shards[expansion % SHARDS].add_expanded(expansion)
    return shards


def digest_of_rows(db: apsw.Connection, told: Told = nobody) -> SetDigest:
    """The set digest that the rows make, whatever the mirror carries; every row is read."""
    return whole(read_shards(db, told))


def whole(shards: Iterable[SetDigest]) -> SetDigest:
    """The set digest that sets together make that have no member in common."""
    found = SetDigest()
    for shard in shards:
        found.merge(shard)
    return found


def check_digest(db: apsw.Connection, made: SetDigest) -> str | None:
    """What is wrong, in words, where a mirror carries another digest than its rows have ``made``."""
    carried = read_digest(db)
    if carried.dump() == made.dump():
        return None
    return f"it states {carried.hex}, its In-Use certificates make {made.hex}"


def read_members(db: apsw.Connection, wanted: Collection[int], told: Told = nobody) -> Iterator[Member]:
    """The certificates of some shards, in no order that means anything; every row is read."""
    for low, high in slices(db, told):
        for serial, issuer, kind, eui, der in db.execute(_MEMBERS, (low, high)):
            shard = expand(der) % SHARDS
            if shard in wanted:
                yield Member(shard, serial, issuer, KINDS[kind], eui, sha256(der).hexdigest())


_BODIES: Final = f"SELECT c.der FROM certificate AS c WHERE c.id BETWEEN ? AND ? AND {IN_USE}"
_MEMBERS: Final = f"""
SELECT c.serial, i.name, c.kind, c.eui, c.der FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
 WHERE c.id BETWEEN ? AND ? AND {IN_USE}
"""
