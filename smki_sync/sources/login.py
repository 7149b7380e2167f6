"""What a Party shows to an SFTP server, and what it demands of that server.

For: the identity and the pinned host keys as one value between configuration and source. Refuses:
to read a file, to show a secret, to hold a way of trusting an unknown host key.
"""

from dataclasses import dataclass, field
from pathlib import Path

from smki_sync.sources.algorithms import LegacyAlgorithm


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
