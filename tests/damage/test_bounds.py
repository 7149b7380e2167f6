"""How far one file may move a mirror, at each bound and beyond it; and how an operator says yes."""

import pytest

from damage.files import document, packed, record
from damage.world import DAY, FOUNDED, HELD_DAY, NEXT_DAY, Place, World, truth
from smki_sync.bounds import Bounds
from smki_sync.errors import BadExtract

NAME = "SMKIKR_FULL_2026-11-15.xml.gz"
BOUNDS = Bounds(
    shrink_share=0.10, shrink_allowance=20, repeat_share=0.5, not_in_use_share=0.1, not_in_use_allowance=5
)


def refusal_of(bounds: Bounds, *, before: int, after: int) -> BadExtract | None:
    try:
        bounds.check_shrink(NAME, before=before, after=after)
    except BadExtract as exc:
        return exc
    return None


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (1000, 900, False),
        (1000, 899, True),
        (1000, 1500, False),
        (1000, 0, True),
        (20, 0, False),
        (21, 0, True),
        (50, 30, False),
        (50, 29, True),
        (0, 0, False),
        (0, 100, False),
    ],
)
def test_a_tenth_may_go_or_twenty_whichever_is_more(before: int, after: int, *, refused: bool) -> None:
    assert (refusal_of(BOUNDS, before=before, after=after) is not None) == refused


def test_a_refusal_names_the_file_both_figures_the_share_and_the_way_to_say_yes() -> None:
    error = refusal_of(BOUNDS, before=2_000_000, after=1_000_000)
    assert error is not None
    assert error.reason == "shrinks-mirror"
    for part in (NAME, "1,000,000", "2,000,000", "50%", "10%", "policy.max_shrink_share"):
        assert part in error.message
    assert "--accept-shrink" in error.hint


def test_a_loss_that_was_accepted_is_not_refused_however_large() -> None:
    assert refusal_of(Bounds(accept_shrink=True), before=1_000_000, after=0) is None


def test_a_share_of_one_allows_any_loss() -> None:
    assert refusal_of(Bounds(shrink_share=1), before=1_000_000, after=0) is None


@pytest.mark.parametrize(
    ("repeated", "held", "refused"),
    [(500, 1000, False), (501, 1000, True), (20, 0, False), (21, 0, True), (0, 1000, False)],
)
def test_a_delta_may_repeat_half_of_the_mirror_or_twenty(repeated: int, held: int, *, refused: bool) -> None:
    if not refused:
        BOUNDS.check_delta(NAME, repeated=repeated, held=held)
        return
    with pytest.raises(BadExtract, match=f"{repeated}") as caught:
        BOUNDS.check_delta(NAME, repeated=repeated, held=held)
    assert caught.value.reason == "not-a-delta"


@pytest.mark.parametrize(
    ("certificates", "in_use", "refused"),
    [
        (1000, 1000, False),
        (1000, 900, False),
        (1000, 899, True),
        (6, 1, False),
        (7, 1, True),
        (0, 0, True),
        (5, 0, True),
        (1, 1, False),
    ],
)
def test_a_full_may_hold_few_that_are_not_in_use_and_at_least_one_that_is(
    certificates: int, in_use: int, *, refused: bool
) -> None:
    if not refused:
        BOUNDS.check_full(NAME, certificates=certificates, in_use=in_use)
        return
    with pytest.raises(BadExtract, match="In-Use") as caught:
        BOUNDS.check_full(NAME, certificates=certificates, in_use=in_use)
    assert caught.value.reason == "not-a-full"


def test_a_share_of_one_allows_a_full_without_any_certificate() -> None:
    Bounds(not_in_use_share=1).check_full(NAME, certificates=0, in_use=0)


# Through the command line.


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
    world.configure("[policy]\nmax_shrink_share = 0.0\nshrink_allowance = 0\n")
    few = packed(document(record(world.pool[10], "N")))
    world.put(world.sound(Place.DELTA).name, [few])
    assert world.sync().error["code"] == "shrinks-mirror"


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


def test_a_refused_overlap_delta_leaves_no_mirror(new_world: World) -> None:
    world = new_world
    name = world.sound(Place.DELTA, 8).name
    world.put(name, [packed(document(*(record(der, "I") for der in world.pool[:FOUNDED])))])
    ran = world.sync(day=HELD_DAY)
    assert ran.error["code"] == "not-a-delta"
    assert name in ran.error["message"]
    assert world.dump() == []
