"""Option, environment, file, default: which value counts, and every fault in one error.

For: :func:`load`, the only way to a :class:`Config`. Refuses: to go on with a file that holds an
unknown key or a value out of range, even where an option overrides it; to look at the process's own
environment (:func:`load_here` hands it in); to read a secret's file.
"""

import os
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smki_sync.config.file import SYSTEM_FILE, File, file_of, user_place
from smki_sync.config.names import strange_names
from smki_sync.config.place import MIRROR_VARIABLE
from smki_sync.config.schema import KEYS, SECTIONS
from smki_sync.config.secrets import secrets_in
from smki_sync.config.whole import Config
from smki_sync.errors import ConfigError
from smki_sync.sources.address import parse_address

OPTIONS: Mapping[str, str] = {
    "mirror": "mirror.path",
    "source": "repository.url",
    "identity_file": "repository.identity_file",
    "known_hosts": "repository.known_hosts",
    "log_format": "log.format",
    "bandwidth": "repository.bandwidth_limit",
}
"""Options of the command line, by the name of their parameter, and the key that each one sets."""

VARIABLES: Mapping[str, str] = {MIRROR_VARIABLE: "mirror.path", "SMKI_SYNC_SOURCE": "repository.url"}
"""Environment variables, and the key that each one sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """A value as it was given, from where, and the directory that a relative path starts from."""

    key: str
    value: object
    origin: str
    base: Path


def load_here(options: Mapping[str, object]) -> Config:
    """Load for this process: its environment, its directory, its user. Otherwise as :func:`load`."""
    return load(options, os.environ, cwd=Path.cwd(), user_dir=user_place())


def load(
    options: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    cwd: Path,
    user_dir: Path,
    system_file: Path = SYSTEM_FILE,
) -> Config:
    """Put a configuration together: option before environment before file before default.

    ``options``: by the names of :data:`OPTIONS`, and ``config`` for the file; ``None`` is not given.
    ``cwd``: where relative paths of options and environment start, and the first place for a file.
    ``user_dir``, ``system_file``: the next places for one. Raises ``ConfigError``: one for all faults,
    each naming the key, where it was given and what is wanted, and none showing a value. Raises
    ``KeyError`` for an option that nobody knows: a defect of the caller.
    """
    file = file_of(options.get("config"), environ, cwd=cwd, user_dir=user_dir, system_file=system_file)
    faults = list(strange_names(file)) if file else []
    layers = (_from_options(options, cwd), _from_environment(environ, cwd), _from_file(file))
    settings = ChainMap(*(_checked(layer, faults) for layer in layers))
    config = replace(_config_of(settings), file=file.path if file else None, environment=secrets_in(environ))
    faults += _contradictions(config)
    if faults:
        raise _all_of(faults)
    return config


def _from_options(options: Mapping[str, object], cwd: Path) -> Iterator[_Given]:
    for name, value in options.items():
        if value is not None and name != "config":
            origin = f"option --{name.replace('_', '-')}"
            # Paths and enums come from the command line as themselves; the check starts from text or number.
            plain = value if isinstance(value, int) else str(value)
            yield _Given(key=OPTIONS[name], value=plain, origin=origin, base=cwd)


def _from_environment(environ: Mapping[str, str], cwd: Path) -> Iterator[_Given]:
    for name, key in VARIABLES.items():
        if value := environ.get(name):  # an empty variable is the shell's way of having none
            yield _Given(key=key, value=value, origin=f"environment {name}", base=cwd)


def _from_file(file: File | None) -> Iterator[_Given]:
    if file is None:
        return
    for key in KEYS:
        section, _, name = key.partition(".")
        content = file.tree.get(section)
        if isinstance(content, dict) and name in content:
            yield _Given(key=key, value=content[name], origin=file.origin, base=file.path.parent)


def _checked(layer: Iterable[_Given], faults: list[str]) -> dict[str, _Given]:
    """Give the layer's good values by key, converted; what is wrong with the others joins ``faults``."""
    good = {}
    for given in layer:
        try:
            good[given.key] = replace(given, value=_convert(given))
        except ValueError as exc:
            faults.append(f"{given.key} {exc} ({given.origin})")
    return good


def _convert(given: _Given) -> object:
    value = KEYS[given.key].convert(given.value, given.base)
    if given.key == "repository.url":
        try:
            parse_address(str(value))
        except ConfigError as exc:
            raise ValueError(f"cannot be used: {exc.message}. {exc.hint}") from exc
    return value


def _config_of(settings: Mapping[str, _Given]) -> Config:
    sections: dict[str, Any] = {}  # a section's class takes its own keys, each already of its type
    for section, cls in SECTIONS.items():
        own = {key: given for key, given in settings.items() if key.startswith(f"{section}.")}
        sections[section] = cls(**{key.partition(".")[2]: given.value for key, given in own.items()})
    return Config(**sections, origins={key: given.origin for key, given in settings.items()})


def _contradictions(config: Config) -> Iterator[str]:
    """Name what single values cannot show: templates that name no extract, or the same one."""
    try:
        config.repository.names()
    except ValueError as exc:
        where = {config.origin(f"repository.{key}_name") for key in ("full", "delta")} - {"default"}
        yield f"repository.full_name, repository.delta_name: {exc} ({', '.join(sorted(where))})"
    try:
        config.policy.agreement()
    except ValueError as exc:
        key = "policy.full_download_hours"
        yield f"{key} {exc} ({config.origin(key)})"
    if room := _room_taken(config.archive.path, config.mirror.path):
        yield f"archive.path lies in {room}, which a run empties ({config.origin('archive.path')})"


def _room_taken(archive: Path | None, mirror: Path | None) -> Path | None:
    """Which of the mirror's own rooms an archive would lie in, and be swept out of."""
    if archive is None or mirror is None:
        return None
    from smki_sync.mirror.directory import MirrorDirectory  # noqa: PLC0415 - only where there is an archive

    own = MirrorDirectory(mirror)
    rooms = (own.downloads, own.generations)
    return next((room for room in rooms if archive.resolve().is_relative_to(room.resolve())), None)


def _all_of(faults: list[str]) -> ConfigError:
    if len(faults) == 1:
        return ConfigError(faults[0], hint="see docs/configuration.md")
    lines = (f"the configuration has {len(faults)} faults:", *faults)
    return ConfigError("\n".join(lines), hint="see docs/configuration.md")
