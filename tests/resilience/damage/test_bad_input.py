"""Each bad input through the command line: how it ends, what is left, and that the next good file applies."""

import dataclasses
from pathlib import Path

import pytest
from support.cli import Ran

from resilience.damage.cases import CASES, Case, Evidence, Mirror, table
from resilience.damage.files import Said, packed
from resilience.damage.world import DAY, HELD_DAY, NEXT_DAY, Place, World, november, truth
from smki_sync.errors import BadExtract
from smki_sync.reader import read_extract
from smki_sync.records import parse_record

PAGE = Path(__file__).parents[3] / "docs" / "codes.md"


def cases(place: Place) -> list[object]:
    return [pytest.param(case, id=case.name) for case in CASES if place in case.places]


def publish(world: World, case: Case, place: Place) -> str:
    sound = world.sound(place)
    made = case.make(sound)
    world.put(sound.name, [made] if isinstance(made, bytes) else made)
    return sound.name


def check_words(ran: Ran, case: Case, name: str) -> None:
    """The exit code, the stable word for what happened, and whose file it was."""
    assert ran.code == case.exit, (ran.raw, ran.err)
    if case.exit == 6:
        assert ran.error["code"] == case.code, ran.error
        assert name in ran.error["message"]
        assert ran.error["hint"]
        return
    told = ran.document["attention"]
    assert [one["code"] for one in told][:1] == ([case.code] if case.code else [])
    assert all(one["level"] == "note" for one in told[1:])


def check_evidence(world: World, case: Case, name: str) -> None:
    left = {
        path.name.removesuffix(".bad") for path in world.downloads.glob("*.gz*") if path.suffix != ".json"
    }
    match case.evidence:
        case Evidence.KEPT:
            assert name in left
        case Evidence.REPOSITORY:
            assert left == set()
            assert (world.repository / name).exists()
        case Evidence.QUARANTINE:
            assert world.ask("SELECT count(*) FROM quarantine WHERE xml <> ''") == [(1,)]
        case Evidence.FLAGS:
            assert world.ask("SELECT count(*) FROM certificates WHERE flags <> 0") == [(1,)]
        case Evidence.NONE | Evidence.REPORT:
            assert left == set()
            assert world.ask("SELECT count(*) FROM quarantine") == [(0,)]


def check_mirror(world: World, *, before: list[str], applied: bool, now: Said) -> None:
    """The state before to the last row, or the file's; whole in either case."""
    if not applied:
        assert world.dump() == before
    if world.dump():
        assert world.held() == now
        assert world.is_whole()


@pytest.mark.parametrize("case", cases(Place.DELTA))
def test_a_bad_delta(world: World, case: Case) -> None:
    before = world.dump()
    name = publish(world, case, Place.DELTA)
    ran = world.sync()
    applied = case.mirror is not Mirror.BEFORE
    check_words(ran, case, name)
    check_evidence(world, case, name)
    check_mirror(world, before=before, applied=applied, now=truth(DAY if applied else HELD_DAY))
    if not applied:
        world.publish(Place.DELTA, hour=5)
    world.publish(Place.DELTA, NEXT_DAY)
    after = world.sync(day=NEXT_DAY)
    assert after.document["position"] == november(NEXT_DAY).isoformat()
    assert after.code == (3 if case.evidence is Evidence.QUARANTINE else 0)
    check_mirror(world, before=[], applied=True, now=truth(NEXT_DAY))


@pytest.mark.parametrize("case", cases(Place.BOOTSTRAP))
def test_a_bad_first_full(new_world: World, case: Case) -> None:
    world = new_world
    name = publish(world, case, Place.BOOTSTRAP)
    ran = world.sync(day=HELD_DAY)
    applied = case.mirror is not Mirror.BEFORE
    check_words(ran, case, name)
    check_evidence(world, case, name)
    check_mirror(world, before=[], applied=applied, now=truth(HELD_DAY))
    if not applied:
        world.publish(Place.BOOTSTRAP, hour=5)
        assert world.sync(day=HELD_DAY).code == 0
        check_mirror(world, before=[], applied=True, now=truth(HELD_DAY))


@pytest.mark.parametrize("case", cases(Place.RESYNC))
def test_a_bad_full_of_a_resync(world: World, case: Case) -> None:
    before = world.dump()
    name = publish(world, case, Place.RESYNC)
    ran = world.sync("--full", day=HELD_DAY)
    applied = case.mirror is not Mirror.BEFORE
    check_words(ran, case, name)
    check_evidence(world, case, name)
    check_mirror(world, before=before, applied=applied, now=truth(HELD_DAY))
    if not applied:
        world.publish(Place.RESYNC, hour=5)
        assert world.sync("--full", day=HELD_DAY).code == 0
        check_mirror(world, before=[], applied=True, now=truth(HELD_DAY))


def test_a_delta_cut_at_any_octet_is_refused_at_its_end_and_never_before_its_last_sound_record(
    world: World,
) -> None:
    sound = dataclasses.replace(world.sound(Place.DELTA))
    data = sound.gz
    for end in range(1, len(data)):
        with pytest.raises(BadExtract) as caught:
            list(read_extract([data[:end]], name=sound.name, understand=parse_record))
        assert caught.value.reason == "truncated", end


def test_an_xml_cut_at_any_octet_in_a_sound_gz_is_refused(world: World) -> None:
    sound = world.sound(Place.DELTA)
    for end in range(1, len(sound.xml)):
        with pytest.raises(BadExtract) as caught:
            list(read_extract([packed(sound.xml[:end], level=0)], name=sound.name, understand=parse_record))
        assert caught.value.reason in {"not-well-formed", "not-xml"}, end


def test_the_page_holds_the_table_of_the_cases() -> None:
    made = (
        PAGE.read_text("utf-8")
        .partition("<!-- cases:")[2]
        .partition("-->\n")[2]
        .partition("\n<!-- end -->")[0]
    )
    assert made == table()


def test_names_of_cases_are_told_apart() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
