"""Any life of a mirror against a model of a few lines: fulls, overlaps, deltas and lists in any order."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.list_builders import arrival, revoke
from support.mirror_builders import FULL_DAY, apply, ask, build, digest_anew, entry, held_digest, serial_of

from smki_sync.mirror.set_digest import SetDigest
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import Entry

DAY = timedelta(days=1)
Said = list[tuple[int, str]]
"""Certificate and status, one a record."""

Step = tuple[str, Said, list[Said]]
"""A delta, a full or a list: its records, and those of the overlap deltas of a full."""

said = st.lists(st.tuples(st.integers(1, 6), st.sampled_from("IIINER")), max_size=6)
in_use = st.lists(st.tuples(st.integers(1, 6), st.just("I")), max_size=6)
lives = st.lists(
    st.one_of(
        st.tuples(st.just("delta"), said, st.just([])),
        st.tuples(st.just("full"), in_use, st.lists(said, max_size=2)),
        st.tuples(st.just("list"), in_use, st.just([])),
    ),
    min_size=1,
    max_size=5,
)


@dataclass
class Model:
    """Content that a mirror must have: status by serial number, and withdrawn and listed certificates.

    ``stated``: date of the last delta statement.
    """

    status: dict[str, str] = field(default_factory=dict)
    stated: dict[str, date] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)

    def delta(self, records: Said, day: date) -> None:
        for n, status in records:
            serial = serial_of(n)
            if self.stated.get(serial, day) <= day:
                self.status[serial], self.stated[serial] = status, day
                self.withdrawn.discard(serial)

    def full(self, records: Said, overlap: list[Said], day: date) -> None:
        listed = {serial_of(n) for n, _ in records}
        standing = {serial for serial, stated in self.stated.items() if stated >= day - 2 * DAY}
        for serial in listed - standing:
            self.status[serial] = "I"
            self.withdrawn.discard(serial)
            self.stated.pop(serial, None)
        left = {s for s, status in self.status.items() if status == "I"} - listed - standing
        self.withdrawn |= left
        for gone in left:
            self.stated.pop(gone, None)
        for number, replayed in enumerate(overlap):
            self.delta(replayed, day - (len(overlap) - 1 - number) * DAY)

    def list(self, records: Said) -> None:
        self.named = {serial_of(n) for n, _ in records}

    def shown(self) -> dict[str, str]:
        return {s: "withdrawn" if s in self.withdrawn else status for s, status in self.status.items()}

    def revoked(self) -> set[str]:
        return self.named & self.status.keys()


@given(in_use, lives)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_after_any_life_the_mirror_is_the_model_and_its_books_are_right(
    first: Said, life: list[Step]
) -> None:
    with TemporaryDirectory() as directory:
        numbers = (Path(directory) / f"{n:06d}.db" for n in count(1))
        model, day, path = Model(), FULL_DAY, next(numbers)
        build(path, _records(first), day=day)
        model.full(first, [], day)
        ground = model.shown()
        for kind, records, overlap in life:
            day += DAY
            if kind == "list":
                day -= DAY  # the position stays
                revoke(path, arrival(*(n for n, _ in records)), day=20)
                model.list(records)
            else:
                path = _step(path, next(numbers), day, (kind, records, overlap))
                model.delta(records, day) if kind == "delta" else model.full(records, overlap, day)
            _compare(path, model, ground, day)


def _step(path: Path, new: Path, day: date, step: Step) -> Path:
    kind, records, overlap = step
    if kind == "delta":
        apply(path, day, _records(records))
        return path
    replayed = [(day - DAY * (len(overlap) - 1 - n), _records(o)) for n, o in enumerate(overlap)]
    build(new, _records(records), day=day, old=path, overlap=replayed)
    return new


def _records(records: Said) -> list[Entry]:
    return [entry(n, status, number=place) for place, (n, status) in enumerate(records, 1)]


def _compare(path: Path, model: Model, ground: dict[str, str], day: date) -> None:
    word = "iif(withdrawn IS NULL, status, 'withdrawn')"
    assert dict(ask(path, f"SELECT serial, {word} FROM certificates")) == model.shown()
    revoked = {serial for (serial,) in ask(path, "SELECT serial FROM certificates WHERE revoked IS NOT NULL")}
    assert revoked == model.revoked()
    assert held_digest(path) == digest_anew(path)
    with MirrorStore(path) as store:
        census, position = store.counts(), store.position()
    assert position.day == day
    counted = f"iif({word} = 'I' AND revoked IS NOT NULL, 'revoked', {word})"
    grouped = ask(path, f"SELECT {counted}, count(*) FROM certificates GROUP BY 1")
    assert dict(census.by_status) == dict(grouped)
    assert census.in_use == sum(status == "I" and s not in revoked for s, status in model.shown().items())
    assert census.digest == SetDigest.load(digest_anew(path)).hex
    assert _replayed(path, ground) == (model.shown(), model.revoked())


def _replayed(path: Path, ground: dict[str, str]) -> tuple[dict[str, str], set[str]]:
    """What somebody holds who started from the first full and followed the journal since."""
    held = dict(ground)
    revoked: set[str] = set()
    lines = ask(path, 'SELECT serial, change, "from", "to" FROM changes ORDER BY sequence')
    for serial, change, before, after in lines:
        if change in ("revoked", "unrevoked"):
            assert (serial in revoked) == (change == "unrevoked")
            assert serial in held
            revoked ^= {serial}
            continue
        was: dict[str, set[str | None]] = {
            "added": {None},
            "withdrawn": {"I"},
            "reinstated": {"withdrawn"},
            "status": {before, "withdrawn"},
        }
        assert held.get(serial) in was[change]
        held[serial] = "withdrawn" if change == "withdrawn" else after
    return held, revoked
