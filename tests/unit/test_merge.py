"""The merge rule against the sentences of its decision record, and against a dictionary of all statements."""

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki_sync.merge import (
    Baseline,
    Body,
    FullSays,
    State,
    Statement,
    Unlisted,
    choose_body,
    merge_delta,
    merge_full,
    unlisted,
)
from smki_sync.model.certificate import Status
from smki_sync.model.extract import ExtractKind

FULL = date(2026, 11, 15)
DAY = timedelta(days=1)
BASELINE = Baseline(full=FULL, overlap_days=2)
IN_USE = Statement(Status.IN_USE, "claims")
REVOKED = Statement(Status.REVOKED, "claims")


def stated(says: Statement, day: date, held: State | None = None) -> State:
    state = merge_delta(held, says, day, BASELINE)
    assert state is not None
    return state


# Files and dates


def test_overlap_includes_both_ends() -> None:
    assert BASELINE.overlap == (FULL - 2 * DAY, FULL - DAY, FULL)
    assert Baseline(full=FULL, overlap_days=0).overlap == (FULL,)


@pytest.mark.parametrize(("days", "wins"), [(-3, False), (-2, True), (0, True), (1, True)])
def test_delta_wins_over_full_when_dated_in_the_overlap_or_later(days: int, wins: bool) -> None:
    assert BASELINE.is_outranked_by(FULL + days * DAY) is wins
    assert BASELINE.admits(ExtractKind.DELTA, FULL + days * DAY) is wins


@pytest.mark.parametrize(("days", "admitted"), [(-1, False), (0, True), (7, True)])
def test_older_full_is_not_admitted(days: int, admitted: bool) -> None:
    assert BASELINE.admits(ExtractKind.FULL, FULL + days * DAY) is admitted


def test_missing_names_the_overlap_deltas_that_were_not_applied() -> None:
    assert BASELINE.missing(set()) == BASELINE.overlap
    assert BASELINE.missing({FULL - DAY, FULL + DAY}) == (FULL - 2 * DAY, FULL)
    assert BASELINE.missing(set(BASELINE.overlap)) == ()


def test_full_reaches_the_day_before_its_date() -> None:
    assert BASELINE.position(None) == FULL - DAY
    assert BASELINE.position(FULL - 9 * DAY) == FULL - DAY
    assert BASELINE.position(FULL + 3 * DAY) == FULL + 3 * DAY


# Deltas


def test_delta_inserts_a_certificate_that_the_full_does_not_list() -> None:
    state = stated(IN_USE, FULL)
    assert state == State(Status.IN_USE, "claims", delta=FULL, disagrees=Unlisted.NOT_IN_USE)
    assert state.in_use
    assert state.is_contested


def test_delta_after_the_full_is_never_contested() -> None:
    assert stated(IN_USE, FULL + DAY) == State(Status.IN_USE, "claims", delta=FULL + DAY)


def test_delta_before_the_overlap_changes_nothing() -> None:
    assert merge_delta(None, IN_USE, FULL - 3 * DAY, BASELINE) is None
    listed = merge_full(None, IN_USE, BASELINE)
    assert merge_delta(listed, REVOKED, FULL - 3 * DAY, BASELINE) is listed


def test_earlier_delta_loses_when_it_arrives_late() -> None:
    held = stated(REVOKED, FULL)
    assert stated(IN_USE, FULL - DAY, held) is held


def test_later_record_of_one_file_wins() -> None:
    first = stated(IN_USE, FULL)
    assert stated(REVOKED, FULL, first).status is Status.REVOKED


def test_delta_reinstates_a_withdrawn_certificate() -> None:
    held = merge_full(State(Status.IN_USE, "claims"), Unlisted.NOT_IN_USE, BASELINE)
    assert held is not None
    assert not held.in_use
    assert stated(IN_USE, FULL + DAY, held).in_use


def test_confirming_delta_protects_a_certificate_from_the_full() -> None:
    held = stated(IN_USE, FULL - DAY, State(Status.IN_USE, "claims", delta=FULL - 8 * DAY))
    state = merge_full(held, Unlisted.NOT_IN_USE, BASELINE)
    assert state == State(Status.IN_USE, "claims", delta=FULL - DAY, disagrees=Unlisted.NOT_IN_USE)


def test_late_delta_recovers_what_the_full_said() -> None:
    listed = merge_full(None, IN_USE, BASELINE)
    revoked = stated(REVOKED, FULL - 2 * DAY, listed)
    assert revoked.disagrees == IN_USE
    other_claims = stated(Statement(Status.IN_USE, "other"), FULL - DAY, revoked)
    assert other_claims.disagrees == IN_USE
    assert stated(IN_USE, FULL, other_claims) == State(Status.IN_USE, "claims", delta=FULL)


def test_unknown_certificate_is_not_contested_when_the_full_rejected_its_record() -> None:
    state = merge_delta(None, IN_USE, FULL, BASELINE, unheld=Unlisted.SILENT)
    assert state == State(Status.IN_USE, "claims", delta=FULL, disagrees=Unlisted.SILENT)
    assert not state.is_contested


# Fulls


def test_full_wins_over_a_delta_before_the_overlap() -> None:
    old = FULL - 3 * DAY
    listed = merge_full(State(Status.REVOKED, "old", delta=old), IN_USE, BASELINE)
    assert listed == State(Status.IN_USE, "claims")
    gone = merge_full(State(Status.IN_USE, "claims", delta=old), Unlisted.NOT_IN_USE, BASELINE)
    assert gone == State(Status.IN_USE, "claims", withdrawn=FULL)


def test_overlap_delta_stands_and_is_contested_when_the_full_differs() -> None:
    revoked = merge_full(State(Status.REVOKED, "claims", delta=FULL - DAY), IN_USE, BASELINE)
    assert revoked == State(Status.REVOKED, "claims", delta=FULL - DAY, disagrees=IN_USE)
    assert revoked.is_contested
    agreed = merge_full(State(Status.IN_USE, "claims", delta=FULL), IN_USE, BASELINE)
    assert agreed == State(Status.IN_USE, "claims", delta=FULL)
    listed_otherwise = merge_full(State(Status.IN_USE, "claims", delta=FULL), REVOKED, BASELINE)
    assert listed_otherwise is not None
    assert listed_otherwise.disagrees == REVOKED


def test_delta_after_the_full_is_not_compared_with_it() -> None:
    later = State(Status.REVOKED, "claims", delta=FULL + DAY)
    assert merge_full(later, IN_USE, BASELINE) == later


def test_unlisted_certificate_keeps_a_status_that_is_not_in_use() -> None:
    held = State(Status.EXPIRED, "claims", delta=FULL - 9 * DAY)
    assert merge_full(held, Unlisted.NOT_IN_USE, BASELINE) == State(Status.EXPIRED, "claims")
    assert merge_full(None, Unlisted.NOT_IN_USE, BASELINE) is None


def test_withdrawn_certificate_keeps_its_date_when_a_later_full_does_not_list_it() -> None:
    held = State(Status.IN_USE, "claims", withdrawn=FULL - 7 * DAY)
    assert merge_full(held, Unlisted.NOT_IN_USE, BASELINE) == held
    assert merge_full(held, IN_USE, BASELINE) == State(Status.IN_USE, "claims")


def test_unlisted_certificate_stays_when_a_rejected_record_could_be_it() -> None:
    held = State(Status.IN_USE, "claims", delta=FULL - 9 * DAY)
    unclear = merge_full(held, Unlisted.UNCLEAR, BASELINE)
    assert unclear == State(Status.IN_USE, "claims", disagrees=Unlisted.UNCLEAR)
    assert unclear.is_contested
    silent = merge_full(held, Unlisted.SILENT, BASELINE)
    assert silent == State(Status.IN_USE, "claims", disagrees=Unlisted.SILENT)
    assert not silent.is_contested


@pytest.mark.parametrize(
    ("rejected", "complete", "says"),
    [
        (True, True, Unlisted.SILENT),
        (True, False, Unlisted.SILENT),
        (False, True, Unlisted.NOT_IN_USE),
        (False, False, Unlisted.UNCLEAR),
    ],
)
def test_unlisted_tells_what_a_full_says(rejected: bool, complete: bool, says: Unlisted) -> None:
    assert unlisted(rejected=rejected, complete=complete) is says


# Any order of arrival, against a dictionary of all statements

CERTIFICATES = range(3)
Records = tuple[tuple[int, Statement], ...]


@dataclass(frozen=True, kw_only=True)
class File:
    """A file in a history. ``silent``: certificates whose record in a full was rejected."""

    kind: ExtractKind
    day: date
    records: Records
    silent: frozenset[int] = frozenset()
    complete: bool = True

    def says(self, certificate: int) -> FullSays:
        """What a full says about a certificate."""
        found = [said for number, said in self.records if number == certificate]
        if certificate in self.silent or not found:
            return unlisted(rejected=certificate in self.silent, complete=self.complete)
        return found[-1]


statements = st.builds(Statement, st.sampled_from(Status), st.sampled_from("ab"))
listings = st.builds(Statement, st.just(Status.IN_USE), st.sampled_from("ab"))


def records(says: st.SearchStrategy[Statement]) -> st.SearchStrategy[Records]:
    return st.lists(st.tuples(st.sampled_from(CERTIFICATES), says), max_size=4).map(tuple)


def dates() -> st.SearchStrategy[date]:
    return st.integers(-9, 4).map(lambda n: FULL + n * DAY)


deltas = st.builds(File, kind=st.just(ExtractKind.DELTA), day=dates(), records=records(statements))
fulls = st.builds(
    File,
    kind=st.just(ExtractKind.FULL),
    day=dates(),
    records=records(listings),
    silent=st.frozensets(st.sampled_from(CERTIFICATES), max_size=1),
    complete=st.booleans(),
)


def one_each(files: list[File]) -> list[File]:
    """Keep one file of each kind and date: another edition is not the same file."""
    return list({(file.kind, file.day): file for file in files}.values())


@dataclass
class Mirror:
    """What the client does: one state for each certificate, and the newest full. Nothing else is kept."""

    overlap_days: int
    states: dict[int, State]
    full: File | None = None
    taken: frozenset[tuple[ExtractKind, date]] = frozenset()

    def take(self, file: File) -> None:
        if self.full is None and file.kind is ExtractKind.DELTA:
            return
        if self.full and not self._baseline(self.full).admits(file.kind, file.day):
            return
        self.taken |= {(file.kind, file.day)}
        if file.kind is ExtractKind.FULL:
            self.full = file
            for number in CERTIFICATES:
                self._keep(
                    number, merge_full(self.states.get(number), file.says(number), self._baseline(file))
                )
            return
        assert self.full is not None
        for number, said in file.records:
            says = self.full.says(number)
            unheld = says if isinstance(says, Unlisted) else Unlisted.NOT_IN_USE
            baseline = self._baseline(self.full)
            self._keep(number, merge_delta(self.states.get(number), said, file.day, baseline, unheld=unheld))

    def _keep(self, number: int, state: State | None) -> None:
        if state is not None:
            self.states[number] = state

    def _baseline(self, full: File) -> Baseline:
        return Baseline(full=full.day, overlap_days=self.overlap_days)

    def seen(self) -> dict[int, tuple[object, bool]]:
        """Claims of each certificate In-Use, and whether it is contested."""
        return {
            number: (state.claims if state.in_use else None, state.is_contested)
            for number, state in self.states.items()
            if state.in_use or state.is_contested
        }


def expected(files: list[File], overlap_days: int) -> dict[int, tuple[object, bool]]:
    """The rule, sentence by sentence, over every file that was taken."""
    found = {}
    for number in CERTIFICATES:
        claims = stands(number, files, overlap_days)
        contested = is_contested(number, files, overlap_days, in_use=claims is not None)
        if claims is not None or contested:
            found[number] = (claims, contested)
    return found


def stands(number: int, files: list[File], overlap_days: int) -> object:
    """Claims of the last file that says something about a certificate; ``None`` unless it says In-Use."""

    def order(file: File) -> tuple[date, bool]:
        is_delta = file.kind is ExtractKind.DELTA
        return (file.day if is_delta else file.day - overlap_days * DAY, is_delta)

    for file in sorted(files, key=order, reverse=True):
        if file.kind is ExtractKind.DELTA:
            for said in [said for one, said in file.records if one == number][-1:]:
                return said.claims if said.in_use else None
        elif file.says(number) is Unlisted.NOT_IN_USE:
            return None
        elif isinstance(says := file.says(number), Statement):
            return says.claims
    return None


def is_contested(number: int, files: list[File], overlap_days: int, *, in_use: bool) -> bool:
    """Whether the newest full and a delta of its overlap disagree, and no later delta has settled it."""
    full = max((file for file in files if file.kind is ExtractKind.FULL), key=lambda f: f.day)
    stating = [
        file
        for file in files
        if file.kind is ExtractKind.DELTA
        and any(one == number for one, _ in file.records)
        and file.day >= full.day - overlap_days * DAY
    ]
    says = full.says(number)
    if any(file.day > full.day for file in stating) or says is Unlisted.SILENT:
        return False
    if not stating:
        return says is Unlisted.UNCLEAR and in_use
    last = max(stating, key=lambda f: f.day)
    said = [said for one, said in last.records if one == number][-1]
    return said != says if said.in_use else isinstance(says, Statement)


@given(
    files=st.lists(deltas, max_size=6).map(one_each),
    more=st.lists(fulls, min_size=1, max_size=3).map(one_each),
    overlap_days=st.integers(0, 3),
    data=st.data(),
)
def test_state_equals_the_dictionary_in_any_order_of_arrival(
    files: list[File], more: list[File], overlap_days: int, data: st.DataObject
) -> None:
    every = files + more
    arrivals = data.draw(st.permutations(every + data.draw(st.lists(st.sampled_from(every), max_size=4))))
    mirror = Mirror(overlap_days, {})
    for file in arrivals:
        mirror.take(file)
    taken = [file for file in every if (file.kind, file.day) in mirror.taken]
    assert mirror.seen() == expected(taken, overlap_days)


@given(
    files=st.lists(deltas, max_size=3).map(one_each),
    full=fulls,
    overlap_days=st.integers(0, 3),
)
def test_every_order_of_the_same_files_gives_the_same_rows(
    files: list[File], full: File, overlap_days: int
) -> None:
    found = set()
    for order in permutations(files):
        for place in range(len(order) + 1):
            mirror = Mirror(overlap_days, {}, full=File(kind=full.kind, day=FULL - 20 * DAY, records=()))
            for file in (*order[:place], full, *order[place:]):
                mirror.take(file)
            if len(mirror.taken) == len(files) + 1:
                found.add(tuple(sorted(mirror.seen().items())))
    assert len(found) <= 1


# Bodies


def body(sha256: bytes, days: int = 0, place: int = 0, *, verifies: bool | None = None) -> Body:
    return Body(sha256=sha256, first_stated=FULL + days * DAY, place=place, verifies=verifies)


def test_only_body_that_verifies_wins() -> None:
    assert choose_body([body(b"a"), body(b"b", 5, verifies=True), body(b"c", -5, verifies=False)]) == 1


@pytest.mark.parametrize("verifies", [None, False, True])
def test_earliest_body_wins_when_not_exactly_one_verifies(verifies: bool | None) -> None:
    bodies = [body(b"a", 1, verifies=verifies), body(b"b", -1, verifies=verifies)]
    assert choose_body(bodies) == 1


def test_first_body_of_a_file_wins_when_dates_are_equal() -> None:
    assert choose_body([body(b"a", place=1), body(b"z")]) == 1


@given(st.lists(st.builds(body, st.binary(min_size=1, max_size=2), st.integers(-2, 2)), min_size=1))
def test_choice_of_body_does_not_depend_on_order(bodies: list[Body]) -> None:
    assert {order[choose_body(order)] for order in (bodies, bodies[::-1])} == {bodies[choose_body(bodies)]}
