"""Any life of a repository and its mirror, step by step, as Hypothesis thinks it up.

Thousands of steps in every test run, always the same; ``make model`` for tens of thousands at random.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scenarios.model_based.world import World, make_original
from smki_sync.model.certificate import Status
from smki_sync.simulator.faults import Fault

LIVES = int(os.environ.get("SMKI_SYNC_LIVES", "0"))
"""How many lives at random (``make model``); 0: the same few in every test run."""

USUAL_LIVES = 70
STEPS = 40

faults = st.frozensets(
    st.sampled_from(
        [
            Fault.WITHHOLD_DELTA,
            Fault.LATE_DELTA,
            Fault.WITHHOLD_FULL,
            Fault.TRUNCATE,
            Fault.CORRUPT,
            Fault.MISMATCHED_TAG,
            Fault.EMPTY_FILE,
            Fault.TRUNCATE_FULL,
            Fault.CORRUPT_FULL,
            Fault.POISON_RECORD,
            Fault.CHANGE_AFTER_PUBLICATION,
            Fault.SAME_SIZE_CHANGE,
            Fault.HALF_WRITTEN,
            Fault.STRANGE_NAME,
        ]
    ),
    max_size=2,
)
some = st.integers(0, 63)


class Life(RuleBasedStateMachine):
    """Rules of a repository first, then those of its operator."""

    original: Path

    @initialize()
    def begin(self) -> None:
        self.world = World(self.original)

    @rule(faults=faults)
    def a_day_passes(self, faults: frozenset[Fault]) -> None:
        self.world.live(1, faults)

    @rule(days=st.integers(2, 9))
    def days_pass_without_anybody_looking(self, days: int) -> None:
        self.world.live(days)

    @rule(number=some, status=st.sampled_from(Status))
    def a_certificate_will_have_another_status(self, number: int, status: Status) -> None:
        self.world.turn(number, status)

    @rule(ago=st.integers(0, 6))
    def a_delta_is_published_late_or_anew(self, ago: int) -> None:
        self.world.publish_again(ago)

    @rule()
    def the_full_is_published_late_or_anew(self) -> None:
        self.world.publish_full_again()

    @rule()
    def a_full_is_published_on_another_day(self) -> None:
        self.world.publish_full_today()

    @rule(number=some)
    def a_file_is_removed(self, number: int) -> None:
        self.world.remove(number)

    @rule(number=some, half=st.booleans())
    def a_file_is_spoiled(self, number: int, half: bool) -> None:
        self.world.spoil(number, half=half)

    @rule(full=st.sampled_from([False, False, False, True]))
    def the_operator_syncs(self, full: bool) -> None:
        self.world.sync(full=full)

    @rule(skew=st.integers(-3, 3))
    def the_operator_syncs_with_a_wrong_clock(self, skew: int) -> None:
        self.world.sync(skew=skew)

    @rule(at=st.integers(1, 250), full=st.booleans())
    def a_sync_is_killed(self, at: int, full: bool) -> None:
        self.world.sync_and_die(at, full=full)

    @precondition(lambda self: self.world.held)
    @rule(sure=st.integers(0, 7))
    def the_mirror_s_disk_loses_a_page(self, sure: int) -> None:
        if sure == 0:
            self.world.spoil_mirror()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()


def test_in_any_life_the_mirror_is_right_or_does_not_say_that_it_is() -> None:
    with TemporaryDirectory() as place:
        Life.original = make_original(Path(place))
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=LIVES or USUAL_LIVES,
                stateful_step_count=STEPS,
                derandomize=not LIVES,
                database=None,
                deadline=None,
                print_blob=False,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
