"""Pinned host keys: OpenSSH's known_hosts format, read and judged without any SSH library.

For: ``known_hosts`` text → what is pinned for one host → a verdict on the key that a server shows.
Understands hashed names, ``[host]:port``, several keys of a type, wildcards, negation and ``@revoked``.
Refuses: to add a key, to trust by ``@cert-authority`` or by a key pinned for another port. A line about the
host that it cannot use pins nothing, and :attr:`Pins.unused` says why.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import Enum

from smki_sync.sources.address import SSH_PORT


class Verdict(Enum):
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
class Pins:
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

    def judge(self, blob: bytes) -> Verdict:
        """Say what is to be thought of a server that shows this key. A revocation outweighs a pin."""
        if any(key.revoked and key.blob == blob for key in self.keys):
            return Verdict.REVOKED
        if any(key.blob == blob for key in self.trusted):
            return Verdict.TRUSTED
        return Verdict.CHANGED if self.trusted else Verdict.UNKNOWN


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


def read_pins(text: str, *, host: str, port: int) -> Pins:
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
    return Pins(keys=tuple(keys), unused=tuple(unused))


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
