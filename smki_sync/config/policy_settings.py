"""The sections ``[policy]`` and ``[limits]``."""

import sys
from dataclasses import dataclass
from typing import Annotated, Final

from smki_sync.model.plan import Policy, ReconcilePolicy, VerifyPolicy
from smki_sync.policy import ChangeLimits, DownloadWindow, OutsideWindow, TimeRange, Weekday
from smki_sync.sources.base import Limits
from smki_sync.usability import StaleLists

SHORTEST_SECONDS: Final = 0.001
"""Lowest time limit, in seconds. No network answers within a shorter one."""
LONGEST_SECONDS: Final = 7 * 24 * 3600.0
"""Highest time limit, in seconds: one week. A new full is published within a week."""

UNBOUNDED: Final = sys.float_info.max
"""Marks a missing bound. It is finite, so that the ``inf`` of TOML is still out of range."""

MAX_LOCKOUT_MINUTES: Final = 10_080
"""Longest pause after refused logins, in minutes: one week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What the reference says about a key, and the range of its value.

    Args:
        meaning: A noun phrase with the special values, for the reference and the example file.
        unit: The unit of a number, for example ``days``. It follows the name of the type.
        low: Lowest number, included.
        high: Highest number, included.
        example: A value for the example file, for a key without a default.
    """

    meaning: str
    unit: str = ""
    low: float = -UNBOUNDED
    high: float = UNBOUNDED
    example: object = None


_POLICY = Policy()
_CHANGES = ChangeLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """``[policy]``: decisions of the operator."""

    window_days: Annotated[
        int,
        KeyInfo(
            meaning="Time for which the Repository keeps a delta (MP147: seven days).",
            unit="days",
            low=1,
            high=366,
        ),
    ] = _POLICY.window_days
    full_overlap_days: Annotated[
        int,
        KeyInfo(
            meaning="Days before the date of a full whose deltas win over that full.",
            unit="days",
            low=0,
            high=31,
        ),
    ] = _POLICY.full_overlap_days
    late_after_days: Annotated[
        int,
        KeyInfo(
            meaning="Highest age of the newest extract before the Repository counts as late.",
            unit="days",
            low=0,
            high=366,
        ),
    ] = _POLICY.late_after_days
    quarantine_share: Annotated[
        float,
        KeyInfo(
            meaning="Largest share of unreadable records in a file. A file with more is rejected.",
            low=0,
            high=1,
        ),
    ] = 0.10
    max_shrink_share: Annotated[
        float,
        KeyInfo(
            meaning="Largest share of the In-Use certificates that one file may remove. A file that removes"
            " more is rejected, unless `sync --accept-shrink` accepts it.",
            low=0,
            high=1,
        ),
    ] = _CHANGES.shrink_share
    max_repeat_share: Annotated[
        float,
        KeyInfo(
            meaning="Largest share of the mirror that a delta may repeat unchanged. A delta that repeats more"
            " is a full with a wrong name and is rejected.",
            low=0,
            high=1,
        ),
    ] = _CHANGES.repeat_share
    max_not_in_use_share: Annotated[
        float,
        KeyInfo(
            meaning="Largest share of certificates in a full that are not In-Use. A full with more is a delta"
            " with a wrong name and is rejected (1 = accept any full).",
            low=0,
            high=1,
        ),
    ] = _CHANGES.not_in_use_share
    check_inner_names: Annotated[
        bool,
        KeyInfo(meaning="Rejection of a .gz file whose header names a different extract."),
    ] = True
    full_download_day: Annotated[
        Weekday | None,
        KeyInfo(
            meaning="Weekday agreed with the DCC for the download of a full (no value = any day).",
            example=Weekday.SUNDAY,
        ),
    ] = None
    full_download_hours: Annotated[
        str | None,
        KeyInfo(
            meaning="Hours agreed with the DCC for the download of a full, in UTC, as `HH-HH` (no value = any"
            " hour). A range over midnight belongs to the day on which it starts.",
            example="20-06",
        ),
    ] = None
    full_download_outside: Annotated[
        OutsideWindow,
        KeyInfo(
            meaning="Action if a full is needed outside the agreed day or hours: download it and report it,"
            " or wait."
        ),
    ] = OutsideWindow.GO_AHEAD
    repair_damage: Annotated[
        bool,
        KeyInfo(
            meaning="Automatic rebuild of a damaged mirror by `sync` (false = report the damage and stop)."
        ),
    ] = True
    login_lockout_minutes: Annotated[
        int,
        KeyInfo(
            meaning="Pause after a refused login, in which no run tries to log in (0 = no pause). Five"
            " refused logins in an hour lock the account (SEC Appendix P).",
            unit="minutes",
            low=0,
            high=MAX_LOCKOUT_MINUTES,
        ),
    ] = 60
    reconcile: Annotated[
        ReconcilePolicy,
        KeyInfo(
            meaning="Comparison of the mirror with a new full: never; when-needed (while the mirror is"
            " unproven, and repair it); report (each new full); repair (each new full)."
        ),
    ] = ReconcilePolicy.WHEN_NEEDED
    verify: Annotated[
        VerifyPolicy,
        KeyInfo(
            meaning="Signature check of certificates: off; new (each new certificate); all (also the whole"
            " mirror after each run)."
        ),
    ] = VerifyPolicy.OFF
    stale_lists: Annotated[
        StaleLists,
        KeyInfo(
            meaning="Organisation and authority certificates whose revocation is unknown, because no"
            " revocation list of their issuer is in force or its next update is due: report (usable, the"
            " answer says so); refuse (not usable)."
        ),
    ] = StaleLists.REPORT

    def download_window(self) -> DownloadWindow:
        """Return when a full may be downloaded.

        Raises:
            ValueError: ``full_download_hours`` is not a range of hours.
        """
        return DownloadWindow(
            day=self.full_download_day,
            hours=TimeRange.parse(self.full_download_hours) if self.full_download_hours else None,
            outside=self.full_download_outside,
        )

    def change_limits(self) -> ChangeLimits:
        """Return how much one file may change in the mirror."""
        return ChangeLimits(
            shrink_share=self.max_shrink_share,
            repeat_share=self.max_repeat_share,
            not_in_use_share=self.max_not_in_use_share,
        )

    def planner_policy(self) -> Policy:
        """Return the values that the planner uses."""
        return Policy(
            window_days=self.window_days,
            full_overlap_days=self.full_overlap_days,
            late_after_days=self.late_after_days,
        )


_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """``[limits]``: time limits of a connection. All other limits are constants."""

    connect_seconds: Annotated[
        float,
        KeyInfo(
            meaning="TCP connect timeout, across all addresses of the host.",
            unit="seconds",
            low=SHORTEST_SECONDS,
            high=LONGEST_SECONDS,
        ),
    ] = _LIMITS.connect
    login_seconds: Annotated[
        float,
        KeyInfo(
            meaning="SSH login timeout: key exchange and authentication.",
            unit="seconds",
            low=SHORTEST_SECONDS,
            high=LONGEST_SECONDS,
        ),
    ] = _LIMITS.login
    stall_seconds: Annotated[
        float,
        KeyInfo(
            meaning="Timeout of a connection on which no data arrives.",
            unit="seconds",
            low=SHORTEST_SECONDS,
            high=LONGEST_SECONDS,
        ),
    ] = _LIMITS.stall
    total_seconds: Annotated[
        float,
        KeyInfo(
            meaning="Timeout of the download of one file (0 = none).",
            unit="seconds",
            low=0,
            high=LONGEST_SECONDS,
        ),
    ] = _LIMITS.total

    def source_limits(self) -> Limits:
        """Return the limits of a source. The wait for the SSH banner is never longer than a login."""
        return Limits(
            connect=self.connect_seconds,
            banner=min(_LIMITS.banner, self.login_seconds),
            login=self.login_seconds,
            stall=self.stall_seconds,
            total=self.total_seconds,
        )
