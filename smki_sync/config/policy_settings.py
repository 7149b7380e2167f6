"""``[policy]``: what the operator decides.

For: planner, bounds and deeds. Refuses: defaults that another room has a name for.
"""

from dataclasses import dataclass
from typing import Annotated

from smki_sync.bounds import Bounds
from smki_sync.config.settings.about import About
from smki_sync.model.door import VerifyPolicy
from smki_sync.model.drift import ReconcilePolicy
from smki_sync.model.plan import Policy
from smki_sync.policy import Agreement, Hours, Outside, Weekday

_POLICY = Policy()
_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """``[policy]``: what the operator decides."""

    window_days: Annotated[
        int, About(meaning="How long a delta stays on offer (MP147: seven).", unit="days", low=1, high=366)
    ] = _POLICY.window_days
    full_overlap_days: Annotated[
        int,
        About(
            meaning="Deltas dated up to so long before a full are replayed onto it.",
            unit="days",
            low=0,
            high=31,
        ),
    ] = _POLICY.full_overlap_days
    late_after_days: Annotated[
        int,
        About(
            meaning="A newest extract older than this means a late repository.", unit="days", low=0, high=366
        ),
    ] = _POLICY.late_after_days
    quarantine_share: Annotated[
        float,
        About(meaning="A file with a larger share of records not understood is refused.", low=0, high=1),
    ] = 0.10
    quarantine_allowance: Annotated[
        int,
        About(
            meaning="So many records not understood are accepted whatever their share.", unit="records", low=0
        ),
    ] = 5
    max_shrink_share: Annotated[
        float,
        About(
            meaning="A file that costs the mirror a larger share of its In-Use certificates is refused;"
            " `sync --accept-shrink` takes it.",
            low=0,
            high=1,
        ),
    ] = _BOUNDS.shrink_share
    shrink_allowance: Annotated[
        int,
        About(meaning="So many In-Use certificates may go whatever their share.", unit="certificates", low=0),
    ] = _BOUNDS.shrink_allowance
    max_repeat_share: Annotated[
        float,
        About(
            meaning="A delta that repeats what is known of a larger share of the mirror is a full: refused.",
            low=0,
            high=1,
        ),
    ] = _BOUNDS.repeat_share
    max_not_in_use_share: Annotated[
        float,
        About(
            meaning="A full with a larger share of certificates that are not In-Use is a delta: refused.",
            low=0,
            high=1,
        ),
    ] = _BOUNDS.not_in_use_share
    not_in_use_allowance: Annotated[
        int,
        About(
            meaning="So many certificates of a full may have another status whatever their share.",
            unit="certificates",
            low=0,
        ),
    ] = _BOUNDS.not_in_use_allowance
    check_inner_names: Annotated[
        bool, About(meaning="Whether a .gz is refused that calls its content another extract than its name.")
    ] = True

    full_download_day: Annotated[
        Weekday | None,
        About(
            meaning="Day agreed with the DCC for downloading a full; without it, any.", example=Weekday.SUNDAY
        ),
    ] = None
    full_download_hours: Annotated[
        str | None,
        About(
            meaning="Hours agreed for it, UTC, as `HH-HH`; a night belongs to the day on which it begins.",
            example="20-06",
        ),
    ] = None
    full_download_outside: Annotated[
        Outside,
        About(
            meaning="A full that is needed at another time: taken, with a note to tell the DCC, or put off."
        ),
    ] = Outside.GO_AHEAD
    repair_damage: Annotated[
        bool,
        About(
            meaning="Whether `sync` builds a damaged mirror anew by itself; otherwise it says so and stops."
        ),
    ] = True
    login_lockout_minutes: Annotated[
        int,
        About(
            meaning="So long after a refused login none is tried by a run: five in an hour lock the account"
            " (SEC Appendix P). 0 tries at once.",
            unit="minutes",
            low=0,
            high=10_080,
        ),
    ] = 60

    def agreement(self) -> Agreement:
        """Give what was agreed on fulls; raises ``ValueError`` for hours that cannot be read."""
        return Agreement(
            day=self.full_download_day,
            hours=Hours.parse(self.full_download_hours) if self.full_download_hours else None,
            outside=self.full_download_outside,
        )

    def bounds(self) -> Bounds:
        """Give the part of this that the mirror asks for."""
        return Bounds(
            shrink_share=self.max_shrink_share,
            shrink_allowance=self.shrink_allowance,
            repeat_share=self.max_repeat_share,
            not_in_use_share=self.max_not_in_use_share,
            not_in_use_allowance=self.not_in_use_allowance,
        )

    reconcile: Annotated[
        ReconcilePolicy,
        About(
            meaning="Whether each new full on offer is fetched and held against the mirror: never; to report"
            " what differs; or to make it good."
        ),
    ] = ReconcilePolicy.NEVER
    verify: Annotated[
        VerifyPolicy,
        About(
            meaning="What new certificates are asked: nothing; to be signed by their issuer; or that, and the"
            " whole mirror is verified after each run."
        ),
    ] = VerifyPolicy.OFF

    def rules(self) -> Policy:
        """Give the part of this that the planner asks for."""
        return Policy(
            window_days=self.window_days,
            full_overlap_days=self.full_overlap_days,
            late_after_days=self.late_after_days,
        )
