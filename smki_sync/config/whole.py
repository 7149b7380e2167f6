"""The whole configuration as one frozen value, with where each part of it came from.

For: commands (``need_url``, ``need_mirror``, ``secrets``) and for ``doctor`` (``origin``). Refuses: to
show a secret, and to read one before it is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from smki_sync.config.schema import KEYS
from smki_sync.config.secrets import Secrets, forbid_cores, read_password
from smki_sync.config.settings import (
    ArchiveSettings,
    HookSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    MirrorPaths,
    PolicySettings,
    Repository,
    RetrySettings,
    TrustSettings,
)
from smki_sync.errors import ConfigError
from smki_sync.model.lists import ListPolicy

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
