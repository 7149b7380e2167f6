"""Keys read from the annotations; value checks; generated reference."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import get_args, get_type_hints

from smki_sync.config.file import path_of
from smki_sync.config.policy_settings import UNBOUNDED, KeyInfo, LimitSettings, PolicySettings
from smki_sync.config.settings import (
    ArchiveSettings,
    HookSettings,
    LogFormat,
    LogSettings,
    MetricsSettings,
    MirrorPaths,
    Repository,
    RetrySettings,
    TrustSettings,
)
from smki_sync.model.plan import ReconcilePolicy, VerifyPolicy
from smki_sync.policy import OutsideWindow, Weekday
from smki_sync.sources.ssh_settings import LegacyAlgorithm

SECTIONS: Mapping[str, type] = {
    "repository": Repository,
    "retry": RetrySettings,
    "archive": ArchiveSettings,
    "mirror": MirrorPaths,
    "policy": PolicySettings,
    "trust": TrustSettings,
    "limits": LimitSettings,
    "log": LogSettings,
    "metrics": MetricsSettings,
    "hooks": HookSettings,
}

_KIND_WORDS: Mapping[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    tuple[str, ...]: "a list of texts",
    tuple[Path, ...]: "a list of paths",
    tuple[LegacyAlgorithm, ...]: "a list of " + ", ".join(f'"{choice}"' for choice in LegacyAlgorithm),
    ReconcilePolicy: " or ".join(f'"{choice}"' for choice in ReconcilePolicy),
    VerifyPolicy: " or ".join(f'"{choice}"' for choice in VerifyPolicy),
    Weekday: " or ".join(f'"{choice}"' for choice in Weekday),
    OutsideWindow: " or ".join(f'"{choice}"' for choice in OutsideWindow),
    LogFormat: " or ".join(f'"{choice}"' for choice in LogFormat),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKey:
    """One setting: ``name`` is ``section.key``; ``kind`` its type, without a ``None`` for no default."""

    name: str
    kind: object
    about: KeyInfo
    default: object

    @property
    def wanted(self) -> str:
        """What a value must be, in words: ``a whole number of days from 1 up to 366``."""
        about = self.about
        parts = (
            _KIND_WORDS[self.kind],
            f"of {about.unit}" if about.unit else "",
            f"from {about.low:g}" if about.low > -UNBOUNDED else "",
            f"up to {about.high:g}" if about.high < UNBOUNDED else "",
        )
        return " ".join(filter(None, parts))

    def convert(self, value: object, base: Path) -> object:
        """Check a value and give it its type; a relative path is taken from ``base``.

        Raises ``ValueError`` that says what is wanted and never what was given.
        """
        try:
            return self._checked(self._typed(value), base)
        except (ValueError, RuntimeError):  # RuntimeError: `~` where no home directory is known
            raise ValueError(f"wants {self.wanted}") from None  # the cause may show the value

    def _typed(self, value: object) -> object:
        if self.kind is Path:
            return path_of(value)
        if self.kind == tuple[Path, ...] and isinstance(value, list | tuple):
            return tuple(map(path_of, value))
        if type(value) is self.kind:
            return value
        import msgspec  # noqa: PLC0415 - only lists, choices and whole numbers for others need it

        return msgspec.convert(value, self.kind)

    def _checked(self, value: object, base: Path) -> object:
        match value:
            case bool():  # before int, which it is too
                return value
            case int() | float() if not self.about.low <= value <= self.about.high:
                raise ValueError
            case "":
                raise ValueError
            case Path():
                return base / value.expanduser()
            case tuple():
                return tuple(self._checked(one, base) for one in value)
            case _:
                return value


def _keys() -> Iterator[ConfigKey]:
    for section, cls in SECTIONS.items():
        hints = get_type_hints(cls, include_extras=True)
        for field in fields(cls):
            hint, about = get_args(hints[field.name])
            yield ConfigKey(
                name=f"{section}.{field.name}", kind=_bare(hint), about=about, default=field.default
            )


def _bare(hint: object) -> object:
    """Take ``None`` out of a union: it says that there is no default, and TOML cannot write it."""
    return next(arm for arm in get_args(hint) if arm is not NoneType) if isinstance(hint, UnionType) else hint


KEYS: Mapping[str, ConfigKey] = {key.name: key for key in _keys()}
"""Every key by its name, in the order of the documentation."""


_HEADING = """\
# smki-sync: the local mirror of the SMKI Repository.
# A key that is commented out shows its default, or an example where there is none.
# Relative paths start at the directory of this file; ~ is the home directory.
# Secrets have no key here: SMKI_SYNC_PASSWORD, SMKI_SYNC_KEY_PASSPHRASE, or a password_file."""

EXAMPLE: Mapping[str, object] = {
    "repository.url": "sftp://party@smki.example:22/extracts",
    "repository.identity_file": "id_ed25519",
    "repository.known_hosts": "known_hosts",
    "mirror.path": "/var/lib/smki-sync",
}
"""What the example in docs/configuration.md sets: a Party with a key."""


def table() -> str:
    """Render every key as one Markdown table, without a newline at its end."""
    head = ("| key | what it is | value | default |", "|---|---|---|---|")
    rows = (f"| `{k.name}` | {k.about.meaning} | {k.wanted} | {_default(k)} |" for k in KEYS.values())
    return "\n".join((*head, *rows))


def example(values: Mapping[str, object] = EXAMPLE) -> str:
    """Write a commented configuration file that sets ``values`` (by ``section.key``) and nothing else."""
    return "\n".join((_HEADING, *_lines(values))) + "\n"


def _lines(values: Mapping[str, object]) -> Iterator[str]:
    for section in SECTIONS:
        yield from ("", f"[{section}]")
        for key in KEYS.values():
            if key.name.startswith(f"{section}."):
                yield from _entry(key, values)


def _entry(key: ConfigKey, values: Mapping[str, object]) -> Iterator[str]:
    yield f"# {key.about.meaning.replace('`', '')} Wants {key.wanted}."
    shown = key.about.example if key.default is None else key.default
    mark, value = ("", values[key.name]) if key.name in values else ("#", shown)
    yield f"{mark}{key.name.partition('.')[2]} = {toml_value(value)}"


def _default(key: ConfigKey) -> str:
    if key.default is not None:
        return f"`{toml_value(key.default)}`"
    return f"the reader's, `{toml_value(key.about.example)}`" if key.name.startswith("limits.") else "none"


def toml_value(value: object) -> str:
    """Write one value as TOML: JSON, but for what TOML wants escaped and JSON does not."""
    plain = list(value) if isinstance(value, tuple) else value.value if isinstance(value, Enum) else value
    text = json.dumps(str(plain) if isinstance(plain, Path) else plain, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
