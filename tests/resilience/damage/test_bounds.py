"""One file that would move the mirror too far, through the command line; and how an operator says yes."""

import pytest

from resilience.damage.files import document, packed, record
from resilience.damage.world import DAY, FOUNDED, HELD_DAY, NEXT_DAY, Place, World, truth
from smki_sync.policy import ChangeLimits


def publish_half(world: World) -> None:
    sound = world.sound(Place.RESYNC)
    world.put(sound.name, [packed(document(*sound.records[::2]))])


def test_a_full_that_halves_the_mirror_is_taken_once_if_somebody_says_so(world: World) -> None:
    publish_half(world)
    assert world.sync("--full", day=HELD_DAY).error["code"] == "shrinks-mirror"
    ran = world.sync("--full", "--accept-shrink", day=HELD_DAY)
    assert ran.code == 0
    listed = [n for n, status in truth(HELD_DAY).items() if status == "I"][::2]
    assert {n for n, status in world.held().items() if status == "I"} == set(listed)
    assert ran.document["applied"][0]["withdrawn"] == 89 - len(listed)


def test_to_accept_one_loss_is_not_to_accept_the_next(world: World) -> None:
    empties = packed(document(*(record(der, "N") for der in world.pool[:40])))
    world.put(world.sound(Place.DELTA).name, [empties])
    assert world.sync("--accept-shrink").code == 0
    more = packed(document(*(record(der, "N") for der in world.pool[40:80])))
    world.put(world.sound(Place.DELTA, NEXT_DAY).name, [more])
    before = world.dump()
    assert world.sync(day=NEXT_DAY).error["code"] == "shrinks-mirror"
    assert world.dump() == before


def test_a_refused_file_is_not_fetched_again_to_be_accepted(world: World) -> None:
    publish_half(world)
    assert world.sync("--full", day=HELD_DAY).code == 6
    name = world.sound(Place.RESYNC).name
    waiting = (world.downloads / name).stat()
    before = (waiting.st_ino, waiting.st_mtime_ns)
    (world.repository / name).chmod(0)  # as root this stops nobody; the listing is all that is needed
    ran = world.sync("--full", "--verbose", day=HELD_DAY)
    assert ran.code == 6
    again = (world.downloads / name).stat()
    assert (again.st_ino, again.st_mtime_ns) == before


def test_a_wider_bound_in_the_configuration_lets_it_pass(world: World) -> None:
    publish_half(world)
    world.configure("[policy]\nmax_shrink_share = 0.6\n")
    assert world.sync("--full", day=HELD_DAY).code == 0


def test_a_narrower_bound_stops_what_would_have_passed(world: World) -> None:
    world.configure("[policy]\nmax_shrink_share = 0.0\n")
    records = [record(der, "N") for der in world.pool[10 : 10 + ChangeLimits().shrink_allowance + 1]]
    world.put(world.sound(Place.DELTA).name, [packed(document(*records))])
    assert world.sync().error["code"] == "shrinks-mirror"
    world.put(world.sound(Place.DELTA).name, [packed(document(*records[1:]))])
    assert world.sync().code == 0


def test_the_check_of_inner_names_can_be_switched_off(world: World) -> None:
    world.configure("[policy]\ncheck_inner_names = false\n")
    sound = world.sound(Place.DELTA)
    world.put(sound.name, [packed(sound.xml, name="SMKIKR_FULL_2020-01-01.xml")])
    assert world.sync().code == 0
    assert world.held() == truth(DAY)


@pytest.mark.parametrize(
    "inner",
    [
        "",
        "extract.xml",
        "SMKIKR_DELT_2026-02-30.xml",
        "smkikr_delt_2026-11-11.XML",
        "a/b/SMKIKR_DELT_2026-11-11.xml.gz",
    ],
)
def test_an_inner_name_that_contradicts_nothing_is_no_fault(world: World, inner: str) -> None:
    sound = world.sound(Place.DELTA)
    world.put(sound.name, [packed(sound.xml, name=inner)])
    assert world.sync().code == 0


def test_a_mirror_of_a_few_certificates_may_lose_most_of_them(new_world: World) -> None:
    world = new_world
    sound = world.sound(Place.BOOTSTRAP)
    world.put(sound.name, [packed(document(*sound.records[:22]))])
    assert world.sync(day=HELD_DAY).code == 0
    world.put(
        world.sound(Place.DELTA).name, [packed(document(*(record(der, "E") for der in world.pool[4:22])))]
    )
    assert world.sync().code == 0


def test_a_delta_of_the_overlap_may_repeat_the_whole_full(new_world: World) -> None:
    """A young repository issued everything in the days that the full also covers."""
    world = new_world
    name = world.sound(Place.DELTA, 8).name
    world.put(name, [packed(document(*(record(der, "I") for der in world.pool[:FOUNDED])))])
    assert world.sync(day=HELD_DAY).code == 0
    assert len(world.dump()) > FOUNDED
