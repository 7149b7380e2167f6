"""[policy] and [limits]."""

import sys
from dataclasses import dataclass
from typing import Annotated

from smki_sync.model.extract import ListPolicy
from smki_sync.model.plan import Policy, ReconcilePolicy, VerifyPolicy
from smki_sync.policy import ChangeLimits, DownloadWindow, OutsideWindow, TimeRange, Weekday
from smki_sync.sources.base import Limits

BLINK = 0.001
"""Shortest time limit, in seconds: shorter ones fail before any network can answer."""
WEEK = 7 * 24 * 3600.0
"""Longest time limit, in seconds: a new full is on offer by then, and waiting longer helps nobody."""

UNBOUNDED = sys.float_info.max
"""No bound of its own; infinity, which TOML can write, still lies beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What stands beside a setting's type. ``low`` and ``high``: the range of a number, both included.

    ``example``: a value to show where there is no default.
    """

    meaning: str
    unit: str = ""
    low: float = -UNBOUNDED
    high: float = UNBOUNDED
    example: object = None


_POLICY = Policy()
_BOUNDS = ChangeLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """``[policy]``: what the operator decides."""

    window_days: Annotated[
        int, KeyInfo(meaning="How long a delta stays on offer (MP147: seven).", unit="days", low=1, high=366)
    ] = _POLICY.window_days
    full_overlap_days: Annotated[
        int,
        KeyInfo(
            meaning="Deltas dated up to so long before a full are replayed onto it.",
            unit="days",
            low=0,
            high=31,
        ),
    ] = _POLICY.full_overlap_days
    late_after_days: Annotated[
        int,
        KeyInfo(
            meaning="A newest extract older than this means a late repository.", unit="days", low=0, high=366
        ),
    ] = _POLICY.late_after_days
    quarantine_share: Annotated[
        float,
        KeyInfo(meaning="A file with a larger share of records not understood is refused.", low=0, high=1),
    ] = 0.10
    quarantine_allowance: Annotated[
        int,
        KeyInfo(
            meaning="So many records not understood are accepted whatever their share.", unit="records", low=0
        ),
    ] = 5
    max_shrink_share: Annotated[
        float,
        KeyInfo(
            meaning="A file that costs the mirror a larger share of its In-Use certificates is refused;"
            " `sync --accept-shrink` takes it.",
            low=0,
            high=1,
        ),
    ] = _BOUNDS.shrink_share
    shrink_allowance: Annotated[
        int,
        KeyInfo(
            meaning="So many In-Use certificates may go whatever their share.", unit="certificates", low=0
        ),
    ] = _BOUNDS.shrink_allowance
    max_repeat_share: Annotated[
        float,
        KeyInfo(
            meaning="A delta that repeats what is known of a larger share of the mirror is a full: refused.",
            low=0,
            high=1,
        ),
    ] = _BOUNDS.repeat_share
    max_not_in_use_share: Annotated[
        float,
        KeyInfo(
            meaning="A full with a larger share of certificates that are not In-Use is a delta: refused.",
            low=0,
            high=1,
        ),
    ] = _BOUNDS.not_in_use_share
    not_in_use_allowance: Annotated[
        int,
        KeyInfo(
            meaning="So many certificates of a full may have another status whatever their share.",
            unit="certificates",
            low=0,
        ),
    ] = _BOUNDS.not_in_use_allowance
    check_inner_names: Annotated[
        bool,
        KeyInfo(meaning="Whether a .gz is refused that calls its content another extract than its name."),
    ] = True

    full_download_day: Annotated[
        Weekday | None,
        KeyInfo(
            meaning="Day agreed with the DCC for downloading a full; without it, any.", example=Weekday.SUNDAY
        ),
    ] = None
    full_download_hours: Annotated[
        str | None,
        KeyInfo(
            meaning="Hours agreed for it, UTC, as `HH-HH`; a night belongs to the day on which it begins.",
            example="20-06",
        ),
    ] = None
    full_download_outside: Annotated[
        OutsideWindow,
        KeyInfo(
            meaning="A full that is needed at another time: taken, with a note to tell the DCC, or put off."
        ),
    ] = OutsideWindow.GO_AHEAD
    repair_damage: Annotated[
        bool,
        KeyInfo(
            meaning="Whether `sync` builds a damaged mirror anew by itself; otherwise it says so and stops."
        ),
    ] = True
    login_lockout_minutes: Annotated[
        int,
        KeyInfo(
            meaning="So long after a refused login none is tried by a run: five in an hour lock the account"
            " (SEC Appendix P). 0 tries at once.",
            unit="minutes",
            low=0,
            high=10_080,
        ),
    ] = 60

    def agreement(self) -> DownloadWindow:
        """Give what was agreed on fulls; raises ``ValueError`` for hours that cannot be read."""
        return DownloadWindow(
            day=self.full_download_day,
            hours=TimeRange.parse(self.full_download_hours) if self.full_download_hours else None,
            outside=self.full_download_outside,
        )

    def bounds(self) -> ChangeLimits:
        """Give the part of this that the mirror asks for."""
        return ChangeLimits(
            shrink_share=self.max_shrink_share,
            shrink_allowance=self.shrink_allowance,
            repeat_share=self.max_repeat_share,
            not_in_use_share=self.max_not_in_use_share,
            not_in_use_allowance=self.not_in_use_allowance,
        )

    reconcile: Annotated[
        ReconcilePolicy,
        KeyInfo(
            meaning="Whether each new full on offer is fetched and held against the mirror: never; to report"
            " what differs; or to make it good."
        ),
    ] = ReconcilePolicy.NEVER
    verify: Annotated[
        VerifyPolicy,
        KeyInfo(
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


_LIMITS = Limits()
_LISTS = ListPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """``[limits]``: how long to wait, how much to take. ``None``: the reader's own default.

    Those defaults stand here as examples only: to ask the reader would load its XML library.
    """

    connect_seconds: Annotated[
        float,
        KeyInfo(
            meaning="Longest wait until TCP stands, for all addresses of the host.",
            unit="seconds",
            low=BLINK,
            high=WEEK,
        ),
    ] = _LIMITS.connect
    banner_seconds: Annotated[
        float,
        KeyInfo(meaning="Longest wait until the server names itself.", unit="seconds", low=BLINK, high=WEEK),
    ] = _LIMITS.banner
    login_seconds: Annotated[
        float,
        KeyInfo(
            meaning="Longest time to agree on keys and to log in, from when the server has named itself.",
            unit="seconds",
            low=BLINK,
            high=WEEK,
        ),
    ] = _LIMITS.login
    stall_seconds: Annotated[
        float, KeyInfo(meaning="Longest wait without a single byte.", unit="seconds", low=BLINK, high=WEEK)
    ] = _LIMITS.stall
    total_seconds: Annotated[
        float,
        KeyInfo(meaning="Longest time for one file; 0 is without end.", unit="seconds", low=0, high=WEEK),
    ] = _LIMITS.total
    slow_rate: Annotated[
        float,
        KeyInfo(
            meaning="A server that sends less while it is waited for is given up; 0 allows any.",
            unit="bytes a second",
            low=0,
        ),
    ] = _LIMITS.slow_rate
    slow_seconds: Annotated[
        float,
        KeyInfo(
            meaning="The time over which `limits.slow_rate` is measured.",
            unit="seconds",
            low=BLINK,
            high=WEEK,
        ),
    ] = _LIMITS.slow_period
    keep_alive_seconds: Annotated[
        float,
        KeyInfo(
            meaning="Time between signs of life on an idle connection; 0 is none.",
            unit="seconds",
            low=0,
            high=WEEK,
        ),
    ] = _LIMITS.keep_alive
    listing_entries: Annotated[int, KeyInfo(meaning="Most names in one listing.", unit="names", low=1)] = (
        _LIMITS.entries
    )
    name_length: Annotated[
        int, KeyInfo(meaning="Longest name that is listed.", unit="characters", low=1, high=65_536)
    ] = _LIMITS.name_length
    companion_bytes: Annotated[
        int, KeyInfo(meaning="Largest ARL, CRL or slot file, also unpacked.", unit="bytes", low=1)
    ] = _LISTS.largest_bytes
    decompressed_bytes: Annotated[
        int | None,
        KeyInfo(meaning="Largest size of one file's XML.", unit="bytes", low=1, example=1_099_511_627_776),
    ] = None
    ratio: Annotated[
        int | None, KeyInfo(meaning="Most bytes of XML from one byte of gz.", low=1, example=50)
    ] = None
    records: Annotated[
        int | None, KeyInfo(meaning="Most records in one file.", unit="records", low=1, example=1_000_000_000)
    ] = None
    field_bytes: Annotated[
        int | None, KeyInfo(meaning="Longest text of one element.", unit="bytes", low=1, example=65_536)
    ] = None
    depth: Annotated[
        int | None,
        KeyInfo(
            meaning="Most elements inside one another; Annex B has 3, the XML library takes 255.",
            unit="elements",
            low=3,
            high=255,
            example=16,
        ),
    ] = None
    record_bytes: Annotated[
        int | None,
        KeyInfo(meaning="Most XML without the end of a record.", unit="bytes", low=65_536, example=1_048_576),
    ] = None
    leading_bytes: Annotated[
        int | None,
        KeyInfo(meaning="Most XML before the root element.", unit="bytes", low=1, example=65_536),
    ] = None
    names: Annotated[
        int | None,
        KeyInfo(
            meaning="Most distinct names of elements, attributes and namespaces in one file, as far as looks"
            " at one part in thirty-two tell.",
            unit="names",
            low=1_000,
            example=100_000,
        ),
    ] = None

    def of_source(self) -> Limits:
        """Give the part of this that a source asks for."""
        return Limits(
            connect=self.connect_seconds,
            banner=self.banner_seconds,
            login=self.login_seconds,
            stall=self.stall_seconds,
            total=self.total_seconds,
            slow_rate=self.slow_rate,
            slow_period=self.slow_seconds,
            keep_alive=self.keep_alive_seconds,
            entries=self.listing_entries,
            name_length=self.name_length,
        )
