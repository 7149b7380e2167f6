"""The client by several ways from the same files: load, resync, repair, restore, and any order of arrival."""

from collections.abc import Callable
from random import Random

import pytest

from scenarios.merge_model.client import ClientMirror
from scenarios.merge_model.extracts import Extract, Kind
from scenarios.merge_model.mirrors import CURRENT, Mirror, Offer, View
from scenarios.merge_model.reference_mirror import ReferenceMirror
from scenarios.merge_model.runs import LIVES, SEED, Scratch
from scenarios.merge_model.world import Faults, Options, World

HISTORIES = 10
MODEL_SHARE = 20
"""With `make model` one history in this number is of each kind here."""

FAULTS = Faults(late=0.1, missing=0.12, damaged=0.1, renamed=0.1, unreadable=0.15, repeated=0.2)
"""Faults that leave the same files on offer whichever way is taken."""


def _seeds() -> range:
    if SEED is not None:
        return range(int(SEED), int(SEED) + 1)
    return range(LIVES // MODEL_SHARE or HISTORIES)


def _differences(one: View, other: View, *, may_remember: bool = False) -> list[str]:
    """How two states differ that are made of the same files.

    ``may_remember``: one of them may know certificates from before its full, none of which is In-Use.
    """
    found = [
        f"{name}: {getattr(one, name)}, {getattr(other, name)}"
        for name in ("position", "base", "missing")
        if getattr(one, name) != getattr(other, name)
    ]
    for number in sorted(one.rows.keys() | other.rows.keys()):
        row, same = one.rows.get(number), other.rows.get(number)
        only = row or same
        is_remembered = (row is None or same is None) and only is not None and not only.in_use
        if row != same and not (may_remember and is_remembered):
            found.append(f"certificate {number}: {row}, {same}")
    return found


def _contradictions(one: View, other: View) -> list[str]:
    """How two states differ that should agree: both are proven, and of one position."""
    if one.unproven or other.unproven or one.position != other.position:
        return []
    found = [] if one.digest == other.digest else [f"digest: {one.digest}, {other.digest}"]
    return found + [
        f"certificate {number}: {one.rows.get(number)}, {other.rows.get(number)}"
        for number in sorted(one.in_use | other.in_use)
        if one.rows.get(number) != other.rows.get(number)
    ]


def _view(mirror: Mirror, day: int) -> View:
    view = mirror.view(day)
    assert view is not None
    return view


@pytest.mark.parametrize("seed", _seeds())
def test_load_resync_repair_and_restore_give_the_same_rows(seed: int) -> None:
    rng = Random(f"paths {seed}")
    world = World(seed, faults=FAULTS if seed % 4 else World.FAULTLESS, options=Options())
    day = world.first_full + rng.randrange(15)
    offer = world.offer(day)
    with Scratch() as place:
        loaded = ClientMirror(place / "loaded")
        loaded.sync(offer, day)
        if loaded.view(day) is None:
            return
        mirrors = {"sync --full": loaded.copy(place / "resynced"), "repair": loaded.copy(place / "repaired")}
        mirrors["restore of nothing"] = ClientMirror(place / "restored")
        mirrors["sync --full"].sync(offer, day, full=True)
        mirrors["sync --full"].sync(offer, day, full=True)
        compared = mirrors["repair"].reconcile(offer, day)
        mirrors["repair"].reconcile(offer, day, repair=True)
        rehearsed = mirrors["repair"].rehearse(offer, day)
        mirrors["restore of nothing"].restore(offer, day)
        mirrors["restore of nothing"].restore(offer, day)
        expected = _view(loaded, day)
        problems = {name: _differences(expected, _view(one, day)) for name, one in mirrors.items()}
        older = ClientMirror(place / "older")
        before = max(world.first_full, day - rng.randrange(2, 6))
        older.sync(world.offer(before), before)
        older.sync(offer, day, full=True)
        if older.view(day) is not None:
            problems["an older mirror, then sync --full"] = _contradictions(expected, _view(older, day))
        is_behind = expected.position < expected.base  # and then there is nothing to compare with
        if compared.exit != CURRENT and not is_behind:
            problems["reconcile"] = [f"exit {compared.exit}: {compared.text}"]
        if rehearsed.exit != CURRENT:
            problems["rehearsal"] = [f"exit {rehearsed.exit}: {rehearsed.text}"]
    if any(problems.values()):
        pytest.fail(_text(problems, offer, day))


@pytest.mark.parametrize("seed", _seeds())
def test_any_order_of_arrival_gives_the_same_mirror(seed: int) -> None:
    files = _some_files(seed)
    with Scratch() as place:
        problems = _orders(seed, files, lambda name: ClientMirror(place / name))
    if any(problems.values()):
        pytest.fail(_text(problems, {one.name: one for one in files}, _last_day(files)))


def test_any_order_of_arrival_gives_the_same_reference_mirror() -> None:
    for seed in range(150):
        problems = _orders(seed, _some_files(seed), lambda _: ReferenceMirror())
        assert not any(problems.values()), f"seed {seed}: {problems}"


def _some_files(seed: int) -> list[Extract]:
    """A full, or two, with most of the deltas from its overlap on."""
    rng = Random(f"order {seed}")
    world = World(seed, faults=FAULTS, options=Options())
    first = rng.randrange(4, 9)
    days = range(first - 3, first + rng.choice((3, 6, 10)))
    lost = set(rng.sample(days, rng.choice((0, 0, 1, 1, 2))))
    fulls = [world.full(first, rng)] + ([world.full(first + 5, rng)] if len(days) > 9 else [])
    return [*fulls, *(world.delta(day) for day in days if day not in lost)]


Make = Callable[[str], Mirror]
"""Gives a new mirror, by the name of its directory."""


def _last_day(files: list[Extract]) -> int:
    return max(one.day for one in files) + 1


def _orders(seed: int, files: list[Extract], make: Make) -> dict[str, list[str]]:
    """Let the files arrive all at once, and in other orders; how the mirrors differ that this makes."""
    rng = Random(f"arrival {seed}")
    day = _last_day(files)
    views = {}
    for name in ("at once", "first order", "second order"):
        mirror, arrived = make(name.replace(" ", "-")), dict[str, Extract]()
        rest = rng.sample(files, len(files))
        for step in (day,) if name == "at once" else (day - 1, day, day):
            count = len(rest) if step == day and len(arrived) else rng.randrange(1, len(rest) + 1)
            count = len(rest) if name == "at once" else count
            arrived |= {one.name: one for one in rest[:count]}
            rest = rest[count:]
            mirror.sync(arrived, step)
        views[name] = mirror.view(day)
    problems = {}
    for name, view in views.items():
        first = views["at once"]
        if first is None or view is None:
            continue
        is_same = first.base == view.base and first.position == view.position
        fulls = sum(one.kind is Kind.FULL for one in files)
        if is_same:
            problems[name] = _differences(first, view, may_remember=fulls > 1)
        else:
            problems[name] = _contradictions(first, view)
    return problems


def _text(problems: dict[str, list[str]], offer: Offer, day: int) -> str:
    files = ", ".join(str(one) for _, one in sorted(offer.items()))
    told = "\n".join(f"  {name}:\n    " + "\n    ".join(one[:8]) for name, one in problems.items() if one)
    return f"day {day}, on offer: {files}\n{told}"
