"""Merge option, environment, file, default; unknown keys; Config."""

import os
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from smki_sync.config.file import (
    MIRROR_VARIABLE,
    SYSTEM_FILE,
    ConfigFile,
    Secrets,
    file_of,
    forbid_cores,
    read_password,
    secrets_in,
    user_place,
)
from smki_sync.config.policy_settings import LimitSettings, PolicySettings
from smki_sync.config.schema import KEYS, SECTIONS
from smki_sync.config.settings import (
    ArchiveSettings,
    HookSettings,
    LogSettings,
    MetricsSettings,
    MirrorPaths,
    Repository,
    RetrySettings,
    TrustSettings,
)
from smki_sync.errors import ConfigError
from smki_sync.model.extract import ListPolicy
from smki_sync.sources.base import parse_address

if TYPE_CHECKING:
    from smki_sync.reader import ReaderLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting. ``file``: the one that was read, ``None`` where none was found.

    ``origins``: where each key that is no default came from. ``environment``: the secrets found there.
    """

    repository: Repository = field(default_factory=Repository)
    retry: RetrySettings = field(default_factory=RetrySettings)
    mirror: MirrorPaths = field(default_factory=MirrorPaths)
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    trust: TrustSettings = field(default_factory=TrustSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
    file: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict, repr=False)
    environment: Secrets = field(default_factory=Secrets, repr=False)

    def origin(self, key: str) -> str:
        """Say where ``section.key`` came from.

        One of ``option --mirror``, ``environment SMKI_SYNC_MIRROR``, ``file /path``, ``default``.
        Raises ``KeyError`` for a key that does not exist.
        """
        return self.origins.get(KEYS[key].name, "default")

    def need_url(self) -> str:
        """Give the source's URL, or raise ``ConfigError`` that says the three ways to give one."""
        return self.repository.url or self._absent(
            "source", "--source URL", "SMKI_SYNC_SOURCE", "repository.url"
        )

    def need_mirror(self) -> Path:
        """Give the mirror's directory, or raise ``ConfigError`` that says the three ways to give one."""
        path = self.mirror.path
        return path or self._absent("mirror", "--mirror DIR", "SMKI_SYNC_MIRROR", "mirror.path")

    def secrets(self) -> Secrets:
        """Give the secrets: the environment's, and the password file's where the environment has none.

        From then on a crash leaves no core: a key that a source reads is as secret as a password.
        Raises ``ConfigError`` where that file cannot be read or can be read by others.
        """
        forbid_cores()
        file = self.repository.password_file
        if self.environment.password is not None or file is None:
            return self.environment
        return Secrets(password=read_password(file), key_passphrase=self.environment.key_passphrase)

    def lists(self) -> ListPolicy:
        """Give what is asked of lists and slot files."""
        return ListPolicy(
            arl_max_age_days=self.trust.arl_max_age_days,
            crl_max_age_days=self.trust.crl_max_age_days,
            expected=self.trust.expect_lists,
            largest_bytes=self.limits.companion_bytes,
        )

    def reader_limits(self) -> "ReaderLimits":
        """Give what the reader asks for: its own defaults, but where this configuration says otherwise."""
        from smki_sync.reader import ReaderLimits  # noqa: PLC0415 - loads lxml, which only a sync needs

        limits, own = self.limits, ReaderLimits()
        return ReaderLimits(
            decompressed_bytes=_or(limits.decompressed_bytes, own.decompressed_bytes),
            ratio=_or(limits.ratio, own.ratio),
            records=_or(limits.records, own.records),
            field_length=_or(limits.field_bytes, own.field_length),
            depth=_or(limits.depth, own.depth),
            record_bytes=_or(limits.record_bytes, own.record_bytes),
            leading_bytes=_or(limits.leading_bytes, own.leading_bytes),
            names=_or(limits.names, own.names),
            quarantine_share=self.policy.quarantine_share,
            quarantine_allowance=self.policy.quarantine_allowance,
        )

    def _absent(self, what: str, option: str, variable: str, key: str) -> NoReturn:
        read = f"{self.file} was read and has no {key}" if self.file else "no configuration file was found"
        raise ConfigError(
            f"no {what} is configured ({read})",
            hint=f"give {option}, or set {variable}, or write {key} in the configuration file; "
            "`smki-sync init` makes one",
            code=f"{what}-not-configured",
        )


def _or(given: int | None, own: int) -> int:
    return own if given is None else given


_LIKE = 0.6
"""How like two names are that are taken for a slip of the pen, from 0 to 1: difflib's own measure."""


def nearest_section(name: str) -> str:
    """Give the known section whose name is most like ``name``."""
    return _close(name, SECTIONS, 0.0)[0]


def nearest_key(section: str, name: str) -> str:
    """Give the known key most like ``name``: in its own section, else in any, else the least unlike.

    ``section`` is empty for a key that stands outside every section.
    """
    every = {key.partition(".")[2]: key for key in KEYS}
    own = {key.partition(".")[2]: key for key in KEYS if key.startswith(f"{section}.")}
    for words, likeness in ((own, _LIKE), (every, _LIKE), (own or every, 0.0)):
        if near := _close(name, words, likeness):
            break
    return words[near[0]]


def _close(name: str, words: Iterable[str], likeness: float) -> list[str]:
    """The word most like a name, if one is like enough."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    return difflib.get_close_matches(name, list(words), n=1, cutoff=likeness)


def strange_names(file: ConfigFile) -> Iterator[str]:
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


def _from_file(file: ConfigFile | None) -> Iterator[_Given]:
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
