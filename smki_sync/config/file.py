"""The configuration file: where it is, who may have written it, its content; and the secrets."""

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from smki_sync.errors import ConfigError
from smki_sync.usability import StaleLists

FILE_NAME: Final = "smki-sync.toml"
SYSTEM_FILE: Final = Path("/etc/smki-sync") / FILE_NAME
FILE_VARIABLE: Final = "SMKI_SYNC_CONFIG"
MIRROR_VARIABLE: Final = "SMKI_SYNC_MIRROR"
PASSWORD_VARIABLE: Final = "SMKI_SYNC_PASSWORD"  # noqa: S105 - the variable's name, not a password
PASSPHRASE_VARIABLE: Final = "SMKI_SYNC_KEY_PASSPHRASE"  # noqa: S105 - the variable's name, not a passphrase

MAX_FILE_BYTES: Final = 1_000_000
"""Largest configuration file, in bytes. The complete example has about ten thousand."""

MAX_PASSWORD_BYTES: Final = 1024
"""Longest password, in bytes. OpenSSH does not accept a longer one."""

_GROUP_OR_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_ROOT: Final = 0


class ConfigFile(NamedTuple):
    """A configuration file. ``tree``: its content as TOML, not yet checked."""

    path: Path
    tree: Mapping[str, object]

    @property
    def origin(self) -> str:
        """The origin of its values, for messages."""
        return f"file {self.path}"


def user_config_directory() -> Path:
    """Return the user's configuration directory, or that of the machine if the user has no home."""
    try:
        path = _user_config_path()
    except RuntimeError:  # no HOME and no entry in passwd: a container that runs with any user number
        return SYSTEM_FILE.parent
    # A relative HOME or XDG_CONFIG_HOME would mean the current directory, which is never searched.
    return path if path.is_absolute() else SYSTEM_FILE.parent


def _user_config_path() -> Path:
    """Return the directory by the XDG rule, as platformdirs does on Linux, without its slow import."""
    if sys.platform != "linux":
        import platformdirs  # noqa: PLC0415 - not on Linux

        return platformdirs.user_config_path("smki-sync")
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(configured) if configured.strip() else Path("~/.config").expanduser()) / "smki-sync"


def current_directory() -> Path:
    """Return the current directory. If it was deleted, relative paths in it do not exist."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/proc/self/cwd")


def new_config_file() -> Path:
    """Return where ``init`` writes: for root the file of the machine, otherwise that of the user."""
    return SYSTEM_FILE if os.geteuid() == _ROOT else user_config_directory() / FILE_NAME


def find_config_file(
    option: object,
    environ: Mapping[str, str],
    *,
    cwd: Path,
    user_dir: Path,
    system_file: Path = SYSTEM_FILE,
) -> ConfigFile | None:
    """Return the file named by the option or the environment, otherwise the first one found.

    The current directory is never searched: another user may have put a file there.

    Args:
        option: The value of ``--config`` or ``None``.
        environ: The environment.
        cwd: Where a relative name starts.
        user_dir: Searched first.
        system_file: Searched second.

    Raises:
        ConfigError: The file cannot be read, or it was found and another user can change it.
    """
    if option is not None:
        return read_file(cwd / expand_home(Path(str(option))), hint="The option --config names it.")
    if name := environ.get(FILE_VARIABLE):
        return read_file(cwd / expand_home(Path(name)), hint=f"The variable {FILE_VARIABLE} names it.")
    return _find_trusted((user_dir / FILE_NAME, system_file))


def expand_home(path: Path) -> Path:
    """Replace ``~`` in a path.

    Raises:
        ConfigError: The home directory is not known.
    """
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise ConfigError(
            f"{path} starts with a home directory that is not known.",
            hint="Write an absolute path, or set HOME.",
        ) from exc


def _find_trusted(paths: Iterable[Path]) -> ConfigFile | None:
    """Read the first file that exists.

    A directory that this user may not enter has no file for this user, so that a job that starts in
    another user's environment uses the next path. A file that exists must be readable.
    """
    for path in paths:
        if _exists(path):
            return _read_trusted(path)
    return None


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def _read_trusted(path: Path) -> ConfigFile:
    """Read a file that the user has not named, after checking that only this user and root can change it."""
    hint = f"{path} was found. Remove it, or name a file with --config."
    try:
        # O_NONBLOCK: opening a pipe without a writer must not block before it is rejected.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            reason = _untrusted_file(os.fstat(file.fileno())) or untrusted_directories(path)
            if reason:
                raise ConfigError(
                    f"The configuration file {path} was found but is not used: {reason}.",
                    hint=f"Correct this, or name the file with --config {path} if you trust it.",
                    code="config-untrusted",
                )
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise _unreadable(path, exc, hint) from exc
    return _parsed(path, data, hint)


def _untrusted_file(found: os.stat_result) -> str:
    """Say why the content of a file is not trusted; empty if it is."""
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if found.st_uid not in {_ROOT, os.geteuid()}:
        return f"it belongs to user {found.st_uid}, not to you ({os.geteuid()}) or root"
    if found.st_mode & _GROUP_OR_OTHERS_WRITE:
        return f"other users can change it (mode {stat.S_IMODE(found.st_mode):04o})"
    return ""


def untrusted_directories(path: Path) -> str:
    """Say which directory above ``path``, or above the target of a link, lets another user replace it."""
    own = {path.absolute().parent, path.resolve().parent}
    for directory in dict.fromkeys(
        above for start in (path.absolute(), path.resolve()) for above in start.parents
    ):
        found = directory.stat()
        if found.st_uid not in {_ROOT, os.geteuid()}:
            return f"its directory {directory} belongs to user {found.st_uid}"
        # A sticky directory such as /tmp protects the entries of others.
        protected = found.st_mode & stat.S_ISVTX and directory not in own
        if found.st_mode & _GROUP_OR_OTHERS_WRITE and not protected:
            return f"other users can change its directory {directory}"
    return ""


def read_file(path: Path, *, hint: str = "") -> ConfigFile:
    """Read and parse one file that the user named.

    Raises:
        ConfigError: The file cannot be read or is not TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise _unreadable(path, exc, hint) from exc
    return _parsed(path, data, hint)


def _unreadable(path: Path, exc: OSError, hint: str) -> ConfigError:
    return ConfigError(f"The configuration file {path} cannot be read: {exc.strerror}.", hint=hint)


def _parsed(path: Path, data: bytes, hint: str) -> ConfigFile:
    import tomllib  # noqa: PLC0415 - only if there is a file

    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path} is not a configuration file: it has more than {MAX_FILE_BYTES:,} bytes.", hint=hint
        )
    try:
        return ConfigFile(path=path, tree=tomllib.loads(data.decode("utf-8-sig")))  # -sig: byte order mark
    except UnicodeDecodeError as exc:
        fault = f"not UTF-8 at byte {exc.start}"
    except (ValueError, RecursionError) as exc:
        fault = f"not valid TOML: {exc}"
    raise ConfigError(
        f"The configuration file {path} is {fault}.",
        hint="Fix the syntax. See docs/configuration.md for an example.",
    )


class Secrets:
    """The secrets of a login; ``None`` if not given. Its text form, the default one, shows neither."""

    __slots__ = ("key_passphrase", "password")

    def __init__(self, *, password: str | None = None, key_passphrase: str | None = None) -> None:
        """Store the secrets."""
        self.password = password
        self.key_passphrase = key_passphrase

    def __eq__(self, other: object) -> bool:
        """Compare the secrets."""
        if not isinstance(other, Secrets):
            return NotImplemented
        return (self.password, self.key_passphrase) == (other.password, other.key_passphrase)

    __hash__ = None  # type: ignore[assignment]  # the secrets of a login are never a key


def secrets_in(environ: Mapping[str, str]) -> Secrets:
    """Return the secrets in the environment. An empty variable counts as not set."""
    secrets = Secrets(
        password=environ.get(PASSWORD_VARIABLE) or None,
        key_passphrase=environ.get(PASSPHRASE_VARIABLE) or None,
    )
    if secrets.password or secrets.key_passphrase:
        forbid_core_dumps()
    return secrets


def check_variables(secrets: Secrets) -> None:
    """Reject a secret of the environment that no server accepts, before anything is sent.

    Raises:
        ConfigError: A secret contains a control character.
    """
    named = {PASSWORD_VARIABLE: secrets.password, PASSPHRASE_VARIABLE: secrets.key_passphrase}
    for name, secret in named.items():
        if secret and _has_control_character(secret):
            raise ConfigError(
                f"The variable {name} contains a line break or another control character.",
                hint="Set it to the secret only.",
            )


def forbid_core_dumps() -> None:
    """Set the soft limit of core dumps to zero, because memory will contain a secret.

    The hard limit is unchanged, so that a debugger can raise the limit in a child process.
    """
    import resource  # noqa: PLC0415 - a command without a repository does not need it

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def read_password(path: Path) -> str:
    """Read a password file: one line of UTF-8. The line end and a byte order mark are not part of it.

    Raises:
        ConfigError: ``password-file``. The file cannot be read, is not regular, belongs to another user,
            others have access to it, or it does not contain exactly one line.
    """
    try:
        # O_NONBLOCK: opening a pipe without a writer must not block before it is rejected.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            _check_private(path, os.fstat(file.fileno()))
            data = file.read(MAX_PASSWORD_BYTES + 1)
    except OSError as exc:
        raise _password_error(path, f"cannot be read: {exc.strerror}") from exc
    return _only_line(path, data)


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _password_error(path, "is not a regular file")
    if found.st_uid not in {_ROOT, os.geteuid()}:
        raise _password_error(
            path,
            f"belongs to user {found.st_uid}, not to you ({os.geteuid()}) or root",
            "Run smki-sync as the owner of the file.",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _password_error(path, f"can be used by others (mode {mode:04o})", f"Run `chmod 600 {path}`.")


def _only_line(path: Path, data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _password_error(path, "is not UTF-8") from None  # the cause would contain the data
    password = text.removesuffix("\n").removesuffix("\r")
    if len(data) > MAX_PASSWORD_BYTES or not password or "\n" in password:
        raise _password_error(path, f"does not contain one line of at most {MAX_PASSWORD_BYTES} bytes")
    if _has_control_character(password):
        hint = "Save the password as one line of UTF-8 text."
        raise _password_error(path, "contains control characters", hint)
    return password


_NOT_IN_A_PASSWORD: Final = {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}
"""Unicode categories of control and format characters. An editor or a wrong encoding leaves them."""


def _has_control_character(text: str) -> bool:
    import unicodedata  # noqa: PLC0415 - only a secret needs it

    return any(unicodedata.category(letter) in _NOT_IN_A_PASSWORD for letter in text)


def _password_error(path: Path, reason: str, hint: str = "") -> ConfigError:
    return ConfigError(
        f"The password file {path} (repository.password_file) {reason}.", hint=hint, code="password-file"
    )


class LookupSettings(NamedTuple):
    """What a lookup needs to know: the mirror directory, and the rule for stale lists."""

    mirror: Path
    stale_lists: StaleLists


def mirror_here(*, mirror: Path | None, config: Path | None) -> Path:
    """Return the mirror directory for this process, as :func:`lookup_settings_here`."""
    return lookup_settings_here(mirror=mirror, config=config).mirror


def lookup_settings_here(*, mirror: Path | None, config: Path | None) -> LookupSettings:
    """Return the settings of a lookup in this process. Precedence: option, environment, file.

    It reads only ``mirror.path`` and ``policy.stale_lists`` of the file, so that an error in another
    section does not stop a lookup.

    Raises:
        ConfigError: No mirror is configured, or the file cannot be read or is not TOML.
    """
    cwd = current_directory()
    file = find_config_file(config, os.environ, cwd=cwd, user_dir=user_config_directory())
    configured = _value_in(file, "mirror", "path")
    with suppress(ValueError, RuntimeError):  # the loader below describes what is wrong
        stale_lists = _stale_lists(_value_in(file, "policy", "stale_lists"))
        if given := mirror or os.environ.get(MIRROR_VARIABLE):
            return LookupSettings(cwd / parse_path(str(given)).expanduser(), stale_lists)
        if file and configured is not None:
            return LookupSettings(file.path.parent / parse_path(configured).expanduser(), stale_lists)
    from smki_sync.config.loader import load_here  # noqa: PLC0415 - slow, and only an error needs it

    loaded = load_here({"mirror": mirror, "config": config})
    return LookupSettings(loaded.need_mirror(), loaded.policy.stale_lists)


def _stale_lists(value: object) -> StaleLists:
    """Return the choice; raises ``ValueError`` for any other value."""
    return StaleLists.REPORT if value is None else StaleLists(str(value))


def _value_in(file: ConfigFile | None, section: str, key: str) -> object:
    table = file.tree.get(section) if file else None
    return table.get(key) if isinstance(table, dict) else None


def parse_path(value: object) -> Path:
    """Return text as a path.

    Raises:
        ValueError: It is not text, is empty (which would mean the current directory), or is not UTF-8.
    """
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    value.encode()  # SQLite and JSON require UTF-8; UnicodeEncodeError is a ValueError
    return Path(value)
