"""API keys: 256 random bits each, stored as SHA-256, read again when the file changes."""

import os
import re
import secrets
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final

from smki_sync.errors import ConfigError, UsageError
from smki_sync.files import atomic_file

KEY_BYTES: Final = 32
"""Random bytes of a key: 256 bits, so that a fast hash is enough to store it."""
MAX_KEY_CHARACTERS: Final = 128
"""Longest text that is compared as a key. A key of this program has 43 characters."""
MAX_FILE_BYTES: Final = 1_000_000
"""Largest file of keys, in bytes: about 10,000 keys."""
DCC_CLIENT: Final = "dcc-client"
"""Name of the key that is built into the DCC's client."""
_DCC_CLIENT_SHA256: Final = "ff5de94ff313e61e8306d11f9c94ced4e57d4d951edd0cc9fa9931ec827ae3d8"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class KeyFile:
    """The keys in a file, one ``NAME SHA256`` a line. A key whose line is deleted is refused at once."""

    def __init__(self, path: Path | None, *, accept_dcc_client: bool = False) -> None:
        """Read the keys.

        Args:
            path: The file, or ``None``.
            accept_dcc_client: Also accept the key that is built into the DCC's client.

        Raises:
            ConfigError: ``serve-keys``. The file cannot be read, or a line is not valid.
        """
        self._path = path
        self._fixed = {DCC_CLIENT: _DCC_CLIENT_SHA256} if accept_dcc_client else {}
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, str] = {}
        if path is not None:
            self._keys = read_keys(path)
            self._stamp = _stamp_of(path)

    def name_of(self, key: str | None) -> str | None:
        """Return the name of a key; ``None`` if it is not valid. Compares it with every key."""
        self._refresh()
        if not key or len(key) > MAX_KEY_CHARACTERS:
            return None
        digest = sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for name, stored in (*self._keys.items(), *self._fixed.items()):
            if compare_digest(stored, digest):
                found = name
        return found

    def _refresh(self) -> None:
        """Read the file again if it changed. A file that cannot be read has no valid key."""
        if self._path is None:
            return
        try:
            stamp = _stamp_of(self._path)
            if stamp != self._stamp:
                self._keys = read_keys(self._path)
                self._stamp = stamp
        except (ConfigError, OSError):
            self._keys, self._stamp = {}, None


def read_keys(path: Path) -> dict[str, str]:
    """Return the digests in a file of keys by name. Empty lines and lines that start with # are ignored.

    Raises:
        ConfigError: ``serve-keys``. The file cannot be read, other users may write to it, or a line is not
            valid. The message never contains the line.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise _error(path, f"cannot be read: {exc.strerror}") from exc
    if mode & 0o022:
        raise _error(path, "is writable by other users")
    if len(data) > MAX_FILE_BYTES:
        raise _error(path, f"is longer than {MAX_FILE_BYTES:,} bytes")
    keys: dict[str, str] = {}
    for number, line in enumerate(data.decode("ascii", "replace").splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or not _NAME.fullmatch(words[0]) or not _DIGEST.fullmatch(words[1]):  # noqa: PLR2004 - a name and a digest
            raise _error(path, f"is not valid in line {number}")
        if words[0] in keys:
            raise _error(path, f"has the name of line {number} twice")
        keys[words[0]] = words[1]
    return keys


def add_key(path: Path, name: str) -> str:
    """Add a key to the file, which may not exist yet, and return the key. Only its SHA-256 is stored.

    Raises:
        UsageError: The name is not valid, or the file has it already.
        ConfigError: ``serve-keys``. The file is not valid.
    """
    if not _NAME.fullmatch(name) or name == DCC_CLIENT:
        raise UsageError(
            f"--new-key: {name!r:.70} is not a name for a key.",
            hint="Use 1 to 64 letters, digits, dots, hyphens and underscores.",
        )
    keys = read_keys(path) if path.exists() else {}
    if name in keys:
        raise UsageError(
            f"--new-key: {path} already has a key named {name}.",
            hint="Choose another name, or delete its line to revoke that key.",
        )
    key = secrets.token_urlsafe(KEY_BYTES)
    old = path.read_text(encoding="ascii") if path.exists() else ""
    separator = "\n" if old and not old.endswith("\n") else ""
    line = f"{name} {sha256(key.encode()).hexdigest()}\n"
    with atomic_file(path, force=True, mode=_mode_of(path)) as file:
        file.write(old + separator + line)
    return key


def _mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777 if path.exists() else 0o600


def _stamp_of(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _error(path: Path, problem: str) -> ConfigError:
    return ConfigError(
        f"The file of keys {path} (serve.keys_file) {problem}.",
        hint="Run `smki-sync serve --new-key NAME` to create a key.",
        code="serve-keys",
    )
