"""All sections except ``[policy]`` and ``[limits]``."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from smki_sync.catalogue import FileNames
from smki_sync.config.policy_settings import LONGEST_SECONDS, SHORTEST_SECONDS, KeyInfo
from smki_sync.errors import ConfigError
from smki_sync.model.certificate import Eui, parse_eui
from smki_sync.sources.ssh_settings import LegacyAlgorithm, SshEngine

MAX_ANCHOR_FILE_BYTES: Final = 1_000_000
"""Largest file of trust anchors, in bytes. A certificate has about 600 bytes in PEM."""


def read_anchors(paths: Iterable[Path]) -> tuple[bytes, ...]:
    """Read the certificates in ``paths`` as DER, without duplicates.

    Raises:
        ConfigError: ``trust-anchor``. A file cannot be read, is too large or contains no certificate.
    """
    return tuple(dict.fromkeys(der for path in paths for der in _read_anchor_file(path)))


def _read_anchor_file(path: Path) -> tuple[bytes, ...]:
    from smki_sync.trust.chain import anchors_in  # noqa: PLC0415 - loads cryptography, which `find` does without

    try:
        with path.open("rb") as file:
            data = file.read(MAX_ANCHOR_FILE_BYTES + 1)
    except OSError as exc:
        raise _anchor_error(path, f"cannot be read: {exc.strerror}") from exc
    if len(data) > MAX_ANCHOR_FILE_BYTES:
        raise _anchor_error(path, f"is longer than {MAX_ANCHOR_FILE_BYTES:,} bytes")
    try:
        return anchors_in(data)
    except ValueError as exc:
        raise _anchor_error(path, f"does not contain a trust anchor: {exc}") from exc


def _anchor_error(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"The trust anchor {path} (trust.anchors) {reason}.",
        hint="Name a certificate in PEM or DER: root OCA, root DCA, or an issuing authority.",
        code="trust-anchor",
    )


class LogFormat(StrEnum):
    """Format of the messages on stderr."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """``[log]``: messages on stderr."""

    format: Annotated[LogFormat, KeyInfo(meaning="Format of messages on stderr: text, or JSON Lines.")] = (
        LogFormat.TEXT
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """``[metrics]``: figures for monitoring."""

    textfile: Annotated[
        Path | None,
        KeyInfo(
            meaning="Prometheus textfile, replaced after every run, also after a failed one (no value ="
            " none).",
            example="/var/lib/prometheus/node-exporter/smki-sync.prom",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """``[hooks]``: a command that smki-sync starts after a run."""

    after_run: Annotated[
        tuple[str, ...],
        KeyInfo(
            meaning="Command and arguments, started after every run ([] = none). It gets the JSON document of"
            " the run on stdin; `outcome` in it says how the run ended."
        ),
    ] = ()
    timeout_seconds: Annotated[
        float,
        KeyInfo(
            meaning="Time limit of the command. It is stopped after this time.",
            unit="seconds",
            low=SHORTEST_SECONDS,
            high=LONGEST_SECONDS,
        ),
    ] = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """``[serve]``: the web service of `smki-sync serve`."""

    listen: Annotated[
        str,
        KeyInfo(
            meaning="Address: HOST:PORT or `unix:/path`. An address that is not loopback needs TLS or"
            " `serve.behind_proxy`."
        ),
    ] = "127.0.0.1:8083"
    prefix: Annotated[
        str, KeyInfo(meaning="Path before `services/` and `api/`. It starts and ends with /.")
    ] = "/"
    keys_file: Annotated[
        Path | None,
        KeyInfo(
            meaning="File of keys, one `NAME SHA256` a line, as `smki-sync serve --new-key` writes it. Delete"
            " a line to revoke a key.",
            example="/etc/smki-sync/serve.keys",
        ),
    ] = None
    accept_boxed_key: Annotated[
        bool,
        KeyInfo(
            meaning="Use of the public key that is built into the DCC's client. Only on a loopback address"
            " and without `serve.behind_proxy`."
        ),
    ] = False
    tls_certificate: Annotated[
        Path | None,
        KeyInfo(meaning="Certificate chain of the server, in PEM.", example="/etc/smki-sync/serve.pem"),
    ] = None
    tls_key: Annotated[
        Path | None,
        KeyInfo(meaning="Private key of that certificate, in PEM.", example="/etc/smki-sync/serve.key"),
    ] = None
    behind_proxy: Annotated[
        bool, KeyInfo(meaning="Use behind a proxy that provides TLS. Any address is then allowed.")
    ] = False
    answer_when_behind_days: Annotated[
        int,
        KeyInfo(
            meaning="Highest age of the mirror for answers about certificates; older: status 503 (0 = no"
            " limit).",
            unit="days",
            low=0,
            high=3660,
        ),
    ] = 8
    rate: Annotated[
        int,
        KeyInfo(
            meaning="Highest number of requests per second and key; more: status 503 with Retry-After.",
            low=1,
            high=1_000_000,
        ),
    ] = 200


_NAMES = FileNames()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """``[repository]``: the source of extracts, the login and the download. A secret has no key."""

    url: Annotated[
        str | None,
        KeyInfo(
            meaning="Repository URL: `sftp://user@host:port/path` or `file:///directory`.",
            example="sftp://party@smki.example:22/extracts",
        ),
    ] = None
    fallbacks: Annotated[
        tuple[str, ...],
        KeyInfo(
            meaning="URLs of further sources, for example an archive (`file:///directory`). They are tried in"
            " order for files that the first source does not have. The login is the same."
        ),
    ] = ()
    identity_file: Annotated[
        Path | None, KeyInfo(meaning="Private key file for the login.", example="id_ed25519")
    ] = None
    known_hosts: Annotated[
        Path | None,
        KeyInfo(
            meaning="File of trusted host keys, in the format of OpenSSH. An SFTP source requires it.",
            example="known_hosts",
        ),
    ] = None
    password_file: Annotated[
        Path | None,
        KeyInfo(meaning="Password file. Only its owner may have access to it.", example="password"),
    ] = None
    allow_agent: Annotated[bool, KeyInfo(meaning="Use of the keys in an SSH agent.")] = False
    legacy_algorithms: Annotated[
        tuple[LegacyAlgorithm, ...],
        KeyInfo(meaning="Additional old ciphers and MACs, for a server without better ones."),
    ] = ()
    engine: Annotated[
        SshEngine,
        KeyInfo(
            meaning="SSH implementation. `openssh` runs the program `ssh`, with jump hosts, hardware keys and"
            " certificates, but without passwords and passphrases."
        ),
    ] = SshEngine.PARAMIKO
    ssh_config: Annotated[
        Path | None,
        KeyInfo(
            meaning='Configuration file of `ssh`, for `engine = "openssh"`. Without it, `ssh` reads its'
            " usual files.",
            example="ssh_config",
        ),
    ] = None
    full_name: Annotated[
        str, KeyInfo(meaning="Template of the name of a full; `{date}` means YYYY-MM-DD.")
    ] = _NAMES.full
    delta_name: Annotated[
        str, KeyInfo(meaning="Template of the name of a delta; `{date}` means YYYY-MM-DD.")
    ] = _NAMES.delta
    companion_names: Annotated[
        tuple[str, ...],
        KeyInfo(meaning="Name patterns of expected files that are not extracts: ARL, CRL, anchor slots."),
    ] = _NAMES.companions
    arl_name: Annotated[str, KeyInfo(meaning="Name pattern of the Organisation ARL.")] = _NAMES.arl
    crl_name: Annotated[str, KeyInfo(meaning="Name pattern of the Organisation CRL.")] = _NAMES.crl
    slot_names: Annotated[
        tuple[str, ...],
        KeyInfo(meaning="Name patterns of anchor-slot files; `{region}` means the region."),
    ] = _NAMES.slots
    bandwidth_limit: Annotated[
        int,
        KeyInfo(meaning="Maximum download rate (0 = unlimited).", unit="bytes per second", low=0),
    ] = 0
    settle_seconds: Annotated[
        float,
        KeyInfo(
            meaning="Age below which a file is checked again after its download, because its upload may not"
            " be complete (0 = never).",
            unit="seconds",
            low=0,
            high=LONGEST_SECONDS,
        ),
    ] = 600.0

    def file_names(self) -> FileNames:
        """Return the templates and patterns of file names.

        Raises:
            ValueError: A template cannot name an extract, or both name the same one.
        """
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
    """``[retry]``: attempts after a lost connection. A refused login is never repeated."""

    attempts: Annotated[
        int,
        KeyInfo(
            meaning="Attempts in a row without progress, after which a run fails.",
            low=1,
            high=100,
        ),
    ] = 6
    first_pause_seconds: Annotated[
        float,
        KeyInfo(
            meaning="Pause after the first failed attempt (0 = none). Each further pause is three times as"
            " long, up to five minutes.",
            unit="seconds",
            low=0,
            high=LONGEST_SECONDS,
        ),
    ] = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorPaths:
    """``[mirror]``: the mirror directory and its content."""

    path: Annotated[
        Path | None, KeyInfo(meaning="Mirror directory. It contains `mirror.db`.", example="mirror")
    ] = None
    keep_previous: Annotated[
        bool, KeyInfo(meaning="Retention of the previous generation after a full resync.")
    ] = True
    keep_changes_days: Annotated[
        int | None,
        KeyInfo(
            meaning="Retention of the change journal (no value = unlimited).", unit="days", low=1, example=400
        ),
    ] = None
    index_devices: Annotated[
        bool,
        KeyInfo(
            meaning="Index of device certificates by key identifier and hash, created by the next full"
            " resync."
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """``[archive]``: applied extracts, kept for recovery."""

    path: Annotated[
        Path | None,
        KeyInfo(meaning="Archive directory for applied extracts (no value = no archive).", example="archive"),
    ] = None
    keep_fulls: Annotated[
        int,
        KeyInfo(
            meaning="Number of fulls in the archive, each with the deltas that follow it.",
            unit="fulls",
            low=1,
        ),
    ] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PartySettings:
    """``[party]``: who we are, for `watch` and `find --mine`."""

    euis: Annotated[
        tuple[str, ...],
        KeyInfo(meaning="EUI-64s of our organisation, in any notation ([] = none)."),
    ] = ()
    warn_days: Annotated[
        int,
        KeyInfo(
            meaning="Time before the end of one of our certificates, an authority, an ARL or a CRL at which"
            " `watch` gives a notice (0 = only after the end).",
            unit="days",
            low=0,
            high=3650,
        ),
    ] = 60

    def parties(self) -> tuple[Eui, ...]:
        """Return our EUI-64s.

        Raises:
            ValueError: One of them is not an EUI-64. The message names its place in the list.
        """
        found: list[Eui] = []
        for number, text in enumerate(self.euis, 1):
            try:
                found.append(parse_eui(text))
            except ValueError as exc:
                raise ValueError(f"value {number} is not an EUI-64: {exc}") from exc
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """``[trust]``: trust anchors and revocation lists."""

    anchors: Annotated[
        tuple[Path, ...],
        KeyInfo(
            meaning="Trust anchor files, in PEM (one or more certificates) or DER: root OCA, root DCA, or a"
            " trusted issuing authority ([] = none)."
        ),
    ] = ()
    arl_max_age_days: Annotated[
        int | None,
        KeyInfo(
            meaning="Age after which an ARL is stale (no value = at its nextUpdate).",
            unit="days",
            low=1,
            example=400,
        ),
    ] = None
    crl_max_age_days: Annotated[
        int | None,
        KeyInfo(
            meaning="Age after which a CRL is stale (no value = at its nextUpdate).",
            unit="days",
            low=1,
            example=7,
        ),
    ] = None
    expect_lists: Annotated[bool, KeyInfo(meaning="Notice if the Repository has no ARL or no CRL.")] = True

    def read_anchors(self) -> tuple[bytes, ...]:
        """Read the trust anchors as DER. Errors as :func:`read_anchors`."""
        return read_anchors(self.anchors)
