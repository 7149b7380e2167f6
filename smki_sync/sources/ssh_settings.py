"""Credentials, algorithms, known_hosts pinning (no paramiko)."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Final, assert_never

from smki_sync.errors import ConfigError, SourceRefused
from smki_sync.sources.base import SSH_PORT, SftpAddress


class HostKeyVerdict(Enum):
    """Result of comparing a host key with the pins."""

    TRUSTED = "trusted"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedKey:
    """One pinned key. ``blob``: the public key in wire format (RFC 4253, 6.6)."""

    kind: str
    blob: bytes
    revoked: bool = False

    @property
    def fingerprint(self) -> str:
        """The fingerprint as ``ssh-keygen -lf`` shows it."""
        return fingerprint(self.blob)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedHostKeys:
    """The pinned keys of one host and port, in the order of the file.

    ``unused``: what is wrong with lines that name the host but pin no key.
    """

    keys: tuple[PinnedKey, ...]
    unused: tuple[str, ...] = ()

    @property
    def trusted(self) -> tuple[PinnedKey, ...]:
        """The pinned keys that are not revoked."""
        revoked = {key.blob for key in self.keys if key.revoked}
        return tuple(key for key in self.keys if key.blob not in revoked)

    def verdict_on(self, blob: bytes) -> HostKeyVerdict:
        """Compare a host key with the pins. A revocation has priority over a pin."""
        if any(key.revoked and key.blob == blob for key in self.keys):
            return HostKeyVerdict.REVOKED
        if any(key.blob == blob for key in self.trusted):
            return HostKeyVerdict.TRUSTED
        return HostKeyVerdict.CHANGED if self.trusted else HostKeyVerdict.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """The host key of a server, to be pinned after a check. ``host``: in known_hosts format."""

    host: str
    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """The fingerprint as ``ssh-keygen -lf`` shows it."""
        return fingerprint(self.blob)

    @property
    def line(self) -> str:
        """The known_hosts line that pins it."""
        return f"{self.host} {self.kind} {base64.b64encode(self.blob).decode()}"


def fingerprint(blob: bytes) -> str:
    """Return the SHA-256 fingerprint of a public key as OpenSSH shows it."""
    digest = hashlib.sha256(blob).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def host_name(host: str, port: int) -> str:
    """Return a host in known_hosts format: bare for port 22, else ``[host]:port``; in lower case."""
    name = host.lower()
    return name if port == SSH_PORT else f"[{name}]:{port}"


def read_pins(text: str, *, host: str, port: int) -> PinnedHostKeys:
    """Read the pins of a host and port from a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).

    As in OpenSSH, only a newline ends a line, and only spaces and tabs separate fields. Any other separator
    could hide a second pin in a comment.
    """
    wanted = host_name(host, port)
    keys, unused = [], []
    for number, line in enumerate(text.split("\n"), 1):
        fields = [field for field in _BLANKS.split(line.removesuffix("\r")) if field]
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if not fields or fields[0].startswith("#") or not _names_host(fields[0], wanted):
            continue
        try:
            keys.append(_read_pin(marker, fields))
        except ValueError as exc:
            unused.append(f"line {number} {exc}")
    return PinnedHostKeys(keys=tuple(keys), unused=tuple(unused))


_BLANKS: Final = re.compile(r"[ \t]+")


def _read_pin(marker: str, fields: list[str]) -> PinnedKey:
    """Read the key of a line; raises ``ValueError`` with the reason if there is none."""
    if marker == "@cert-authority":
        raise ValueError(
            "trusts a certificate authority (@cert-authority), which smki-sync does not support;"
            " pin the key of the host instead"
        )
    if marker not in ("", "@revoked"):
        raise ValueError("starts with an unknown marker (not @revoked or @cert-authority)")
    kind, key = [*fields, "", ""][1:3]
    try:
        blob = base64.b64decode(key, validate=True)
    except binascii.Error:
        blob = b""
    if not kind or kind.encode() != blob[4 : 4 + int.from_bytes(blob[:4])]:
        raise ValueError("has no public key of the stated type")
    return PinnedKey(kind=kind, blob=blob, revoked=bool(marker))


def _names_host(patterns: str, wanted: str) -> bool:
    """Whether the host field matches: any pattern does, and no negated one."""
    if patterns.startswith("|1|"):
        return _matches_hash(patterns, wanted)
    listed = patterns.lower().split(",")
    if any(_matches(pattern[1:], wanted) for pattern in listed if pattern.startswith("!")):
        return False
    return any(_matches(pattern, wanted) for pattern in listed)


def _matches(pattern: str, wanted: str) -> bool:
    """Match a pattern with ``*`` and ``?``; any other character, also a bracket, is literal."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, wanted) is not None


def _matches_hash(field: str, wanted: str) -> bool:
    """Match a host hashed by ``ssh-keygen -H``: HMAC-SHA1 of the name with a salt."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in field[3:].split("|"))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, wanted.encode(), "sha1"), digest)


CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
"""Fastest first: measured, GCM halves the time of a transfer. The library would offer it last."""

MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
"""Used only with the ``ctr`` and ``cbc`` ciphers; GCM authenticates its data itself."""

RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256")
"""Signatures of an ``ssh-rsa`` key (RFC 8332); those with SHA-1 are not accepted."""


class LegacyAlgorithm(StrEnum):
    """Algorithms that old servers may need. They are offered only if they are configured.

    SHA-1 key exchange, ``ssh-rsa`` signatures and DSA are missing: the library no longer supports them.
    """

    AES128_CBC = "aes128-cbc"
    AES192_CBC = "aes192-cbc"
    AES256_CBC = "aes256-cbc"
    TRIPLE_DES_CBC = "3des-cbc"
    HMAC_SHA1 = "hmac-sha1"

    @property
    def is_mac(self) -> bool:
        """Whether it is a MAC; the others are ciphers."""
        return self.value.startswith("hmac-")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmOffer:
    """The algorithms of one side, by preference (RFC 4253, 7.1); ciphers and MACs from the server."""

    kex: Sequence[str]
    host_keys: Sequence[str]
    ciphers: Sequence[str]
    macs: Sequence[str]


def allowed_ciphers(legacy: Iterable[LegacyAlgorithm]) -> tuple[str, ...]:
    """Return the ciphers to offer, configured legacy ones last."""
    return (*CIPHERS, *(name.value for name in legacy if not name.is_mac))


def allowed_macs(legacy: Iterable[LegacyAlgorithm]) -> tuple[str, ...]:
    """Return the MACs to offer, configured legacy ones last."""
    return (*MACS, *(name.value for name in legacy if name.is_mac))


def ordered_host_key_algorithms(pinned: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Order the host key algorithms: pinned types first, in the order of the file, then the others."""
    kinds = [RSA_SIGNATURES if kind == "ssh-rsa" else (kind,) for kind in pinned]
    wanted = [name for names in kinds for name in names if name in known]
    return tuple(dict.fromkeys([*wanted, *known]))


def common_algorithm(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """Return the first of our algorithms that the server has too (RFC 4253, 7.1); empty if none."""
    return next((name for name in ours if name in theirs), "")


def missing_algorithms(ours: AlgorithmOffer, theirs: AlgorithmOffer) -> str:
    """Describe where the two sides have nothing in common, and what the server offers there."""
    pairs = {
        "key exchange": (ours.kex, theirs.kex),
        "host key": (ours.host_keys, theirs.host_keys),
        "cipher": (ours.ciphers, theirs.ciphers),
        "MAC": (ours.macs, theirs.macs),
    }
    missing = {
        what: offered for what, (mine, offered) in pairs.items() if not common_algorithm(mine, offered)
    }
    return "; ".join(f"as {what} it offers {', '.join(offered)}" for what, offered in missing.items())


def helpful_legacy_algorithms(ours: AlgorithmOffer, theirs: AlgorithmOffer) -> tuple[LegacyAlgorithm, ...]:
    """Return the legacy algorithms of the server that would give the two sides one in common."""
    cipher = common_algorithm(ours.ciphers, theirs.ciphers)
    mac = common_algorithm(ours.macs, theirs.macs)
    return tuple(
        name
        for name in LegacyAlgorithm
        if name in (*theirs.ciphers, *theirs.macs)
        if not (mac if name.is_mac else cipher)
    )


class SshEngine(StrEnum):
    """What implements SSH: the library paramiko, or the system's ``ssh`` program."""

    PARAMIKO = "paramiko"
    OPENSSH = "openssh"


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpLogin:
    """How to log in. A key is tried before a password; one refusal ends the login (SEC Appendix P).

    ``known_hosts``: a file with the pinned host key, in OpenSSH's format. ``identity_file``: a private key,
    or with an agent its public key; ``key_passphrase`` decrypts it. ``password``: used without a key, if the
    server accepts no keys, or if it asks for one after the key. ``allow_agent``, ``look_for_keys``: also use
    keys of an SSH agent or of ``~/.ssh``. The server counts every key, so both are off by default.
    ``legacy_algorithms``: algorithms that an old server needs. ``engine``: what implements SSH.
    ``ssh_config``: configuration file of the OpenSSH engine; ``None`` uses the files that ``ssh`` reads.
    """

    known_hosts: Path | None = None
    identity_file: Path | None = None
    password: str | None = field(default=None, repr=False)
    key_passphrase: str | None = field(default=None, repr=False)
    allow_agent: bool = False
    look_for_keys: bool = False
    legacy_algorithms: tuple[LegacyAlgorithm, ...] = ()
    engine: SshEngine = SshEngine.PARAMIKO
    ssh_config: Path | None = None


def load_pins(known_hosts: Path | None, address: SftpAddress) -> PinnedHostKeys:
    """Read the pins of an address; raises ``ConfigError`` (``known-hosts``) without a readable file."""
    if known_hosts is None:
        raise _no_known_hosts("no known_hosts file is configured", address)
    try:
        text = known_hosts.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as exc:
        raise _no_known_hosts(
            f"the known_hosts file {known_hosts} cannot be read ({exc.strerror})", address
        ) from exc
    return read_pins(text, host=address.host, port=address.port)


def check_host_key(blob: bytes, address: SftpAddress, pins: PinnedHostKeys, known_hosts: Path | None) -> None:
    """Raise ``SourceRefused`` unless this key is pinned; no option disables this."""
    shown = f"{address.peer} has the host key {fingerprint(blob)}"
    unused = f" ({'; '.join(pins.unused)})" if pins.unused else ""
    match pins.verdict_on(blob):
        case HostKeyVerdict.TRUSTED:
            return
        case HostKeyVerdict.UNKNOWN:
            raise SourceRefused(
                f"{shown}, but {known_hosts} has no key for {host_name(address.host, address.port)}{unused}",
                code="host-key-unknown",
                hint=_how_to_pin(address),
            )
        case HostKeyVerdict.REVOKED:
            raise SourceRefused(
                f"{shown}, which {known_hosts} marks as revoked",
                code="host-key-revoked",
                hint="Do not connect. Ask the DCC for the correct key.",
            )
        case HostKeyVerdict.CHANGED:
            pinned = ", ".join(f"{key.fingerprint} ({key.kind})" for key in pins.trusted)
            raise SourceRefused(
                f"{shown}, but {known_hosts} pins {pinned}{unused}",
                code="host-key-changed",
                hint="Another machine may be intercepting the connection. Ask the DCC whether the key has"
                " changed, and for the new fingerprint. Replace the line in the file only after that.",
            )
        case unknown:
            assert_never(unknown)


def _no_known_hosts(why: str, address: SftpAddress) -> ConfigError:
    return ConfigError(why, code="known-hosts", hint=_how_to_pin(address))


def _how_to_pin(address: SftpAddress) -> str:
    port = "" if address.port == SSH_PORT else f"-p {address.port} "
    return (
        f"Fetch the key: ssh-keyscan {port}{address.host} > known_hosts. Show its fingerprint: ssh-keygen -lf"
        " known_hosts. Compare it with the one that the DCC gives you by phone or letter, then set"
        " repository.known_hosts to the file."
    )
