"""Where things are on this machine, as far as a job that runs by itself has to know.

For: filling the units in. Refuses: to guess what the configuration does not say, and to make anything.
"""

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from smki_sync.config.schema import KEYS
from smki_sync.config.whole import Config
from smki_sync.errors import ConfigError
from smki_sync.sources.address import DirectoryAddress, parse_address


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where things are; every path is absolute.

    ``program``: the words that start it. ``user``: as whom it runs. ``own``: directories that are the
    program's alone, the mirror first. ``shared``: directories of others in which it leaves a file.
    ``read``: what it only reads. ``interpreter``: where the Python is that runs it.
    """

    program: tuple[str, ...]
    user: str
    config: Path
    own: tuple[Path, ...]
    shared: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    interpreter: tuple[Path, ...] = ()

    @property
    def started(self) -> tuple[Path, ...]:
        """Every path without which it does not even start."""
        words = tuple(Path(word) for word in self.program if word.startswith("/"))
        return (*words, *(word.resolve() for word in words), *self.interpreter)

    @property
    def everything(self) -> tuple[Path, ...]:
        """Every path that has to be in sight: as it is written, and where its links lead."""
        written = (self.config, *self.own, *self.shared, *self.read)
        return (*written, *(path.resolve() for path in written), *self.started)


def place_of(config: Config, *, user: str) -> Place:
    """Read the paths off a configuration that came from a file alone.

    Raises ``ConfigError`` where no file was read, it names no mirror, or as :func:`place_at`.
    """
    if config.file is None:
        raise ConfigError(
            "no configuration file was found, and what runs by itself needs one",
            hint="Write one with `smki-sync init`, or name it with --config.",
        )
    return place_at(
        user=user,
        config=config.file,
        own=[path for path in (config.need_mirror(), config.archive.path) if path],
        shared=[config.metrics.textfile.parent] if config.metrics.textfile else [],
        read=[*_named_in(config), *_directories_of(config)],
    )


def place_at(
    *,
    user: str,
    config: Path,
    own: Sequence[Path],
    shared: Sequence[Path] = (),
    read: Sequence[Path] = (),
) -> Place:
    """Put a place together for this very installation, each path absolute and once.

    Raises ``ConfigError`` where a path holds what does not print: no unit and no crontab could name it.
    """
    written = {_plain(path) for path in own}
    place = Place(
        program=_program(),
        interpreter=(Path(sys.executable).resolve(), Path(sys.base_prefix)),
        user=user,
        config=_plain(config),
        own=tuple(dict.fromkeys(map(_plain, own))),
        shared=tuple(map(_plain, shared)),
        read=tuple(path for path in map(_plain, read) if path not in written),
    )
    for path in place.everything:
        if not str(path).isprintable():
            raise ConfigError(f"{str(path)!r} cannot stand in a unit", hint="Give it a name that prints.")
    return place


def _named_in(config: Config) -> Iterator[Path]:
    """Every path that a key holds."""
    for name in KEYS:
        section, _, key = name.partition(".")
        value = getattr(getattr(config, section), key)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Path):
                yield one


def _directories_of(config: Config) -> Iterator[Path]:
    for url in (config.repository.url, *config.repository.fallbacks):
        address = parse_address(url) if url else None
        if isinstance(address, DirectoryAddress):
            yield address.path


def _plain(path: Path) -> Path:
    """Without ``..``, which systemd refuses."""
    return Path(os.path.normpath(path.absolute()))


def _program() -> tuple[str, ...]:
    """The words that start it from anywhere: its script, or its interpreter."""
    script = Path(sysconfig.get_path("scripts"), "smki-sync")
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-m", "smki_sync")
