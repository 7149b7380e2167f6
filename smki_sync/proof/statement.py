"""The statement of a mirror: what it holds, and from which files it came.

For: evidence that can be kept, sent and compared. With shards, every row has been read and the digest that
the mirror carries is proven against them. Refuses: to state what was not read from one snapshot.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror.queries import Connection, Stamp, read_census, read_position, read_stamp
from smki_sync.mirror.queries.slices import Told, nobody
from smki_sync.mirror.shards import Member, check_digest, member_order, read_members, read_shards, whole
from smki_sync.model.plan import AppliedFile
from smki_sync.model.report import Census


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One part of the set of In-Use certificates: how many, and their set digest in hex."""

    count: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a mirror holds. ``chain``: the full and every file applied since, in order.

    ``shards``: empty where the rows were not read. ``members``: the certificates of some shards.
    """

    stamp: Stamp
    full: date
    census: Census
    chain: tuple[AppliedFile, ...]
    shards: tuple[Shard, ...] = ()
    members: Mapping[int, tuple[Member, ...]] = field(default_factory=dict)


def state(
    db: Connection, *, shards: bool = False, members: Collection[int] = (), told: Told = nobody
) -> Statement:
    """State what a mirror holds; ``db``: from :func:`~smki_sync.mirror.queries.open_mirror`.

    ``shards``: read every row, and prove the digest. ``members``: shards whose certificates are listed.
    Raises :class:`MirrorDamaged` where the rows do not make the digest that the mirror carries.
    """
    stamp, position = read_stamp(db), read_position(db)
    return Statement(
        stamp=stamp,
        full=position.full,
        census=read_census(db),
        chain=position.chain,
        shards=prove_shards(db, told) if shards else (),
        members=list_members(db, members, told) if members else {},
    )


def prove_shards(db: Connection, told: Told = nobody) -> tuple[Shard, ...]:
    """The shards, from the rows themselves; raises :class:`MirrorDamaged` where they do not add up."""
    found = read_shards(db, told)
    if check_digest(db, whole(found)):
        raise MirrorDamaged(
            f"the rows of {db.filename} do not make the digest that it carries",
            hint="Rows were lost or changed outside this program. `smki-sync sync --full` builds it anew.",
            code="digest-differs",
        )
    return tuple(Shard(count=shard.count, digest=shard.hex) for shard in found)


def list_members(
    db: Connection, wanted: Collection[int], told: Told = nobody
) -> Mapping[int, tuple[Member, ...]]:
    """The certificates of some shards, each list in order."""
    listed: dict[int, list[Member]] = {shard: [] for shard in wanted}
    for member in read_members(db, listed, told):
        listed[member.shard].append(member)
    return {shard: tuple(sorted(those, key=member_order)) for shard, those in listed.items()}
