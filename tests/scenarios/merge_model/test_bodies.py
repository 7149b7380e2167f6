"""Several bodies of one certificate, in any order of arrival: each way serves the same body."""

from random import Random

import pytest

from scenarios.merge_model.certificates import AUTHORITY, DEVICES, FALSE, ISSUED, SIGNED_TOO
from scenarios.merge_model.client import ClientMirror
from scenarios.merge_model.extracts import IN_USE, Extract, Kind, Record, day_text
from scenarios.merge_model.mirrors import View
from scenarios.merge_model.runs import LIVES, SEED, Scratch

HISTORIES = 6
SHARE = 20
"""With `make model` one history in this number is of this kind."""

FIRST, FULL, LAST = 8, 10, 14
"""Days of the first delta, of the full, and of the last delta."""

DISPUTED = (5, 6)
"""The certificates with several bodies."""


def _seeds() -> range:
    if SEED is not None:
        return range(int(SEED), int(SEED) + 1)
    return range(LIVES // SHARE or HISTORIES)


def _files(rng: Random) -> list[Extract]:
    """A full and its deltas. The issuer is in the full, or comes later."""
    issuer_day = rng.randrange(FULL, LAST + 1) if rng.random() < 0.4 else None

    def said(number: int, status: str) -> Record:
        return Record(number=number, status=status, body=rng.choice((ISSUED, SIGNED_TOO, FALSE)), defect=None)

    listed = [
        n for n in range(AUTHORITY, DEVICES) if n not in DISPUTED and (n != AUTHORITY or not issuer_day)
    ]
    records = [Record(number=n, status=IN_USE, body=ISSUED, defect=None) for n in listed]
    records += [said(n, IN_USE) for n in DISPUTED for _ in range(rng.choice((0, 1, 1, 2)))]
    files = [Extract(kind=Kind.FULL, day=FULL, records=tuple(records))]
    for day in range(FIRST, LAST + 1):
        stated = [said(rng.choice(DISPUTED), rng.choice("IIRN")) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
        if day == issuer_day:
            issuer = Record(number=AUTHORITY, status=IN_USE, body=ISSUED, defect=None)
            stated.insert(rng.randrange(len(stated) + 1), issuer)
        files.append(Extract(kind=Kind.DELTA, day=day, records=tuple(stated)))
    return files


def _state(mirror: ClientMirror) -> tuple[object, ...]:
    view = mirror.view(LAST + 1)
    assert isinstance(view, View)
    return view.position, view.missing, view.rows, view.digest


@pytest.mark.parametrize("seed", _seeds())
def test_same_body_is_served_when_files_arrive_in_another_order(seed: int) -> None:
    rng = Random(f"bodies {seed}")
    files, today = _files(rng), LAST + 1
    every = {one.name: one for one in files}
    with Scratch() as place:
        at_once, stepwise = ClientMirror(place / "at-once"), ClientMirror(place / "stepwise")
        at_once.sync(every, today)
        rest, arrived = rng.sample(files, len(files)), dict[str, Extract]()
        while rest:
            count = rng.randrange(1, len(rest) + 1)
            arrived |= {one.name: one for one in rest[:count]}
            rest = rest[count:]
            stepwise.sync(arrived, today)
        states = {"at once": _state(at_once), "stepwise": _state(stepwise)}
        stepwise.sync(every, today, full=True)
        states["sync --full"] = _state(stepwise)
        stepwise.restore(every, today)
        states["restore"] = _state(stepwise)
    different = [name for name, state in states.items() if state != states["at once"]]
    described = "\n".join(f"{one.kind} {day_text(one.day)}: {one.records}" for one in files)
    assert not different, f"{different} differ; {states}\n{described}"
