"""What must hold, what did not, and the files that decide: the vocabulary of a history."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from scenarios.merge_model.extracts import Extract, Kind
from scenarios.merge_model.mirrors import Outcome, View
from scenarios.merge_model.operators import Act, Step
from scenarios.merge_model.reference import Merged, Row
from scenarios.merge_model.world import World

Say = Callable[["Check", str], None]
"""Takes a finding: which property did not hold, and how."""


class Check(StrEnum):
    """A property, by the name under which a failure is reported."""

    TRUTH = "In-Use differs from the truth, and the mirror is not marked"
    ROWS = "a row is not what the files say"
    BODY = "a body is not the one that the rule serves"
    MARKS = "a row is marked, or not, against the rule"
    MISSING = "the missing dates are not those that were never applied"
    PROVEN = "the mirror is marked, or not, against the rule"
    EXIT = "exit code 0, and not current"
    FAILED = "an action failed"
    POSITION = "the position is ahead of what was applied, or went back"
    PROGRESS = "the position is behind what is on offer"
    REPORT = "a report says otherwise than the mirror"
    AGAIN = "the same action a second time changed something"
    JOURNAL = "the journal, replayed, does not give the mirror"
    GAP = "a run does not name the delta at which it stops"
    HEALS = "an unproven mirror leaves a full aside that would prove it"
    DRIFT = "reconcile finds a difference that there is not"
    QUARANTINE = "the quarantine does not count what nobody has accepted"
    DIGEST = "two proven mirrors at one position have different digests"


ALL = frozenset(Check)
WITHOUT_REFERENCE = ALL - {
    Check.ROWS,
    Check.BODY,
    Check.MARKS,
    Check.MISSING,
    Check.PROVEN,
    Check.PROGRESS,
    Check.HEALS,
}
"""Checks that know the truth and compare states, and not the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A property that did not hold."""

    check: Check
    step: Step
    detail: str

    def __str__(self) -> str:
        return f"{self.step}: {self.check}: {self.detail}"


@dataclass(slots=True)
class UsedFiles:
    """Everything that one lineage has used, newest edition of each; and since when it is that lineage."""

    fulls: dict[int, Extract] = field(default_factory=dict)
    deltas: dict[int, Extract] = field(default_factory=dict)
    was_edited: bool = False

    def add(self, files: Iterable[Extract]) -> None:
        for one in files:
            kept = self.fulls if one.kind is Kind.FULL else self.deltas
            if kept.get(one.day, one) is not one:
                self.was_edited = True
            kept[one.day] = one

    def copy(self) -> "UsedFiles":
        return UsedFiles(dict(self.fulls), dict(self.deltas), self.was_edited)


def compare_row(number: int, row: Row | None, merged: Merged, say: Say) -> None:
    """Hold one row against the merge of the files."""
    expected = merged.rows.get(number)
    if row == expected:
        return
    if number in merged.conflicts:
        if row and expected and row.body != expected.body and number not in merged.open_bodies:
            say(Check.BODY, f"certificate {number}: body {row.body}, by the rule {expected.body}")
        return
    if row is None or expected is None:
        if row is None or row.in_use:  # a mirror may remember more than the files of this lineage say
            say(Check.ROWS, f"certificate {number}: {row}, by the rule {expected}")
        return
    if replace(row, marked=False) != replace(expected, marked=False):
        say(Check.ROWS, f"certificate {number}: {row}, by the rule {expected}")
    if row.marked != expected.marked and number not in merged.open_marks:
        say(Check.MARKS, f"certificate {number}: {row}, by the rule {expected}")


def summary(view: View) -> str:
    """What identifies a state."""
    return f"position {view.position}, missing {view.missing}, digest {view.digest[:8]}"


def described_step(world: World, step: Step, outcome: Outcome | None, after: View | None) -> str:
    """One step in words."""
    is_archive = step.act in (Act.RESTORE_ARCHIVE, Act.RESTORE_TO)
    files = world.archive(step.day) if is_archive else world.offer(step.day)
    offer = ", ".join(str(one) for _, one in sorted(files.items()))
    if step.act in (Act.SYNC, Act.SYNC_FULL) and (fallback := world.fallback(step.day)):
        offer += "; as a fallback: " + ", ".join(str(one) for _, one in sorted(fallback.items()))
    state = "no mirror"
    if after:
        missing = "proven" if after.missing is None else f"unproven, missing {list(after.missing)}"
        state = f"position {after.position}, full {after.base}, {missing}"
    applied = ", ".join(map(str, outcome.applied)) if outcome else ""
    ended = f"exit {outcome.exit} ({outcome.text.strip()}); " if outcome else ""
    return f"{step}\n    on offer: {offer}\n    applied:  {applied}\n    {ended}{state}"
