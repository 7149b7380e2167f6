"""The one configuration file: where it may lie, which it is, what it holds.

For: :func:`file_of`. Refuses: to read a second file, to judge names (:mod:`.names` does) and values
(:mod:`.keys` does), and to load the table of settings.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
class File:
    """A configuration file, parsed but not judged."""

    path: Path
    tree: Mapping[str, object]

    @property
    def origin(self) -> str:
        """The file as the origin of a value."""
        return f"file {self.path}"


def user_place() -> Path:
    """The directory of this user's configuration; the machine's, where nobody knows a home of this user's."""
    try:
        return platformdirs.user_config_path("smki-sync")
    except RuntimeError:  # neither HOME nor a line in passwd, as in a container that runs as any number
        return SYSTEM_FILE.parent


def file_of(
    option: object,
    environ: Mapping[str, str],
    *,
    cwd: Path,
    user_dir: Path,
    system_file: Path = SYSTEM_FILE,
) -> File | None:
    """The file that the option names, else the environment, else the first that is found.

    ``option``: the value of ``--config`` or ``None``. ``cwd``: where relative paths start, and the first
    place for a file; then come ``user_dir`` and ``system_file``. Errors as :func:`read_file`.
    """
    if option is not None:
        return read_file(cwd / at_home(Path(str(option))), hint="it was named by option --config")
    if name := environ.get(FILE_VARIABLE):
        return read_file(cwd / at_home(Path(name)), hint=f"it was named by environment {FILE_VARIABLE}")
    return find_file((cwd / FILE_NAME, user_dir / FILE_NAME, system_file))


def at_home(path: Path) -> Path:
    """``path`` with ``~`` made the home that it means; ``ConfigError`` where nobody knows that."""
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise ConfigError(
            f"{path} starts with a home directory, and which one that is, is not known",
            hint="Write the path from / on, or set HOME.",
        ) from exc


def find_file(places: Iterable[Path]) -> File | None:
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


def read_file(path: Path, *, hint: str = "") -> File:
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
    return File(path=path, tree=_parse(path, octets))


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
