"""Locate and parse the file; secrets."""

import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import platformdirs

from smki_sync.errors import ConfigError

FILE_NAME: Final = "smki-sync.toml"
SYSTEM_FILE: Final = Path("/etc/smki-sync") / FILE_NAME
FILE_VARIABLE: Final = "SMKI_SYNC_CONFIG"
MAX_FILE_BYTES: Final = 1_000_000
"""Longest configuration file, in bytes: the full example has a few thousand; more is another file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """A configuration file, parsed but not judged."""

    path: Path
    tree: Mapping[str, object]

    @property
    def origin(self) -> str:
        """The file as the origin of a value."""
        return f"file {self.path}"


def user_config_directory() -> Path:
    """The directory of this user's configuration; the machine's, where nobody knows a home of this user's."""
    try:
        return platformdirs.user_config_path("smki-sync")
    except RuntimeError:  # neither HOME nor a line in passwd, as in a container that runs as any number
        return SYSTEM_FILE.parent


def find_config_file(
    option: object,
    environ: Mapping[str, str],
    *,
    cwd: Path,
    user_dir: Path,
    system_file: Path = SYSTEM_FILE,
) -> ConfigFile | None:
    """The file that the option names, else the environment, else the first that is found.

    ``option``: the value of ``--config`` or ``None``. ``cwd``: where relative paths start, and the first
    place for a file; then come ``user_dir`` and ``system_file``. Errors as :func:`read_file`.
    """
    if option is not None:
        return read_file(cwd / expand_home(Path(str(option))), hint="it was named by option --config")
    if name := environ.get(FILE_VARIABLE):
        return read_file(cwd / expand_home(Path(name)), hint=f"it was named by environment {FILE_VARIABLE}")
    return find_file((cwd / FILE_NAME, user_dir / FILE_NAME, system_file))


def expand_home(path: Path) -> Path:
    """``path`` with ``~`` made the home that it means; ``ConfigError`` where nobody knows that."""
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise ConfigError(
            f"{path} starts with a home directory, and which one that is, is not known",
            hint="Write the path from / on, or set HOME.",
        ) from exc


def find_file(places: Iterable[Path]) -> ConfigFile | None:
    """Read the first file that is there; ``None`` where there is none. Errors as :func:`read_file`.

    A directory that this user may not enter holds no file for this user, so that a job which starts
    in another's home directory goes on to the next place. A file that is seen must be readable.
    """
    seen = (path for path in places if _is_there(path))
    return next(
        (read_file(path, hint=f"{path} stands where a configuration is looked for") for path in seen), None
    )


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def read_file(path: Path, *, hint: str = "") -> ConfigFile:
    """Read and parse one file; raises ``ConfigError`` where it is absent, unreadable or no TOML."""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"the configuration file {path} cannot be read: {exc.strerror}", hint=hint) from exc
    if len(octets) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path} is no configuration: it is longer than {MAX_FILE_BYTES:,} bytes", hint=hint
        )
    return ConfigFile(path=path, tree=_parse(path, octets))


def _parse(path: Path, octets: bytes) -> Mapping[str, object]:
    import tomllib  # noqa: PLC0415 - only where there is a file

    try:
        return tomllib.loads(octets.decode("utf-8-sig"))  # -sig: an editor may have put a BOM before it
    except UnicodeDecodeError as exc:
        fault = f"not UTF-8 at byte {exc.start}"
    except (ValueError, RecursionError) as exc:
        fault = f"not TOML: {exc}"
    raise ConfigError(
        f"the configuration file {path} is {fault}",
        hint="mend it; docs/configuration.md has a complete example",
    )


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
        forbid_core_dumps()
    return found


def forbid_core_dumps() -> None:
    """Let this process, and what it starts, leave no core behind: memory holds what a login needs.

    The soft limit alone, so that who looks for a defect can raise it again in a process that is started.
    """
    import resource  # noqa: PLC0415 - a command that asks no repository does without it

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def read_password(path: Path) -> str:
    """Read a password file: one line of UTF-8, without its line end and without a byte order mark.

    Raises ``ConfigError`` if it cannot be read, is not a regular file, can be read by others than its owner,
    or does not contain exactly one line without control characters.
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
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refused(path, "is not UTF-8") from None  # the cause would show the bytes
    password = text.removesuffix("\n").removesuffix("\r")
    if len(octets) > MAX_PASSWORD_BYTES or not password or "\n" in password:
        raise _refused(path, f"does not contain one line of at most {MAX_PASSWORD_BYTES} bytes")
    if any(unicodedata.category(letter) in _NOT_IN_A_PASSWORD for letter in password):
        raise _refused(path, "contains control characters", "Save the password as one line of UTF-8 text.")
    return password


_NOT_IN_A_PASSWORD: Final = {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}
"""Unicode categories of control and format characters: an editor or a wrong encoding leaves them."""


def _refused(path: Path, why: str, hint: str = "") -> ConfigError:
    return ConfigError(
        f"the password file {path} (repository.password_file) {why}", hint=hint, code="password-file"
    )


MIRROR_VARIABLE: Final = "SMKI_SYNC_MIRROR"


def mirror_here(*, mirror: Path | None, config: Path | None) -> Path:
    """The mirror's directory for this process: option before environment before file.

    Raises ``ConfigError`` where none is given, and where a file cannot be read or is no TOML.
    """
    cwd = Path.cwd()
    file = find_config_file(config, os.environ, cwd=cwd, user_dir=user_config_directory())
    section = file.tree.get("mirror") if file else None
    written = section.get("path") if isinstance(section, dict) else None
    with suppress(ValueError, RuntimeError):  # whoever loads all of it says what is wrong
        if given := mirror or os.environ.get(MIRROR_VARIABLE):
            return _place(str(given), cwd)
        if file and written is not None:
            return _place(written, file.path.parent)
    from smki_sync.config.loader import load_here  # noqa: PLC0415 - see above

    return load_here({"mirror": mirror, "config": config}).need_mirror()


def parse_path(value: object) -> Path:
    """Make a path of a text; an empty one would mean the current directory. Raises ``ValueError``."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    value.encode()  # SQLite and JSON want UTF-8; UnicodeEncodeError is a ValueError
    return Path(value)


def _place(value: object, base: Path) -> Path:
    return base / parse_path(value).expanduser()
