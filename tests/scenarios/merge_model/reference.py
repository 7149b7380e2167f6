"""The merge rule as a plain program on dictionaries, written from the text of the rule alone.

Every statement has a place in one order: a delta of day D stands at D, a full of day F just before the
delta of F minus the overlap. The last statement on a certificate counts. Nothing else decides, so that the
result cannot depend on the order in which the files arrived.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from scenarios.merge_model.certificates import FALSE, ISSUED
from scenarios.merge_model.extracts import IN_USE, Extract, Kind, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What an operator can set. ``overlap``: `policy.full_overlap_days`; ``verify``: `policy.verify`."""

    overlap: int = 2
    verify: bool = False

    def place(self, one: Extract) -> float:
        """A full stands before the first delta of its overlap, after the delta before that."""
        return one.day - self.overlap - 0.5 if one.kind is Kind.FULL else one.day

    def missing(self, base: int, applied: Iterable[int], position: int) -> tuple[int, ...]:
        """The deltas from the overlap of a full to the position that were never applied."""
        known = set(applied)
        return tuple(day for day in range(base - self.overlap, position + 1) if day not in known)

    def accepts(self, record: Record) -> bool:
        """Whether a record can be served: it can be read, and its signature is not known to be false."""
        return record.defect is None and not (self.verify and record.body == FALSE)


DEFAULT = Rule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a mirror has to say of one certificate.

    ``withdrawn``: a full no longer lists it, and nobody has said what became of it. ``marked``: the full
    and a delta of its overlap disagree, and a delta of the overlap is missing.
    """

    status: str
    withdrawn: bool
    manufacturing: bool | None
    body: int
    marked: bool = False

    @property
    def in_use(self) -> bool:
        return self.status == IN_USE and not self.withdrawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What follows from a set of files.

    ``missing``: days whose deltas should have been applied and were not. ``doubtful``: a full could not be
    read completely, and what it does not list has to be known from other files. ``conflicts``: certificates
    with more than one body. ``rejected``: those whose last statement could not be understood.
    ``open_marks``, ``open_bodies``: those of which the rule does not say whether they are marked, or which
    body is served.
    """

    rows: Mapping[int, Row]
    missing: tuple[int, ...]
    doubtful: bool
    conflicts: frozenset[int]
    rejected: frozenset[int]
    open_marks: frozenset[int]
    open_bodies: frozenset[int]

    @property
    def unproven(self) -> bool:
        return bool(self.missing) or self.doubtful

    @property
    def in_use(self) -> frozenset[int]:
        return frozenset(number for number, row in self.rows.items() if row.in_use)


class Statement(NamedTuple):
    """What a file says of one certificate; ``record`` is None where a full does not list it."""

    day: int
    is_full: bool
    record: Record | None


def merge(
    fulls: Iterable[Extract],
    deltas: Iterable[Extract],
    position: int,
    rule: Rule = DEFAULT,
    *,
    expected: Iterable[int] = (),
) -> Merged:
    """Work out the mirror that these files make: one full or more, and no two deltas of one day.

    ``expected``: further days that count as missing while their deltas have not come.
    """
    by_day = attrgetter("day")
    return _merge(
        tuple(sorted(fulls, key=by_day)), tuple(sorted(deltas, key=by_day)), position, rule, tuple(expected)
    )


@lru_cache(maxsize=64)
def _merge(
    fulls: tuple[Extract, ...],
    deltas: tuple[Extract, ...],
    position: int,
    rule: Rule,
    expected: tuple[int, ...],
) -> Merged:
    newest, applied = fulls[-1], [delta.day for delta in deltas]
    statements = _statements(fulls, deltas, rule)
    base = next((one for one in reversed(fulls) if one.is_complete), fulls[0])
    missing = rule.missing(newest.day, applied, position)
    awaited = tuple(day for day in expected if day > position and day not in applied)
    from_base = rule.missing(base.day, applied, position)
    rows: dict[int, Row] = {}
    conflicts, rejected, open_marks, open_bodies = set(), set(), set(), set()
    unproven = bool(missing or awaited)
    is_plain = all(one.is_plain for one in (*fulls, *deltas))
    for number, told in statements.items():
        understood, body = told, ISSUED
        if not is_plain:
            bodies = {one.record.body for one in told if one.record and rule.accepts(one.record)}
            body = min(bodies, default=-1)
            if len(bodies) > 1:
                body, is_open = _winner(told, rule)
                conflicts.add(number)
                open_bodies |= {number} if is_open else set()
            understood = [one for one in told if _is_understood(one, body, rule)]
            if not _is_understood(told[-1], body, rule):
                rejected.add(number)
        row = _row(understood, body, newest.day, rule, unproven=unproven)
        if row:
            rows[number] = row
            if (unproven or not newest.is_complete) and _is_mark_open(understood, newest):
                open_marks.add(number)
    return Merged(
        rows=rows,
        missing=missing,
        doubtful=from_base != missing,
        conflicts=frozenset(conflicts),
        rejected=frozenset(rejected),
        open_marks=frozenset(open_marks),
        open_bodies=frozenset(open_bodies),
    )


def _statements(
    fulls: Iterable[Extract], deltas: Iterable[Extract], rule: Rule
) -> dict[int, list[Statement]]:
    """What is said of each certificate, in order of place."""
    files = sorted([*fulls, *deltas], key=rule.place)
    told: dict[int, list[Statement]] = {record.number: [] for one in files for record in one.records}
    for one in files:
        is_full = one.kind is Kind.FULL
        for record in one.records:
            told[record.number].append(Statement(one.day, is_full, record))
        if is_full and one.is_complete:
            not_listed = Statement(one.day, is_full, None)
            for number in told.keys() - {record.number for record in one.records}:
                told[number].append(not_listed)
    return told


def _winner(told: Iterable[Statement], rule: Rule) -> tuple[int, bool]:
    """The only body that verifies, otherwise the one that was stated first; and whether that is open.

    Two bodies of one date leave it open, and so does a false body beside two that verify.
    """
    records = [(one, one.record) for one in told if one.record and rule.accepts(one.record)]
    first: dict[int, tuple[int, bool]] = {}
    for one, record in records:
        stated = (one.day, not one.is_full)
        first[record.body] = min(stated, first.get(record.body, stated))
    sound = {body for body in first if body != FALSE}
    if len(sound) == 1:
        return sound.pop(), False
    days = [day for day, _ in first.values()]
    is_open = len(sound) < len(first) or days.count(min(days)) > 1
    return min(first, key=lambda body: first[body]), is_open


def _is_understood(one: Statement, body: int, rule: Rule) -> bool:
    return one.record is None or (rule.accepts(one.record) and one.record.body == body)


def _row(understood: list[Statement], body: int, newest: int, rule: Rule, *, unproven: bool) -> Row | None:
    last = next((one.record for one in reversed(understood) if one.record is not None), None)
    if last is None:
        return None
    return Row(
        status=last.status,
        withdrawn=understood[-1].record is None and last.status == IN_USE,
        manufacturing=last.manufacturing,
        body=body,
        marked=unproven and _disagrees(understood, newest, rule),
    )


def _disagrees(understood: list[Statement], newest: int, rule: Rule) -> bool:
    """Whether the last statement is of a delta of the full's overlap, and the full says otherwise."""
    last = understood[-1]
    if last.is_full or last.record is None or not newest - rule.overlap <= last.day <= newest:
        return False
    said = [one for one in understood if one.is_full and one.day == newest]
    if not said:
        return False
    listed = said[-1].record
    return (listed is not None and listed.status == IN_USE) != (last.record.status == IN_USE)


def _is_mark_open(understood: list[Statement], newest: Extract) -> bool:
    """Whether the issue leaves open if a row is marked.

    The delta is of the full's own day; or they disagree on claims alone; or the full cannot be read
    completely, so that nobody knows whether it lists the certificate.
    """
    last = understood[-1]
    said = [one for one in understood if one.is_full and one.day == newest.day]
    if not said:
        return not newest.is_complete
    listed, stated = said[-1].record, last.record
    on_claims = listed is not None and stated is not None and listed.manufacturing != stated.manufacturing
    return not last.is_full and (last.day == newest.day or on_claims)
