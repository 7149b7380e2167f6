"""The two secrets, and the rules under which a file may hold one.

For: the password and the key's passphrase, from the environment or from ``repository.password_file``
(the password alone). Refuses: an option, a key in the configuration file, a file that others can
read, and to be shown: no value stands in a ``repr`` or in an error.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smki_sync.errors import ConfigError

PASSWORD_VARIABLE = "SMKI_SYNC_PASSWORD"  # noqa: S105 - the variable's name, not a password
PASSPHRASE_VARIABLE = "SMKI_SYNC_KEY_PASSPHRASE"  # noqa: S105 - the variable's name, not a passphrase

MAX_PASSWORD_BYTES = 1024
"""Longest password file, in bytes: OpenSSH takes no longer password; a larger file is another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What a login may need; ``None`` where it was not given."""

    password: str | None = field(default=None, repr=False)
    key_passphrase: str | None = field(default=None, repr=False)


def secrets_in(environ: Mapping[str, str]) -> Secrets:
    """Take the secrets that the environment holds; an empty variable is as good as none."""
    found = Secrets(
        password=environ.get(PASSWORD_VARIABLE) or None,
        key_passphrase=environ.get(PASSPHRASE_VARIABLE) or None,
    )
    if found.password or found.key_passphrase:
        forbid_cores()
    return found


def forbid_cores() -> None:
    """Let this process, and what it starts, leave no core behind: memory holds what a login needs.

    The soft limit alone, so that who looks for a defect can raise it again in a process that is started.
    """
    import resource  # noqa: PLC0415 - a command that asks no repository does without it

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def read_password(path: Path) -> str:
    """Read a password file: UTF-8, one line; the line end is no part of the password.

    Raises ``ConfigError`` where it cannot be read, is no regular file, can be read by others than its
    owner, or does not hold exactly one line.
    """
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to must not hang before it is refused.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            _check_mode(path, os.fstat(file.fileno()).st_mode)
            octets = file.read(MAX_PASSWORD_BYTES + 1)
    except OSError as exc:
        raise _refused(path, f"cannot be read: {exc.strerror}") from exc
    return _one_line(path, octets)


def _check_mode(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise _refused(path, "is no regular file")
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise _refused(path, f"can be used by others (mode {stat.S_IMODE(mode):04o})", f"chmod 600 {path}")


def _one_line(path: Path, octets: bytes) -> str:
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise _refused(path, "is not UTF-8") from None  # the cause would show the octets
    password = text.removesuffix("\n").removesuffix("\r")
    if len(octets) > MAX_PASSWORD_BYTES or not password or "\n" in password:
        raise _refused(path, f"does not hold one line of at most {MAX_PASSWORD_BYTES} bytes")
    return password


def _refused(path: Path, why: str, hint: str = "") -> ConfigError:
    return ConfigError(
        f"the password file {path} (repository.password_file) {why}", hint=hint, code="password-file"
    )
