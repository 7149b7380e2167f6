"""All keys, read from the annotations of the sections; value checks; the generated reference."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import get_args, get_type_hints

from smki_sync.config.file import parse_path
from smki_sync.config.policy_settings import UNBOUNDED, KeyInfo, LimitSettings, PolicySettings
from smki_sync.config.settings import (
    ArchiveSettings,
    HookSettings,
    LogFormat,
    LogSettings,
    MetricsSettings,
    MirrorPaths,
    PartySettings,
    Repository,
    RetrySettings,
    ServeSettings,
    TrustSettings,
)
from smki_sync.model.plan import ReconcilePolicy, VerifyPolicy
from smki_sync.policy import OutsideWindow, Weekday
from smki_sync.sources.ssh_settings import LegacyAlgorithm, SshEngine
from smki_sync.usability import StaleLists

SECTIONS: Mapping[str, type] = {
    "repository": Repository,
    "retry": RetrySettings,
    "archive": ArchiveSettings,
    "mirror": MirrorPaths,
    "policy": PolicySettings,
    "trust": TrustSettings,
    "party": PartySettings,
    "limits": LimitSettings,
    "log": LogSettings,
    "metrics": MetricsSettings,
    "hooks": HookSettings,
    "serve": ServeSettings,
}

_KIND_NAMES: Mapping[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    Path: "a path",
    tuple[str, ...]: "a list of strings",
    tuple[Path, ...]: "a list of paths",
    tuple[LegacyAlgorithm, ...]: "a list of " + ", ".join(f'"{choice}"' for choice in LegacyAlgorithm),
    ReconcilePolicy: " or ".join(f'"{choice}"' for choice in ReconcilePolicy),
    StaleLists: " or ".join(f'"{choice}"' for choice in StaleLists),
    VerifyPolicy: " or ".join(f'"{choice}"' for choice in VerifyPolicy),
    Weekday: " or ".join(f'"{choice}"' for choice in Weekday),
    OutsideWindow: " or ".join(f'"{choice}"' for choice in OutsideWindow),
    SshEngine: " or ".join(f'"{choice}"' for choice in SshEngine),
    LogFormat: " or ".join(f'"{choice}"' for choice in LogFormat),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKey:
    """One key of the configuration.

    Args:
        name: ``section.key``.
        kind: Type of the value, without ``None``.
        info: Meaning and range.
        default: ``None`` if there is no default.
    """

    name: str
    kind: object
    info: KeyInfo
    default: object

    @property
    def expected(self) -> str:
        """What a value must be, for example ``a whole number of days from 1 to 366``."""
        info = self.info
        parts = (
            _KIND_NAMES[self.kind],
            f"of {info.unit}" if info.unit else "",
            f"from {info.low:g}" if info.low > -UNBOUNDED else "",
            f"to {info.high:g}" if info.high < UNBOUNDED else "",
        )
        return " ".join(filter(None, parts))

    def convert(self, value: object, base: Path) -> object:
        """Return a value in the type of the key. A relative path starts at ``base``.

        Raises:
            ValueError: The value is not as expected. The message never contains the value.
        """
        try:
            return self._checked(self._typed(value), base)
        except (ValueError, RuntimeError):  # RuntimeError: `~` without a home directory
            raise ValueError(f"must be {self.expected}") from None  # the cause may contain the value

    def _typed(self, value: object) -> object:
        if self.kind is Path:
            return parse_path(value)
        if self.kind == tuple[Path, ...] and isinstance(value, list | tuple):
            return tuple(map(parse_path, value))
        if type(value) is self.kind:
            return value
        import msgspec  # noqa: PLC0415 - only lists, choices and mixed numbers need it

        return msgspec.convert(value, self.kind)

    def _checked(self, value: object, base: Path) -> object:
        match value:
            case bool():  # before int, because bool is a subclass of int
                return value
            case int() | float() if not self.info.low <= value <= self.info.high:
                raise ValueError
            case "":
                raise ValueError
            case Path():
                return base / value.expanduser()
            case tuple():
                return tuple(self._checked(item, base) for item in value)
            case _:
                return value


def _read_keys() -> Iterator[ConfigKey]:
    for section, section_class in SECTIONS.items():
        hints = get_type_hints(section_class, include_extras=True)
        for field in fields(section_class):
            hint, info = get_args(hints[field.name])
            yield ConfigKey(
                name=f"{section}.{field.name}", kind=_without_none(hint), info=info, default=field.default
            )


def _without_none(hint: object) -> object:
    """Remove ``None`` from a union. It means that there is no default; TOML has no null value."""
    return next(arm for arm in get_args(hint) if arm is not NoneType) if isinstance(hint, UnionType) else hint


KEYS: Mapping[str, ConfigKey] = {key.name: key for key in _read_keys()}
"""All keys by name, in the order of the reference."""


_HEADING = """\
# smki-sync: the local mirror of the SMKI Repository.
# A line that starts with # and a key shows the default, or an example if there is no default.
# Relative paths start at the directory of this file; ~ is the home directory.
# Secrets have no key: use SMKI_SYNC_PASSWORD, SMKI_SYNC_KEY_PASSPHRASE or a password_file."""

EXAMPLE: Mapping[str, object] = {
    "repository.url": "sftp://party@smki.example:22/extracts",
    "repository.identity_file": "id_ed25519",
    "repository.known_hosts": "known_hosts",
    "mirror.path": "/var/lib/smki-sync",
}
"""Values in the example of docs/configuration.md: a Party that logs in with a key."""


def table() -> str:
    """Return all keys as a Markdown table, without a final newline."""
    head = ("| key | meaning | value | default |", "|---|---|---|---|")
    rows = (f"| `{k.name}` | {k.info.meaning} | {k.expected} | {_default(k)} |" for k in KEYS.values())
    return "\n".join((*head, *rows))


def example(values: Mapping[str, object] = EXAMPLE) -> str:
    """Return a commented configuration file. Only the keys in ``values`` (``section.key``) are set."""
    return "\n".join((_HEADING, *_lines(values))) + "\n"


def _lines(values: Mapping[str, object]) -> Iterator[str]:
    for section in SECTIONS:
        yield from ("", f"[{section}]")
        for key in KEYS.values():
            if key.name.startswith(f"{section}."):
                yield from _entry(key, values)


def _entry(key: ConfigKey, values: Mapping[str, object]) -> Iterator[str]:
    yield f"# {key.info.meaning.replace('`', '')} Value: {key.expected}."
    shown = key.info.example if key.default is None else key.default
    mark, value = ("", values[key.name]) if key.name in values else ("#", shown)
    yield f"{mark}{key.name.partition('.')[2]} = {toml_value(value)}"


def _default(key: ConfigKey) -> str:
    return "none" if key.default is None else f"`{toml_value(key.default)}`"


def toml_value(value: object) -> str:
    """Return a value as TOML. TOML is JSON here, except for one character that only TOML escapes."""
    plain = list(value) if isinstance(value, tuple) else value.value if isinstance(value, Enum) else value
    text = json.dumps(str(plain) if isinstance(plain, Path) else plain, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
