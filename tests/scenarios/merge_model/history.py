"""One history: a repository, an operator's steps on a mirror, and what must hold after each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from scenarios.merge_model.extracts import Extract, Kind
from scenarios.merge_model.findings import (
    ALL,
    Check,
    Finding,
    UsedFiles,
    compare_row,
    described_step,
    summary,
)
from scenarios.merge_model.mirrors import ATTENTION, CURRENT, FINDING, Mirror, Outcome, View
from scenarios.merge_model.operators import Act, Step, perform
from scenarios.merge_model.reference import Merged, merge
from scenarios.merge_model.reference_mirror import Books, ReferenceMirror
from scenarios.merge_model.world import WINDOW, World

REFUSALS = frozenset({2, 4, 6, 10})
"""A restore that would lead less far, or finds no full, refuses; a damaged full ends a run."""

Standing = tuple[str, bool]
"""Status, and whether withdrawn: what a follower of the journal knows."""

RUNS = frozenset({Act.SYNC, Act.SYNC_FULL, Act.RESTORE})
"""Actions that take what is on offer."""

EXPECTED_EXITS = frozenset({0, 3, 4, 6, 7, 10})


@dataclass(slots=True)
class Tally:
    """How many states were seen, and how many of them were marked."""

    states: int = 0
    marked: int = 0


class History:
    """Runs steps and collects what does not hold."""

    def __init__(self, world: World, mirror: Mirror, checks: frozenset[Check] = ALL) -> None:
        self.world, self.mirror, self.checks = world, mirror, checks
        self.rule = world.options.rule
        self.findings: list[Finding] = []
        self.tally = Tally()
        self.told = UsedFiles()
        self.view: View | None = None
        self.digests: dict[int, str] = {}
        self._digests_before: dict[int, str] = {}
        self.is_vague = False  # which status a certificate has that is not In-Use
        self._steps: list[tuple[Step, Outcome | None, View | None]] = []
        self._known: dict[int, Standing] = {}
        self._token = ""
        self._kept: tuple[UsedFiles, set[tuple[Extract, int]]] | None = None
        self._accepted: set[tuple[Extract, int]] = set()
        self._ever_accepted: set[tuple[Extract, int]] = set()  # a new lineage may know it or not
        self._was_put_back = False

    def run(self, steps: Sequence[Step]) -> list[Finding]:
        for step in steps:
            if self.view is None and step.act is not Act.SYNC:
                continue
            if step.act is Act.PUT_BACK and self._kept is None:
                continue
            self._take(step)
        return self.findings

    def _take(self, step: Step) -> None:
        before = self.view
        prior, self._digests_before = self._books(), dict(self.digests)
        outcome = perform(step, self.world, self.mirror, before.position if before else None)
        after = self.mirror.view(step.day)
        self._steps.append((step, outcome, after))
        is_refused = (
            step.act in (Act.RESTORE, Act.RESTORE_ARCHIVE)
            and outcome is not None
            and outcome.exit in REFUSALS
        )
        if outcome and outcome.exit not in EXPECTED_EXITS and not is_refused:
            self._say(Check.FAILED, step, f"exit code {outcome.exit}: {outcome.text}")
        if after is None:
            if before:
                self._say(Check.POSITION, step, "the mirror is gone")
            return
        self._tell(step, outcome, after)
        self.view = after
        self._judge_state(step, before, after)
        self._judge_position(step, before, after)
        if outcome and outcome.exit not in REFUSALS:
            self._judge_progress(step, prior, after)
        self._judge_journal(step, after)
        if outcome:
            self._judge_outcome(step, outcome, after)
            self._judge_drift(step, outcome, before)
            self._judge_healing(step, outcome, after)
            self._judge_gap(step, outcome, after)
        if step.again and before:
            self._judge_again(step, before, after)

    def _say(self, check: Check, step: Step, detail: str) -> None:
        if check in self.checks:
            self.findings.append(Finding(check=check, step=step, detail=detail))

    @property
    def story(self) -> str:
        """What happened, step by step."""
        return "\n".join(described_step(self.world, *one) for one in self._steps)

    # What was used

    def _tell(self, step: Step, outcome: Outcome | None, after: View) -> None:
        if step.act is Act.PUT_BACK and self._kept:
            self.told, self._accepted = self._kept[0].copy(), set(self._kept[1])
        elif self.view is None or (step.act is Act.RESTORE_TO and outcome and outcome.exit in (0, 3)):
            self.told, self._accepted, self.is_vague = UsedFiles(), set(), False
        self.told.add(outcome.applied if outcome else ())
        if after.used and self.view and (after.base != self.view.base or self._is_rebuilt(after)):
            self.is_vague = True
        self.told.add(after.used)
        if step.act is Act.BACK_UP:
            self._kept = self.told.copy(), set(self._accepted)

    def _is_rebuilt(self, after: View) -> bool:
        """Whether the mirror was made from another edition of its full since it last said so."""
        fulls = [one for one in after.used if one.kind is Kind.FULL]
        return any(self.told.fulls.get(one.day) is not one for one in fulls)

    def _possible_fulls(self, step: Step, after: View) -> list[list[Extract]]:
        """The fulls that were used; a repair that nobody was told of may have used one more."""
        known = [
            full for day, full in sorted(self.told.fulls.items()) if day <= max(after.base, *self.told.fulls)
        ]
        newest = known[-1].day if known else -1
        others = [
            one
            for one in self.world.offer(step.day).values()
            if one.kind is Kind.FULL and not one.damage and newest <= one.day <= after.position + 1
        ]
        return [known, *([*(full for full in known if full.day != one.day), one] for one in others)]

    # What must hold

    def _judge_state(self, step: Step, before: View | None, after: View) -> None:
        self.tally.states += 1
        self.tally.marked += after.unproven
        possible = self._possible_fulls(step, after)
        if not possible[0]:
            self._say(Check.REPORT, step, "the mirror does not say from which full it was made")
            return
        found = []
        for fulls in possible:
            merged, findings = self._compare(step, after, fulls)
            found.append((len(findings), merged, findings, fulls))
        _, merged, findings, fulls = min(found, key=lambda one: one[0])
        for full in fulls:
            self.told.fulls[full.day] = full
        if self.told.was_edited:  # what a rebuild could not read again is lost, or remembered as a status
            self.is_vague = True
            for day in after.missing or ():
                self.told.deltas.pop(day, None)
        self.findings += [one for one in findings if one.check in self.checks]
        self._judge_truth(step, before, after, merged)

    def _compare(self, step: Step, after: View, fulls: list[Extract]) -> tuple[Merged, list[Finding]]:
        """Hold a state against the merge of the files that it says it has."""
        findings: list[Finding] = []

        def say(check: Check, detail: str) -> None:
            findings.append(Finding(check=check, step=step, detail=detail))

        newest = fulls[-1].day
        never = self.rule.missing(newest, self.told.deltas, after.position)
        stated = () if after.missing is None else after.missing
        allowed = set(never)
        if after.position == newest - 1:  # the issue leaves open whether the next delta is missing already
            allowed.add(newest)
        if self.told.was_edited:  # a rebuild cannot read again what has left the window
            used = {one.day for one in after.used if one.kind is Kind.DELTA}
            allowed |= {
                day for day in range(newest - self.rule.overlap, after.position + 1) if day not in used
            }
        lacking = set(stated) if set(stated) <= allowed else set(never)
        deltas = [
            one
            for day, one in self.told.deltas.items()
            if day <= after.position and (day not in lacking or day < newest - self.rule.overlap)
        ]
        merged = merge(fulls, deltas, after.position, self.rule, expected=stated)
        if not set(never) <= set(stated) <= allowed and not merged.doubtful:
            say(Check.MISSING, f"stated {sorted(stated)}, never applied {sorted(never)}")
        may_doubt = after.unproven and (
            not fulls[-1].is_complete or set(stated) == {newest} == {after.position + 1}
        )
        if after.unproven != merged.unproven and not may_doubt:
            say(Check.PROVEN, f"unproven is {after.unproven}, by the rule {merged.unproven}")
        for number in sorted(merged.rows.keys() | after.rows.keys()):
            row = after.rows.get(number)
            if not self.is_vague or (row and row.in_use) or number in merged.in_use:
                compare_row(number, row, merged, say)
        return merged, findings

    def _judge_truth(self, step: Step, before: View | None, after: View, merged: Merged) -> None:
        """What a mirror that says nothing is taken at its word for."""
        if after.unproven:
            return
        excused = merged.rejected | merged.conflicts | self._left_out(after) | self._read_too_late(after)
        differ = after.in_use ^ self.world.truth.in_use(after.position)
        differ -= excused - self._withdrawn_for_a_defect(before, after)
        if differ:
            listed = ", ".join(
                f"{n} {'In-Use' if n in after.in_use else 'not In-Use'}" for n in sorted(differ)
            )
            self._say(Check.TRUTH, step, f"at {after.position}: {listed}")
        if excused:
            return
        digest = self.digests.setdefault(after.position, after.digest)
        if digest != after.digest:
            self._say(Check.DIGEST, step, f"at {after.position}: {digest} and {after.digest}")

    def _left_out(self, after: View) -> frozenset[int]:
        """Certificates that are not in the edition of a delta that was used, and in a later one."""
        complete = [day for day, one in self.told.fulls.items() if one.is_complete]
        since = max(complete, default=min(self.told.fulls)) - self.rule.overlap
        used = [one for day, one in self.told.deltas.items() if since <= day <= after.position]
        return frozenset().union(*(self.world.left_out.get(one, ()) for one in used))

    def _read_too_late(self, after: View) -> frozenset[int]:
        """Certificates of which a full may know what happens after the position."""
        is_at_full = self.world.options.read_until and after.position + 1 in self.told.fulls
        return frozenset(self.world.truth.changed(after.position + 1)) if is_at_full else frozenset()

    def _withdrawn_for_a_defect(self, before: View | None, after: View) -> frozenset[int]:
        """Certificates that were withdrawn although the full lists them, in a record that cannot be read."""
        defects = {record.number for record in self.told.fulls[max(self.told.fulls)].records if record.defect}
        return frozenset(
            number
            for number in (before.in_use & defects if before else ())
            if number in after.rows and after.rows[number].withdrawn
        )

    def _judge_position(self, step: Step, before: View | None, after: View) -> None:
        dates = {one.day for one in self.told.deltas.values()}
        dates |= {day - 1 for day in self.told.fulls}
        if after.position not in dates:
            self._say(Check.POSITION, step, f"{after.position}, and no file leads there")
        goes_back = step.act in (Act.RESTORE_TO, Act.PUT_BACK)  # as was asked for
        if before and after.position < before.position and not goes_back:
            self._say(Check.POSITION, step, f"it went back from {before.position} to {after.position}")

    def _judge_progress(self, step: Step, prior: Books | None, after: View) -> None:
        """A run leads as far as one by the rules does, from the same state."""
        options = self.world.options
        if (
            step.act not in RUNS
            or step.skew
            or options.agreed_day
            or options.reconcile in ("never", "report")
        ):
            return
        expected = []
        for far, damage in product((True, False), repeat=2):
            mirror = ReferenceMirror(self.rule, skips_far=far, heeds_damage=damage)
            expected.append(self._position_by_the_rules(step, prior, mirror))
            if after.position == expected[-1]:
                return
        does_not_join = expected[0] != expected[-1]  # the issue leaves open whether such a full is taken
        if does_not_join and prior and after.position == prior.position:
            return
        self._say(Check.PROGRESS, step, f"{after.position}, by the rules {expected}")

    def _position_by_the_rules(self, step: Step, prior: Books | None, mirror: ReferenceMirror) -> int | None:
        mirror.books = prior
        fallback = self.world.fallback(step.day) if step.act is not Act.RESTORE else None
        mirror.sync(self.world.offer(step.day), step.day, full=step.act is not Act.SYNC, fallback=fallback)
        return mirror.books.position if mirror.books else None

    def _books(self) -> Books | None:
        """What the mirror is made of, as the reference keeps it."""
        if self.view is None:
            return None
        fulls = [full for _, full in sorted(self.told.fulls.items())]
        deltas = {day: one for day, one in self.told.deltas.items() if day <= self.view.position}
        return Books(fulls=fulls, deltas=deltas, position=self.view.position)

    def _judge_outcome(self, step: Step, outcome: Outcome, after: View) -> None:
        if after.status_exit == CURRENT and after.unproven:
            self._say(Check.EXIT, step, "`status` ends with 0, and the mirror is unproven")
        if outcome.position is not None and outcome.position != after.position:
            self._say(Check.REPORT, step, f"position {outcome.position}, the mirror is at {after.position}")
        if "other-digest" in outcome.codes and self._digests_before.get(after.position) == after.digest:
            self._say(Check.REPORT, step, "it says that the digest is another than before")
        if step.act is Act.ACCEPT:
            files = (*self.told.fulls.values(), *self.told.deltas.values())
            self._accepted |= {(one, number) for one in files for number in range(len(one.records))}
            self._ever_accepted |= self._accepted
        self._judge_quarantine(step, outcome, after)
        if step.act in RUNS and outcome.exit == CURRENT:
            self._judge_current(step, after)

    def _judge_current(self, step: Step, after: View) -> None:
        """What must hold when a run ends with 0."""
        if after.unproven:
            self._say(Check.EXIT, step, "the mirror is unproven")
        if step.skew:
            return
        if after.position < step.day - 1:
            self._say(Check.EXIT, step, f"the position is {after.position}")
        newer = [
            str(one)
            for one in self.world.offer(step.day).values()
            if one.kind is Kind.DELTA and one.day > after.position
        ]
        if newer:
            self._say(Check.EXIT, step, f"on offer and not applied: {', '.join(newer)}")
        if rejected := self._rejected(after) - self._ever_accepted:
            listed = "; ".join(f"{one}, record {number}" for one, number in rejected)
            self._say(Check.EXIT, step, f"records could not be understood: {listed}")

    def _rejected(self, after: View) -> set[tuple[Extract, int]]:
        """The records that could not be understood, of the newest full and the deltas from its day on."""
        newest = max(self.told.fulls)
        since = [one for day, one in self.told.deltas.items() if newest <= day <= after.position]
        return {
            (one, number)
            for one in (self.told.fulls[newest], *since)
            for number, record in enumerate(one.records)
            if not self.rule.accepts(record)
        }

    def _judge_quarantine(self, step: Step, outcome: Outcome, after: View) -> None:
        if outcome.quarantined is None:
            return
        rejected = self._rejected(after) - self._ever_accepted
        if rejected and not outcome.quarantined:
            self._say(Check.QUARANTINE, step, "0, and a record since the last full was rejected")
        files = (*self.told.fulls.values(), *self.told.deltas.values())
        conflicting = {record.number for one in files for record in one.records if record.body}
        odd = {
            (one, number)
            for one in files
            for number, record in enumerate(one.records)
            if record.defect or record.number in conflicting
        }
        if outcome.quarantined and odd <= self._accepted:
            self._say(Check.QUARANTINE, step, f"{outcome.quarantined}, and all are accepted")

    def _judge_drift(self, step: Step, outcome: Outcome, before: View | None) -> None:
        """A mirror that is as it must be does not differ from a full that can be read completely."""
        if step.act is not Act.RECONCILE or outcome.exit != FINDING or not before or before.unproven:
            return
        fulls = [one for one in self.world.offer(step.day).values() if one.kind is Kind.FULL]
        odd = any(
            record.defect or record.body
            for one in (*fulls, *self.told.deltas.values())
            for record in one.records
        )
        if not odd and not self.world.options.read_until and not self._left_out(before):
            self._say(Check.DRIFT, step, outcome.text)

    def _judge_healing(self, step: Step, outcome: Outcome, after: View) -> None:
        """A run proves an unproven mirror with a full that it has caught up with."""
        options = self.world.options
        if (
            step.act is not Act.SYNC
            or step.skew
            or options.agreed_day
            or options.reconcile in ("never", "report")
        ):
            return
        if not after.unproven or outcome.exit not in (CURRENT, ATTENTION):
            return
        healing = [
            str(one)
            for one in self.world.offer(step.day).values()
            if one.kind is Kind.FULL and not one.damage and after.base < one.day <= after.position
        ]
        if healing:
            self._say(Check.HEALS, step, f"{healing}; the mirror started from full {after.base}")

    def _judge_gap(self, step: Step, outcome: Outcome, after: View) -> None:
        """A run that stops before a delta on offer says which one is missing, or that it is damaged."""
        if step.act is not Act.SYNC or step.skew or outcome.missing is None:
            return
        files = self.world.offer(step.day).values()
        days = {one.day for one in files if one.kind is Kind.DELTA and not one.damage}
        following = after.position + 1
        is_in_window = step.day - WINDOW <= following
        stops = is_in_window and following not in days and any(day > following for day in days)
        if stops and following not in outcome.missing and "delta-damaged" not in outcome.codes:
            self._say(Check.GAP, step, f"{following}; the plan names {list(outcome.missing)}")

    def _judge_again(self, step: Step, before: View, after: View) -> None:
        if (before.position, before.missing, before.digest) != (after.position, after.missing, after.digest):
            self._say(Check.AGAIN, step, f"{summary(before)}; then {summary(after)}")
        for number in sorted(before.rows.keys() | after.rows.keys()):
            one, other = before.rows.get(number), after.rows.get(number)
            if one != other:
                self._say(Check.AGAIN, step, f"certificate {number}: {one}; then {other}")

    def _judge_journal(self, step: Step, after: View) -> None:
        rows = {number: (row.status, row.withdrawn) for number, row in after.rows.items()}
        if step.act is Act.PUT_BACK:  # nothing has been run yet that could give it a new lineage
            self._was_put_back = True
            return
        if not self._token:
            self._known, self._token = rows, self.mirror.token()
            return
        news = self.mirror.news(self._token)
        if news.lines is None:
            if step.act is not Act.RESTORE_TO and not self._was_put_back:
                self._say(Check.JOURNAL, step, "it cannot go on from the last token")
            self._known, self._token, self._was_put_back = rows, self.mirror.token(), False
            return
        self._token, self._was_put_back = news.token, self._was_put_back and step.act is Act.RECONCILE
        for line in news.lines:
            status, withdrawn = self._known.get(line.number, (None, False))
            before = None if withdrawn else status
            if line.before != before:
                self._say(Check.JOURNAL, step, f"{line} follows {status}, withdrawn {withdrawn}")
            if line.change == "withdrawn":
                self._known[line.number] = (status or "", True)
            else:
                self._known[line.number] = (line.after or "", False)
        for number in sorted(rows.keys() | self._known.keys()):
            if rows.get(number) != self._known.get(number):
                detail = f"certificate {number} is {rows.get(number)}, replayed {self._known.get(number)}"
                self._say(Check.JOURNAL, step, detail)
        self._known = rows
