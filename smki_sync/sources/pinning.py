"""The one rule on host keys: what is not pinned is refused, in words that say how to pin.

For: the known_hosts file of the configuration, and the verdict on the key that the server shows. Refuses: any
key that nobody has compared; there is no option to accept one.
"""

from pathlib import Path
from typing import assert_never

from smki_sync.errors import ConfigError, SourceRefused
from smki_sync.sources.address import SSH_PORT, SftpAddress
from smki_sync.sources.ssh_settings import Pins, Verdict, fingerprint, host_name, read_pins


def load_pins(known_hosts: Path | None, address: SftpAddress) -> Pins:
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


def check_host_key(blob: bytes, address: SftpAddress, pins: Pins, known_hosts: Path | None) -> None:
    """Raise ``SourceRefused`` unless this key is pinned; no configuration changes that."""
    shown = f"{address.peer} shows the host key {fingerprint(blob)}"
    unused = f" ({'; '.join(pins.unused)})" if pins.unused else ""
    match pins.judge(blob):
        case Verdict.TRUSTED:
            return
        case Verdict.UNKNOWN:
            raise SourceRefused(
                f"{shown}, and {known_hosts} pins none for {host_name(address.host, address.port)}{unused}",
                code="host-key-unknown",
                hint=_how_to_pin(address),
            )
        case Verdict.REVOKED:
            raise SourceRefused(
                f"{shown}, which {known_hosts} marks as revoked",
                code="host-key-revoked",
                hint="Do not connect. Ask the DCC which key is the right one.",
            )
        case Verdict.CHANGED:
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
