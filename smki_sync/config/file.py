"""The one configuration file: which it is, what it holds, and names in it that nobody knows.

For: :func:`read_file`, :func:`find_file` and :func:`strange_names`. Refuses: to read a second file,
and to judge values (:mod:`.keys` does).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from smki_sync.config.keys import KEYS, SECTIONS, nearest_key, nearest_section
from smki_sync.config.place import is_there
from smki_sync.errors import ConfigError

MAX_FILE_BYTES = 1_000_000
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


def find_file(places: Iterable[Path]) -> File | None:
    """Read the first file that is there; ``None`` where there is none. Errors as :func:`read_file`.

    A directory that this user may not enter holds no file for this user, so that a job which starts
    in another's home directory goes on to the next place. A file that is seen must be readable.
    """
    seen = (path for path in places if is_there(path))
    return next(
        (read_file(path, hint=f"{path} stands where a configuration is looked for") for path in seen), None
    )


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


def strange_names(file: File) -> Iterator[str]:
    """Name each section and key of the file that does not exist, with its nearest known neighbour."""
    for name, content in file.tree.items():
        if name not in SECTIONS:
            near = f"[{nearest_section(name)}]" if isinstance(content, dict) else nearest_key("", name)
            yield f"{name!r} is unknown ({file.origin}); did you mean {near}?"
        elif not isinstance(content, dict):
            yield f"{name} wants to be a section, [{name}] ({file.origin})"
        else:
            yield from _strange_keys(name, content, file.origin)


def _strange_keys(section: str, content: Mapping[str, object], origin: str) -> Iterator[str]:
    for name in content:
        if f"{section}.{name}" not in KEYS:
            near = nearest_key(section, name)
            yield f"{f'{section}.{name}'!r} is unknown ({origin}); did you mean {near}?"
