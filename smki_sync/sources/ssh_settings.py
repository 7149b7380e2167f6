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
from typing import assert_never

from smki_sync.errors import ConfigError, SourceRefused
from smki_sync.sources.base import SSH_PORT, SftpAddress


class HostKeyVerdict(Enum):
    """What the pins say of a key."""

    TRUSTED = "trusted"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedKey:
    """One key pinned for the host. ``blob``: the public key as it goes over the wire (RFC 4253 6.6)."""

    kind: str
    blob: bytes
    revoked: bool = False

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -lf`` writes it."""
        return fingerprint(self.blob)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedHostKeys:
    """Everything pinned for one host and port, in the order of the file.

    ``unused``: what is wrong with lines that are about the host and pin nothing, in words.
    """

    keys: tuple[PinnedKey, ...]
    unused: tuple[str, ...] = ()

    @property
    def trusted(self) -> tuple[PinnedKey, ...]:
        """The pinned keys that are not revoked."""
        revoked = {key.blob for key in self.keys if key.revoked}
        return tuple(key for key in self.keys if key.blob not in revoked)

    def judge(self, blob: bytes) -> HostKeyVerdict:
        """Say what is to be thought of a server that shows this key. A revocation outweighs a pin."""
        if any(key.revoked and key.blob == blob for key in self.keys):
            return HostKeyVerdict.REVOKED
        if any(key.blob == blob for key in self.trusted):
            return HostKeyVerdict.TRUSTED
        return HostKeyVerdict.CHANGED if self.trusted else HostKeyVerdict.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """A key that a server has shown and somebody may decide to pin. ``host``: as known_hosts writes it."""

    host: str
    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -lf`` writes it."""
        return fingerprint(self.blob)

    @property
    def line(self) -> str:
        """The line that pins it."""
        return f"{self.host} {self.kind} {base64.b64encode(self.blob).decode()}"


def fingerprint(blob: bytes) -> str:
    """Write a public key's SHA-256 fingerprint as ``SHA256:`` and unpadded Base64, as OpenSSH does."""
    digest = hashlib.sha256(blob).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def host_name(host: str, port: int) -> str:
    """Write a host as known_hosts does: bare at port 22, else ``[host]:port``; always lower case."""
    name = host.lower()
    return name if port == SSH_PORT else f"[{name}]:{port}"


def read_pins(text: str, *, host: str, port: int) -> PinnedHostKeys:
    """Find what a known_hosts file pins for a host and port (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    wanted = host_name(host, port)
    keys, unused = [], []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if not fields or fields[0].startswith("#") or not _names(fields[0], wanted):
            continue
        try:
            keys.append(_pinned(marker, fields))
        except ValueError as exc:
            unused.append(f"line {number} {exc}")
    return PinnedHostKeys(keys=tuple(keys), unused=tuple(unused))


def _pinned(marker: str, fields: list[str]) -> PinnedKey:
    """Read the key of a line about the host; raises ``ValueError`` with what is wrong with it."""
    if marker == "@cert-authority":
        raise ValueError(
            "trusts a certificate authority (@cert-authority), which smki-sync does not do:"
            " pin the host's own key"
        )
    if marker not in ("", "@revoked"):
        raise ValueError("begins with a marker that is neither @revoked nor @cert-authority")
    kind, key = [*fields, "", ""][1:3]
    try:
        blob = base64.b64decode(key, validate=True)
    except binascii.Error:
        blob = b""
    if not kind or kind.encode() != blob[4 : 4 + int.from_bytes(blob[:4])]:
        raise ValueError("holds no public key of the type that it names")
    return PinnedKey(kind=kind, blob=blob, revoked=bool(marker))


def _names(patterns: str, wanted: str) -> bool:
    """Whether a line's host field means the wanted host: any pattern matches and no negated one does."""
    if patterns.startswith("|1|"):
        return _hashed(patterns, wanted)
    listed = patterns.lower().split(",")
    if any(_matches(pattern[1:], wanted) for pattern in listed if pattern.startswith("!")):
        return False
    return any(_matches(pattern, wanted) for pattern in listed)


def _matches(pattern: str, wanted: str) -> bool:
    """Match ``*`` and ``?``; every other character, brackets too, means itself."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, wanted) is not None


def _hashed(field: str, wanted: str) -> bool:
    """Match a name that ssh-keygen -H has hashed: HMAC-SHA1 of the name under a salt."""
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
"""Fastest first: measured, GCM halves the time of a transfer, and the library would offer it last."""

MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
"""Used with the ``ctr`` and ``cbc`` ciphers alone; GCM proves its bytes itself."""

RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256")
"""What an ``ssh-rsa`` key signs with today (RFC 8332); its own SHA-1 signatures are not accepted."""


class LegacyAlgorithm(StrEnum):
    """What old servers may need, and none is offered unless it is configured by name.

    SHA-1 key exchange, ``ssh-rsa`` signatures and DSA are not here: the library has them no more.
    """

    AES128_CBC = "aes128-cbc"
    AES192_CBC = "aes192-cbc"
    AES256_CBC = "aes256-cbc"
    TRIPLE_DES_CBC = "3des-cbc"
    HMAC_SHA1 = "hmac-sha1"

    @property
    def is_mac(self) -> bool:
        """Whether it proves bytes; the others encrypt them."""
        return self.value.startswith("hmac-")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmOffer:
    """What one side can do, by preference (RFC 4253, 7.1); ciphers and MACs in the server's direction."""

    kex: Sequence[str]
    host_keys: Sequence[str]
    ciphers: Sequence[str]
    macs: Sequence[str]


def ciphers(legacy: Iterable[LegacyAlgorithm]) -> tuple[str, ...]:
    """Order the ciphers to ask for, the configured old ones last."""
    return (*CIPHERS, *(name.value for name in legacy if not name.is_mac))


def macs(legacy: Iterable[LegacyAlgorithm]) -> tuple[str, ...]:
    """Order the MACs to ask for, the configured old ones last."""
    return (*MACS, *(name.value for name in legacy if name.is_mac))


def host_key_algorithms(pinned: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """Order the host key algorithms: those of the pinned types first, as the file has them, then the rest."""
    kinds = [RSA_SIGNATURES if kind == "ssh-rsa" else (kind,) for kind in pinned]
    wanted = [name for names in kinds for name in names if name in known]
    return tuple(dict.fromkeys([*wanted, *known]))


def agreed(ours: Sequence[str], theirs: Sequence[str]) -> str:
    """Find what both can, by our preference (RFC 4253, 7.1); empty where there is nothing."""
    return next((name for name in ours if name in theirs), "")


def disagreement(ours: AlgorithmOffer, theirs: AlgorithmOffer) -> str:
    """Say what the two sides have nothing in common for, and what the server offers there."""
    pairs = {
        "key exchange": (ours.kex, theirs.kex),
        "host key": (ours.host_keys, theirs.host_keys),
        "cipher": (ours.ciphers, theirs.ciphers),
        "MAC": (ours.macs, theirs.macs),
    }
    lacking = {what: offered for what, (mine, offered) in pairs.items() if not agreed(mine, offered)}
    return "; ".join(f"as {what} it offers {', '.join(offered)}" for what, offered in lacking.items())


def remedies(ours: AlgorithmOffer, theirs: AlgorithmOffer) -> tuple[LegacyAlgorithm, ...]:
    """Name the old algorithms that the server offers and that would let the two sides agree on this."""
    cipher = agreed(ours.ciphers, theirs.ciphers)
    mac = agreed(ours.macs, theirs.macs)
    return tuple(
        name
        for name in LegacyAlgorithm
        if name in (*theirs.ciphers, *theirs.macs)
        if not (mac if name.is_mac else cipher)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpLogin:
    """How to log in. A key is tried before a password, and one refusal ends it (Appendix P).

    ``known_hosts``: the file with the server's pinned key, in OpenSSH's format.
    ``identity_file``: a private key; ``key_passphrase`` opens it. ``password``: used where there is no
    key, where the server takes no keys, or where it asks for one after the key.
    ``allow_agent``, ``look_for_keys``: try the keys of an agent or of ``~/.ssh`` too. Every key tried
    counts as an attempt on the server's side, so both are off unless asked for.
    ``legacy_algorithms``: what an old server needs and nobody should offer otherwise.
    """

    known_hosts: Path | None = None
    identity_file: Path | None = None
    password: str | None = field(default=None, repr=False)
    key_passphrase: str | None = field(default=None, repr=False)
    allow_agent: bool = False
    look_for_keys: bool = False
    legacy_algorithms: tuple[LegacyAlgorithm, ...] = ()


def load_pins(known_hosts: Path | None, address: SftpAddress) -> PinnedHostKeys:
    """Read what is pinned for the address; raises ``ConfigError`` (code ``known-hosts``) without a file."""
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
    """Raise ``SourceRefused`` unless this key is pinned; no configuration changes that."""
    shown = f"{address.peer} shows the host key {fingerprint(blob)}"
    unused = f" ({'; '.join(pins.unused)})" if pins.unused else ""
    match pins.judge(blob):
        case HostKeyVerdict.TRUSTED:
            return
        case HostKeyVerdict.UNKNOWN:
            raise SourceRefused(
                f"{shown}, and {known_hosts} pins none for {host_name(address.host, address.port)}{unused}",
                code="host-key-unknown",
                hint=_how_to_pin(address),
            )
        case HostKeyVerdict.REVOKED:
            raise SourceRefused(
                f"{shown}, which {known_hosts} marks as revoked",
                code="host-key-revoked",
                hint="Do not connect. Ask the DCC which key is the right one.",
            )
        case HostKeyVerdict.CHANGED:
            pinned = ", ".join(f"{key.fingerprint} ({key.kind})" for key in pins.trusted)
            raise SourceRefused(
                f"{shown}, but {known_hosts} pins {pinned}{unused}",
                code="host-key-changed",
                hint="Somebody may stand between you and the Repository. Ask the DCC whether its key has"
                " changed and for the fingerprint of the new one; only then replace the line in the file.",
            )
        case unknown:
            assert_never(unknown)


def _no_known_hosts(why: str, address: SftpAddress) -> ConfigError:
    return ConfigError(why, code="known-hosts", hint=_how_to_pin(address))


def _how_to_pin(address: SftpAddress) -> str:
    port = "" if address.port == SSH_PORT else f"-p {address.port} "
    return (
        f"Get the key with: ssh-keyscan {port}{address.host} > known_hosts; show its fingerprint with:"
        " ssh-keygen -lf known_hosts; compare it with the one that the DCC gives you by another way,"
        " and only then configure the file as repository.known_hosts."
    )
