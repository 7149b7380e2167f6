"""[repository] [retry] [mirror] [archive] [log] [metrics] [hooks] [trust]."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from smki_sync.catalogue import FileNames
from smki_sync.config.policy_settings import BLINK, WEEK, KeyInfo
from smki_sync.errors import ConfigError
from smki_sync.sources.ssh_settings import LegacyAlgorithm
from smki_sync.trust.chain import anchors_in

MAX_FILE_BYTES: Final = 1_000_000
"""Longest file of anchors, in bytes: a certificate has some 600 in PEM; more is another file."""


def read_anchors(paths: Iterable[Path]) -> tuple[bytes, ...]:
    """Read every file; the certificates as DER, each once. Raises ``ConfigError`` (``trust-anchor``)."""
    return tuple(dict.fromkeys(der for path in paths for der in _read(path)))


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise _refused(path, f"cannot be read: {exc.strerror}") from exc
    if len(octets) > MAX_FILE_BYTES:
        raise _refused(path, f"is longer than {MAX_FILE_BYTES:,} bytes")
    try:
        return anchors_in(octets)
    except ValueError as exc:
        raise _refused(path, f"holds no anchor: {exc}") from exc


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"the trust anchor {path} (trust.anchors) {why}",
        hint="name a certificate in PEM or DER: root OCA, root DCA, or an issuing authority",
        code="trust-anchor",
    )


class LogFormat(StrEnum):
    """How the talk on stderr is written: for people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """``[log]``: the talk on stderr."""

    format: Annotated[LogFormat, KeyInfo(meaning="For people, or one JSON object a line.")] = LogFormat.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """``[metrics]``: for monitoring."""

    textfile: Annotated[
        Path | None,
        KeyInfo(
            meaning="Prometheus textfile that every run replaces, failed ones too.",
            example="/var/lib/prometheus/node-exporter/smki-sync.prom",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """``[hooks]``: commands that are told how a run ended, with its JSON document on stdin."""

    on_updated: Annotated[
        tuple[str, ...], KeyInfo(meaning="Command, as a list of words, after a run that applied a file.")
    ] = ()
    on_attention: Annotated[
        tuple[str, ...], KeyInfo(meaning="The same after a run that left the mirror behind.")
    ] = ()
    on_failed: Annotated[tuple[str, ...], KeyInfo(meaning="The same after a run that failed.")] = ()
    timeout_seconds: Annotated[
        float,
        KeyInfo(meaning="After so long a hook is stopped.", unit="seconds", low=BLINK, high=WEEK),
    ] = 60.0


_NAMES = FileNames()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """``[repository]``: where extracts come from and how to log in. A secret is never a key here."""

    url: Annotated[
        str | None,
        KeyInfo(
            meaning="Where extracts come from: `sftp://user@host:port/path` or `file:///directory`.",
            example="sftp://party@smki.example:22/extracts",
        ),
    ] = None
    fallbacks: Annotated[
        tuple[str, ...],
        KeyInfo(
            meaning="Further sources, tried in order for what the first does not offer: archives, such as"
            " `file:///directory`. Logins are as for the first."
        ),
    ] = ()
    identity_file: Annotated[
        Path | None, KeyInfo(meaning="Private key for the login.", example="id_ed25519")
    ] = None
    known_hosts: Annotated[
        Path | None,
        KeyInfo(
            meaning="Host keys that are trusted, in OpenSSH's format. SFTP needs it.", example="known_hosts"
        ),
    ] = None
    password_file: Annotated[
        Path | None,
        KeyInfo(meaning="File that holds the password, readable by its owner alone.", example="password"),
    ] = None
    allow_agent: Annotated[bool, KeyInfo(meaning="Whether keys of an SSH agent are offered too.")] = False
    legacy_algorithms: Annotated[
        tuple[LegacyAlgorithm, ...],
        KeyInfo(meaning="Old ciphers and MACs to offer too, where a server has no better ones."),
    ] = ()
    full_name: Annotated[str, KeyInfo(meaning="Name of a full; `{date}` is YYYY-MM-DD.")] = _NAMES.full
    delta_name: Annotated[str, KeyInfo(meaning="Name of a delta; `{date}` is YYYY-MM-DD.")] = _NAMES.delta
    companion_names: Annotated[
        tuple[str, ...],
        KeyInfo(meaning="Patterns of files that are no extracts and no surprise: ARL, CRL, anchor slots."),
    ] = _NAMES.companions
    arl_name: Annotated[str, KeyInfo(meaning="Pattern of the Organisation ARL's name.")] = _NAMES.arl
    crl_name: Annotated[str, KeyInfo(meaning="Pattern of the Organisation CRL's name.")] = _NAMES.crl
    slot_names: Annotated[
        tuple[str, ...],
        KeyInfo(meaning="Patterns of the anchor-slot files; `{region}` stands for the region."),
    ] = _NAMES.slots

    parallel: Annotated[
        int,
        KeyInfo(
            meaning="In how many sessions the halves of a large file are fetched side by side; the server may"
            " count sessions.",
            unit="sessions",
            low=1,
            high=2,
        ),
    ] = 1
    bandwidth_limit: Annotated[
        int, KeyInfo(meaning="Most bytes fetched in a second; 0 is without limit.", unit="bytes", low=0)
    ] = 0
    settle_seconds: Annotated[
        float,
        KeyInfo(
            meaning="A file that changed less long ago is looked at once more after it was fetched.",
            unit="seconds",
            low=0,
            high=WEEK,
        ),
    ] = 600.0
    changing_seconds: Annotated[
        float,
        KeyInfo(meaning="Longest wait for a file that is changing.", unit="seconds", low=0, high=WEEK),
    ] = 300.0

    overlap_bytes: Annotated[
        int,
        KeyInfo(
            meaning="A full of so many bytes or more is loaded while it is still being fetched; 0: none is.",
            unit="bytes",
            low=0,
        ),
    ] = 4 << 20

    def names(self) -> FileNames:
        """Give what the catalogue asks for; raises ``ValueError`` for a template that names no extract."""
        return FileNames(
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
        KeyInfo(meaning="Attempts in a row without progress before a run gives up.", low=1, high=100),
    ] = 6
    first_pause_seconds: Annotated[
        float, KeyInfo(meaning="Pause after the first failure.", unit="seconds", low=0, high=WEEK)
    ] = 5.0
    factor: Annotated[float, KeyInfo(meaning="Each next pause is so many times longer.", low=1, high=10)] = (
        3.0
    )
    longest_pause_seconds: Annotated[
        float, KeyInfo(meaning="Longest pause.", unit="seconds", low=0, high=WEEK)
    ] = 300.0
    jitter: Annotated[
        float, KeyInfo(meaning="Share by which a pause is drawn longer or shorter.", low=0, high=1)
    ] = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorPaths:
    """``[mirror]``: the directory that is the mirror."""

    path: Annotated[
        Path | None, KeyInfo(meaning="Directory of the mirror; `mirror.db` stands in it.", example="mirror")
    ] = None
    keep_previous: Annotated[
        bool, KeyInfo(meaning="Whether the generation before a full resync is kept.")
    ] = True
    keep_changes_days: Annotated[
        int | None,
        KeyInfo(
            meaning="How many days of the change journal are kept; without it, all.",
            unit="days",
            low=1,
            example=400,
        ),
    ] = None
    index_devices: Annotated[
        bool,
        KeyInfo(
            meaning="Whether devices have an index by key identifier and hash too, from the next full on."
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """``[archive]``: extracts that were applied, kept for recovery."""

    path: Annotated[
        Path | None,
        KeyInfo(meaning="Directory in which applied extracts are kept; none without it.", example="archive"),
    ] = None
    keep_fulls: Annotated[
        int, KeyInfo(meaning="So many fulls are kept, with the deltas after them.", unit="fulls", low=1)
    ] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """``[trust]``: whose signatures count, and how fresh lists must be."""

    anchors: Annotated[
        tuple[Path, ...],
        KeyInfo(
            meaning="Files of trust anchors, PEM (any number in one) or DER: root OCA, root DCA, or an"
            " issuing authority that is trusted."
        ),
    ] = ()
    arl_max_age_days: Annotated[
        int | None,
        KeyInfo(
            meaning="An ARL older than this is stale; without it, its own nextUpdate says.",
            unit="days",
            low=1,
            example=400,
        ),
    ] = None
    crl_max_age_days: Annotated[
        int | None,
        KeyInfo(
            meaning="A CRL older than this is stale; without it, its own nextUpdate says.",
            unit="days",
            low=1,
            example=7,
        ),
    ] = None

    expect_lists: Annotated[
        bool, KeyInfo(meaning="Whether it is noted that no ARL, or no CRL, is on offer.")
    ] = True

    def read_anchors(self) -> tuple[bytes, ...]:
        """Read the anchors as DER, each once; raises ``ConfigError`` that names the file at fault."""
        if not self.anchors:
            return ()

        return read_anchors(self.anchors)
