"""Every setting: its type, range, unit, meaning and default, said once.

For: the frozen values that commands build their parts from, and the table and example in
docs/configuration.md, which are made from the annotations here. Refuses: to read a file or the
environment (:mod:`.load` does), and to know a default that another room already has a name for.
"""

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from smki_sync.access import Agreement, Hours, Outside, Weekday
from smki_sync.bounds import Bounds
from smki_sync.catalogue import Names
from smki_sync.model.door import VerifyPolicy
from smki_sync.model.lists import ListPolicy
from smki_sync.model.plan import Policy
from smki_sync.sources.algorithms import LegacyAlgorithm
from smki_sync.sources.base import Limits

_NAMES = Names()
_POLICY = Policy()
_BOUNDS = Bounds()
_LIMITS = Limits()
_LISTS = ListPolicy()
_BLINK = 0.001
"""Shortest time limit, in seconds: shorter ones fail before any network can answer."""
_WEEK = 7 * 24 * 3600.0
"""Longest time limit, in seconds: a new full is on offer by then, and waiting longer helps nobody."""


UNBOUNDED = sys.float_info.max
"""No bound of its own; infinity, which TOML can write, still lies beyond it."""


class LogFormat(StrEnum):
    """How the talk on stderr is written: for people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What stands beside a setting's type. ``low`` and ``high``: the range of a number, both included.

    ``example``: a value to show where there is no default.
    """

    meaning: str
    unit: str = ""
    low: float = -UNBOUNDED
    high: float = UNBOUNDED
    example: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """``[repository]``: where extracts come from and how to log in. A secret is never a key here."""

    url: Annotated[
        str | None,
        About(
            meaning="Where extracts come from: `sftp://user@host:port/path` or `file:///directory`.",
            example="sftp://party@smki.example:22/extracts",
        ),
    ] = None
    fallbacks: Annotated[
        tuple[str, ...],
        About(
            meaning="Further sources, tried in order for what the first does not offer: archives, such as"
            " `file:///directory`. Logins are as for the first."
        ),
    ] = ()
    identity_file: Annotated[
        Path | None, About(meaning="Private key for the login.", example="id_ed25519")
    ] = None
    known_hosts: Annotated[
        Path | None,
        About(
            meaning="Host keys that are trusted, in OpenSSH's format. SFTP needs it.", example="known_hosts"
        ),
    ] = None
    password_file: Annotated[
        Path | None,
        About(meaning="File that holds the password, readable by its owner alone.", example="password"),
    ] = None
    allow_agent: Annotated[bool, About(meaning="Whether keys of an SSH agent are offered too.")] = False
    legacy_algorithms: Annotated[
        tuple[LegacyAlgorithm, ...],
        About(meaning="Old ciphers and MACs to offer too, where a server has no better ones."),
    ] = ()
    full_name: Annotated[str, About(meaning="Name of a full; `{date}` is YYYY-MM-DD.")] = _NAMES.full
    delta_name: Annotated[str, About(meaning="Name of a delta; `{date}` is YYYY-MM-DD.")] = _NAMES.delta
    companion_names: Annotated[
        tuple[str, ...],
        About(meaning="Patterns of files that are no extracts and no surprise: ARL, CRL, anchor slots."),
    ] = _NAMES.companions
    arl_name: Annotated[str, About(meaning="Pattern of the Organisation ARL's name.")] = _NAMES.arl
    crl_name: Annotated[str, About(meaning="Pattern of the Organisation CRL's name.")] = _NAMES.crl
    slot_names: Annotated[
        tuple[str, ...],
        About(meaning="Patterns of the anchor-slot files; `{region}` stands for the region."),
    ] = _NAMES.slots

    parallel: Annotated[
        int,
        About(
            meaning="In how many sessions the halves of a large file are fetched side by side; the server may"
            " count sessions.",
            unit="sessions",
            low=1,
            high=2,
        ),
    ] = 1
    bandwidth_limit: Annotated[
        int, About(meaning="Most bytes fetched in a second; 0 is without limit.", unit="bytes", low=0)
    ] = 0
    settle_seconds: Annotated[
        float,
        About(
            meaning="A file that changed less long ago is looked at once more after it was fetched.",
            unit="seconds",
            low=0,
            high=_WEEK,
        ),
    ] = 600.0
    changing_seconds: Annotated[
        float,
        About(meaning="Longest wait for a file that is changing.", unit="seconds", low=0, high=_WEEK),
    ] = 300.0

    overlap_bytes: Annotated[
        int,
        About(
            meaning="A full of so many bytes or more is loaded while it is still being fetched; 0: none is.",
            unit="bytes",
            low=0,
        ),
    ] = 4 << 20

    def names(self) -> Names:
        """Give what the catalogue asks for; raises ``ValueError`` for a template that names no extract."""
        return Names(
            full=self.full_name,
            delta=self.delta_name,
            companions=self.companion_names,
            arl=self.arl_name,
            crl=self.crl_name,
            slots=self.slot_names,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """``[retry]``: how patient a run is with a repository that drops out. A refusal is never tried again."""

    attempts: Annotated[
        int,
        About(meaning="Attempts in a row without progress before a run gives up.", low=1, high=100),
    ] = 6
    first_pause_seconds: Annotated[
        float, About(meaning="Pause after the first failure.", unit="seconds", low=0, high=_WEEK)
    ] = 5.0
    factor: Annotated[float, About(meaning="Each next pause is so many times longer.", low=1, high=10)] = 3.0
    longest_pause_seconds: Annotated[
        float, About(meaning="Longest pause.", unit="seconds", low=0, high=_WEEK)
    ] = 300.0
    jitter: Annotated[
        float, About(meaning="Share by which a pause is drawn longer or shorter.", low=0, high=1)
    ] = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorPaths:
    """``[mirror]``: the directory that is the mirror."""

    path: Annotated[
        Path | None, About(meaning="Directory of the mirror; `mirror.db` stands in it.", example="mirror")
    ] = None
    keep_previous: Annotated[bool, About(meaning="Whether the generation before a full resync is kept.")] = (
        True
    )
    keep_changes_days: Annotated[
        int | None,
        About(
            meaning="How many days of the change journal are kept; without it, all.",
            unit="days",
            low=1,
            example=400,
        ),
    ] = None
    index_devices: Annotated[
        bool,
        About(meaning="Whether devices have an index by key identifier and hash too, from the next full on."),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """``[archive]``: extracts that were applied, kept for recovery."""

    path: Annotated[
        Path | None,
        About(meaning="Directory in which applied extracts are kept; none without it.", example="archive"),
    ] = None
    keep_fulls: Annotated[
        int, About(meaning="So many fulls are kept, with the deltas after them.", unit="fulls", low=1)
    ] = 2


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """``[trust]``: whose signatures count, and how fresh lists must be."""

    anchors: Annotated[
        tuple[Path, ...],
        About(
            meaning="Files of trust anchors, PEM (any number in one) or DER: root OCA, root DCA, or an"
            " issuing authority that is trusted."
        ),
    ] = ()
    arl_max_age_days: Annotated[
        int | None,
        About(
            meaning="An ARL older than this is stale; without it, its own nextUpdate says.",
            unit="days",
            low=1,
            example=400,
        ),
    ] = None
    crl_max_age_days: Annotated[
        int | None,
        About(
            meaning="A CRL older than this is stale; without it, its own nextUpdate says.",
            unit="days",
            low=1,
            example=7,
        ),
    ] = None

    expect_lists: Annotated[
        bool, About(meaning="Whether it is noted that no ARL, or no CRL, is on offer.")
    ] = True

    def read_anchors(self) -> tuple[bytes, ...]:
        """Read the anchors as DER, each once; raises ``ConfigError`` that names the file at fault."""
        if not self.anchors:
            return ()
        from smki_sync.config.anchors import read_anchors  # noqa: PLC0415 - loads what proves signatures

        return read_anchors(self.anchors)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """``[limits]``: how long to wait, how much to take. ``None``: the reader's own default.

    Those defaults stand here as examples only: to ask the reader would load its XML library.
    """

    connect_seconds: Annotated[
        float,
        About(
            meaning="Longest wait until TCP stands, for all addresses of the host.",
            unit="seconds",
            low=_BLINK,
            high=_WEEK,
        ),
    ] = _LIMITS.connect
    banner_seconds: Annotated[
        float,
        About(meaning="Longest wait until the server names itself.", unit="seconds", low=_BLINK, high=_WEEK),
    ] = _LIMITS.banner
    login_seconds: Annotated[
        float,
        About(
            meaning="Longest time to agree on keys and to log in, from when the server has named itself.",
            unit="seconds",
            low=_BLINK,
            high=_WEEK,
        ),
    ] = _LIMITS.login
    stall_seconds: Annotated[
        float, About(meaning="Longest wait without a single byte.", unit="seconds", low=_BLINK, high=_WEEK)
    ] = _LIMITS.stall
    total_seconds: Annotated[
        float,
        About(meaning="Longest time for one file; 0 is without end.", unit="seconds", low=0, high=_WEEK),
    ] = _LIMITS.total
    slow_rate: Annotated[
        float,
        About(
            meaning="A server that sends less while it is waited for is given up; 0 allows any.",
            unit="bytes a second",
            low=0,
        ),
    ] = _LIMITS.slow_rate
    slow_seconds: Annotated[
        float,
        About(
            meaning="The time over which `limits.slow_rate` is measured.",
            unit="seconds",
            low=_BLINK,
            high=_WEEK,
        ),
    ] = _LIMITS.slow_period
    keep_alive_seconds: Annotated[
        float,
        About(
            meaning="Time between signs of life on an idle connection; 0 is none.",
            unit="seconds",
            low=0,
            high=_WEEK,
        ),
    ] = _LIMITS.keep_alive
    listing_entries: Annotated[int, About(meaning="Most names in one listing.", unit="names", low=1)] = (
        _LIMITS.entries
    )
    name_length: Annotated[
        int, About(meaning="Longest name that is listed.", unit="characters", low=1, high=65_536)
    ] = _LIMITS.name_length
    companion_bytes: Annotated[
        int, About(meaning="Largest ARL, CRL or slot file, also unpacked.", unit="bytes", low=1)
    ] = _LISTS.largest_bytes
    decompressed_bytes: Annotated[
        int | None,
        About(meaning="Largest size of one file's XML.", unit="bytes", low=1, example=1_099_511_627_776),
    ] = None
    ratio: Annotated[
        int | None, About(meaning="Most bytes of XML from one byte of gz.", low=1, example=50)
    ] = None
    records: Annotated[
        int | None, About(meaning="Most records in one file.", unit="records", low=1, example=1_000_000_000)
    ] = None
    field_bytes: Annotated[
        int | None, About(meaning="Longest text of one element.", unit="bytes", low=1, example=65_536)
    ] = None
    depth: Annotated[
        int | None,
        About(
            meaning="Most elements inside one another; Annex B has 3, the XML library takes 255.",
            unit="elements",
            low=3,
            high=255,
            example=16,
        ),
    ] = None
    record_bytes: Annotated[
        int | None,
        About(meaning="Most XML without the end of a record.", unit="bytes", low=65_536, example=1_048_576),
    ] = None
    leading_bytes: Annotated[
        int | None,
        About(meaning="Most XML before the root element.", unit="bytes", low=1, example=65_536),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """``[log]``: the talk on stderr."""

    format: Annotated[LogFormat, About(meaning="For people, or one JSON object a line.")] = LogFormat.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """``[metrics]``: for monitoring."""

    textfile: Annotated[
        Path | None,
        About(
            meaning="Prometheus textfile that every run replaces, failed ones too.",
            example="/var/lib/prometheus/node-exporter/smki-sync.prom",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """``[hooks]``: commands that are told how a run ended, with its JSON document on stdin."""

    on_updated: Annotated[
        tuple[str, ...], About(meaning="Command, as a list of words, after a run that applied a file.")
    ] = ()
    on_attention: Annotated[
        tuple[str, ...], About(meaning="The same after a run that left the mirror behind.")
    ] = ()
    on_failed: Annotated[tuple[str, ...], About(meaning="The same after a run that failed.")] = ()
    timeout_seconds: Annotated[
        float,
        About(meaning="After so long a hook is stopped.", unit="seconds", low=_BLINK, high=_WEEK),
    ] = 60.0
