"""The configuration of a run: options, environment, file and defaults in one checked value."""

import os
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from smki_sync.config.file import (
    MIRROR_VARIABLE,
    SYSTEM_FILE,
    ConfigFile,
    Secrets,
    check_variables,
    current_directory,
    find_config_file,
    forbid_core_dumps,
    read_password,
    secrets_in,
    user_config_directory,
)
from smki_sync.config.policy_settings import LimitSettings, PolicySettings
from smki_sync.config.removed_keys import REMOVED_KEYS
from smki_sync.config.schema import KEYS, SECTIONS
from smki_sync.config.settings import (
    ArchiveSettings,
    HookSettings,
    LogSettings,
    MetricsSettings,
    MirrorPaths,
    PartySettings,
    Repository,
    RetrySettings,
    ServeSettings,
    TrustSettings,
)
from smki_sync.errors import ConfigError
from smki_sync.model.certificate import Eui
from smki_sync.model.extract import ListPolicy
from smki_sync.sources.base import parse_address

if TYPE_CHECKING:
    from smki_sync.reader import ReaderLimits

_HINT: Final = "See docs/configuration.md."


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of a run.

    Args:
        file: The configuration file that was read, or ``None``.
        origins: Where each value comes from, by key. A default value has no entry.
        environment: The secrets in the environment.
    """

    repository: Repository = field(default_factory=Repository)
    retry: RetrySettings = field(default_factory=RetrySettings)
    mirror: MirrorPaths = field(default_factory=MirrorPaths)
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    trust: TrustSettings = field(default_factory=TrustSettings)
    party: PartySettings = field(default_factory=PartySettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    log: LogSettings = field(default_factory=LogSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    file: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict, repr=False)
    environment: Secrets = field(default_factory=Secrets, repr=False)

    def origin(self, key: str) -> str:
        """Return where the value of ``section.key`` comes from.

        It is ``option --mirror``, ``environment SMKI_SYNC_MIRROR``, ``file /path`` or ``default``.

        Raises:
            KeyError: The key does not exist.
        """
        return self.origins.get(KEYS[key].name, "default")

    def need_parties(self) -> tuple[Eui, ...]:
        """Return our EUI-64s.

        Raises:
            ConfigError: ``party-not-configured``.
        """
        parties = self.party.parties()
        if not parties:
            raise ConfigError(
                "No party is configured.",
                hint="Write the EUI-64s of your organisation to party.euis in the configuration file.",
                code="party-not-configured",
            )
        return parties

    def need_url(self) -> str:
        """Return the Repository URL.

        Raises:
            ConfigError: ``source-not-configured``.
        """
        return self.repository.url or self._fail_missing(
            "source", "--source URL", "SMKI_SYNC_SOURCE", "repository.url"
        )

    def need_mirror(self) -> Path:
        """Return the mirror directory.

        Raises:
            ConfigError: ``mirror-not-configured``.
        """
        path = self.mirror.path
        return path or self._fail_missing("mirror", "--mirror DIR", "SMKI_SYNC_MIRROR", "mirror.path")

    def secrets(self) -> Secrets:
        """Return the secrets of the environment, with the password file if the environment has no password.

        It also disables core dumps, because this process will then hold a key or a password in memory.

        Raises:
            ConfigError: A variable has impossible content, or the password file cannot be used
                (``password-file``).
        """
        forbid_core_dumps()
        check_variables(self.environment)
        file = self.repository.password_file
        if self.environment.password is not None or file is None:
            return self.environment
        return Secrets(password=read_password(file), key_passphrase=self.environment.key_passphrase)

    def list_policy(self) -> ListPolicy:
        """Return the rules for revocation lists and slot files."""
        return ListPolicy(
            arl_max_age_days=self.trust.arl_max_age_days,
            crl_max_age_days=self.trust.crl_max_age_days,
            expected=self.trust.expect_lists,
        )

    def reader_limits(self) -> "ReaderLimits":
        """Return the limits of the reader."""
        from smki_sync.reader import ReaderLimits  # noqa: PLC0415 - loads lxml, which only a sync needs

        return ReaderLimits(quarantine_share=self.policy.quarantine_share)

    def _fail_missing(self, name: str, option: str, variable: str, key: str) -> NoReturn:
        found = f"{self.file} has no {key}" if self.file else "No configuration file was found"
        raise ConfigError(
            f"No {name} is configured. {found}.",
            hint=f"Give {option}, set {variable}, or write {key} in the configuration file. Run"
            " `smki-sync init` to create one.",
            code=f"{name}-not-configured",
        )


_SIMILARITY: Final = 0.6
"""Similarity from which a name is taken for a misspelt key, from 0 to 1, as :mod:`difflib` measures it."""


def nearest_section(name: str) -> str:
    """Return the section whose name is most similar to ``name``."""
    return _most_similar(name, SECTIONS, 0.0)[0]


def nearest_key(section: str, name: str) -> str:
    """Return the key most similar to ``name``: first of the same section, then of all sections.

    ``section`` is empty for a key outside every section.
    """
    every = {key.partition(".")[2]: key for key in KEYS}
    own = {key.partition(".")[2]: key for key in KEYS if key.startswith(f"{section}.")}
    for names, similarity in ((own, _SIMILARITY), (every, _SIMILARITY), (own or every, 0.0)):
        if nearest := _most_similar(name, names, similarity):
            break
    return names[nearest[0]]


def _most_similar(name: str, names: Iterable[str], similarity: float) -> list[str]:
    """Return the most similar name, or an empty list."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    return difflib.get_close_matches(name, list(names), n=1, cutoff=similarity)


def unknown_names(file: ConfigFile) -> Iterator[str]:
    """Describe each section and key of the file that does not exist."""
    for name, content in file.tree.items():
        if name not in SECTIONS:
            nearest = f"[{nearest_section(name)}]" if isinstance(content, dict) else nearest_key("", name)
            yield f"{name!r} is unknown ({file.origin}). Did you mean {nearest}?"
        elif not isinstance(content, dict):
            yield f"{name} must be a section, [{name}] ({file.origin})"
        else:
            yield from _unknown_keys(name, content, file.origin)


def _unknown_keys(section: str, content: Mapping[str, object], origin: str) -> Iterator[str]:
    for name in content:
        key = f"{section}.{name}"
        if key in REMOVED_KEYS:
            yield f"{key} no longer exists ({origin}): {REMOVED_KEYS[key]}."
        elif key not in KEYS:
            yield f"{key!r} is unknown ({origin}). Did you mean {nearest_key(section, name)}?"


OPTIONS: Mapping[str, str] = {
    "mirror": "mirror.path",
    "source": "repository.url",
    "identity_file": "repository.identity_file",
    "known_hosts": "repository.known_hosts",
    "log_format": "log.format",
    "bandwidth": "repository.bandwidth_limit",
}
"""The key that each command-line option sets, by the name of its parameter."""

VARIABLES: Mapping[str, str] = {MIRROR_VARIABLE: "mirror.path", "SMKI_SYNC_SOURCE": "repository.url"}
"""The key that each environment variable sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """A value, where it comes from, and the directory where a relative path starts."""

    key: str
    value: object
    origin: str
    base: Path


def load_here(options: Mapping[str, object]) -> Config:
    """Load the configuration with the environment and the current directory of this process."""
    return load(options, os.environ, cwd=current_directory(), user_dir=user_config_directory())


def load(
    options: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    cwd: Path,
    user_dir: Path,
    system_file: Path = SYSTEM_FILE,
) -> Config:
    """Load the configuration. Precedence: option, environment, file, default.

    Args:
        options: Values by the names in :data:`OPTIONS`, and ``config`` for the file; ``None`` = not given.
        environ: The environment.
        cwd: Where relative paths in options and environment start.
        user_dir: The user's configuration directory.
        system_file: The configuration file of the machine.

    Raises:
        ConfigError: One error for all faults. Each names the key, its origin and the expected value, never
            the value that was given.
        KeyError: An option does not exist: a bug in the caller.
    """
    file = find_config_file(
        options.get("config"), environ, cwd=cwd, user_dir=user_dir, system_file=system_file
    )
    faults = list(unknown_names(file)) if file else []
    layers = (_from_options(options, cwd), _from_environment(environ, cwd), _from_file(file))
    checked = [_check(layer) for layer in layers]
    faults += [fault for _, layer_faults in checked for fault in layer_faults]
    config = replace(
        _build(ChainMap(*(settings for settings, _ in checked))),
        file=file.path if file else None,
        environment=secrets_in(environ),
    )
    faults += _contradictions(config)
    if faults:
        raise _combine(faults)
    return config


def _from_options(options: Mapping[str, object], cwd: Path) -> Iterator[_Setting]:
    for name, value in options.items():
        if value is not None and name != "config":
            origin = f"option --{name.replace('_', '-')}"
            # The command line has converted paths and choices already; the check expects text or a number.
            plain = value if isinstance(value, int) else str(value)
            yield _Setting(key=OPTIONS[name], value=plain, origin=origin, base=cwd)


def _from_environment(environ: Mapping[str, str], cwd: Path) -> Iterator[_Setting]:
    for name, key in VARIABLES.items():
        if value := environ.get(name):  # an empty variable counts as not set
            yield _Setting(key=key, value=value, origin=f"environment {name}", base=cwd)


def _from_file(file: ConfigFile | None) -> Iterator[_Setting]:
    if file is None:
        return
    for key in KEYS:
        section, _, name = key.partition(".")
        content = file.tree.get(section)
        if isinstance(content, dict) and name in content:
            yield _Setting(key=key, value=content[name], origin=file.origin, base=file.path.parent)


def _check(layer: Iterable[_Setting]) -> tuple[dict[str, _Setting], list[str]]:
    """Return the valid settings of a layer by key, converted, and the faults of the others."""
    valid, faults = {}, []
    for setting in layer:
        try:
            valid[setting.key] = replace(setting, value=_convert(setting))
        except ValueError as exc:
            faults.append(f"{setting.key} {exc} ({setting.origin})")
    return valid, faults


def _convert(setting: _Setting) -> object:
    value = KEYS[setting.key].convert(setting.value, setting.base)
    if setting.key == "repository.url":
        try:
            parse_address(str(value))
        except ConfigError as exc:
            raise ValueError(f"is not valid: {exc.message.rstrip('.')}. {exc.hint}") from exc
    return value


def _build(settings: Mapping[str, _Setting]) -> Config:
    sections: dict[str, Any] = {}  # the values of a section have the types of its class
    for section, section_class in SECTIONS.items():
        own = {key: setting for key, setting in settings.items() if key.startswith(f"{section}.")}
        sections[section] = section_class(
            **{key.partition(".")[2]: setting.value for key, setting in own.items()}
        )
    return Config(**sections, origins={key: setting.origin for key, setting in settings.items()})


def _contradictions(config: Config) -> Iterator[str]:
    """Describe faults that the check of a single value cannot find."""
    try:
        config.repository.file_names()
    except ValueError as exc:
        origins = {config.origin(f"repository.{key}_name") for key in ("full", "delta")} - {"default"}
        yield f"repository.full_name, repository.delta_name: {exc} ({', '.join(sorted(origins))})"
    try:
        config.policy.download_window()
    except ValueError as exc:
        key = "policy.full_download_hours"
        yield f"{key}: {exc} ({config.origin(key)})"
    if not (config.serve.prefix.startswith("/") and config.serve.prefix.endswith("/")):
        yield f"serve.prefix must start and end with / ({config.origin('serve.prefix')})"
    try:
        config.party.parties()
    except ValueError as exc:
        yield f"party.euis: {exc} ({config.origin('party.euis')})"
    if directory := _cleaned_directory(config.archive.path, config.mirror.path):
        yield (
            f"archive.path is in {directory}, where each run deletes files ({config.origin('archive.path')})"
        )


def _cleaned_directory(archive: Path | None, mirror: Path | None) -> Path | None:
    """Return the directory in the mirror that contains the archive, if runs delete files there."""
    if archive is None or mirror is None:
        return None
    from smki_sync.mirror.directory import MirrorDirectory  # noqa: PLC0415 - only an archive needs it

    paths = MirrorDirectory(mirror)
    cleaned = (paths.downloads, paths.generations)
    return next((path for path in cleaned if archive.resolve().is_relative_to(path.resolve())), None)


def _combine(faults: list[str]) -> ConfigError:
    if len(faults) == 1:
        return ConfigError(faults[0], hint=_HINT)
    lines = (f"The configuration has {len(faults)} errors:", *faults)
    return ConfigError("\n".join(lines), hint=_HINT)
