"""Shards: the same set cut into pieces whose digests add up to the digest that the mirror carries."""

from collections import Counter
from hashlib import sha256, shake_128

from support.mirror_builders import der_of, entry

from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.integrity import SHARDS, all_shards, read_members, read_shards
from smki_sync.mirror.queries import open_mirror, read_stamp
from unit.mirror.conftest import publish

MANY = 300


def shard_of(der: bytes) -> int:
    return int.from_bytes(shake_128(der).digest(256)) % SHARDS


def test_the_shards_of_a_mirror_make_the_digest_that_it_carries(directory: MirrorDirectory) -> None:
    publish(directory, [entry(n) for n in range(1, MANY + 1)])
    with open_mirror(directory.link) as db:
        shards = read_shards(db)
        assert all_shards(shards).hex == read_stamp(db).digest
    expected = Counter(shard_of(der_of(n)) for n in range(1, MANY + 1))
    assert {n: shard.count for n, shard in enumerate(shards) if shard.count} == expected


def test_what_is_not_in_use_is_in_no_shard(directory: MirrorDirectory) -> None:
    first = publish(directory, [entry(1), entry(2, "N"), entry(3)])
    publish(directory, [entry(1), entry(2, "N")], old=first)  # 3 is withdrawn
    with open_mirror(directory.link) as db:
        assert [n for n, shard in enumerate(read_shards(db)) if shard.count] == [shard_of(der_of(1))]
        assert [m.serial for m in read_members(db, range(SHARDS))] == [entry(1).facts.serial]


def test_a_shard_is_listed_with_all_its_certificates_and_no_other(directory: MirrorDirectory) -> None:
    publish(directory, [entry(n) for n in range(1, MANY + 1)])
    wanted = {shard_of(der_of(7)), shard_of(der_of(8))}
    with open_mirror(directory.link) as db:
        listed = list(read_members(db, wanted))
    expected = {sha256(der_of(n)).hexdigest() for n in range(1, MANY + 1) if shard_of(der_of(n)) in wanted}
    assert {member.sha256 for member in listed} == expected
    assert {member.shard for member in listed} == wanted


def test_one_certificate_more_moves_one_shard(directory: MirrorDirectory) -> None:
    first = publish(directory, [entry(n) for n in range(1, 10)])
    with open_mirror(directory.link) as db:
        before = [shard.hex for shard in read_shards(db)]
    publish(directory, [entry(n) for n in range(1, 11)], old=first)
    with open_mirror(directory.link) as db:
        after = [shard.hex for shard in read_shards(db)]
    assert [n for n in range(SHARDS) if before[n] != after[n]] == [shard_of(der_of(10))]
