"""The keys of the configuration as values, read off the annotations in :mod:`.settings`.

For: checking one value (:meth:`Key.convert`), finding a key's nearest neighbour, and making the
documentation. Refuses: to show a value in an error; it may be a secret in the wrong place.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import get_args, get_type_hints

from smki_sync.config.place import path_of
from smki_sync.config.settings import (
    UNBOUNDED,
    About,
    ArchiveSettings,
    HookSettings,
    LimitSettings,
    LogFormat,
    LogSettings,
    MetricsSettings,
    MirrorPaths,
    PolicySettings,
    Repository,
    RetrySettings,
    TrustSettings,
)
from smki_sync.model.door import VerifyPolicy
from smki_sync.model.drift import ReconcilePolicy
from smki_sync.policy import Outside, Weekday
from smki_sync.sources.algorithms import LegacyAlgorithm

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
    Outside: " or ".join(f'"{choice}"' for choice in Outside),
    LogFormat: " or ".join(f'"{choice}"' for choice in LogFormat),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One setting: ``name`` is ``section.key``; ``kind`` its type, without a ``None`` for no default."""

    name: str
    kind: object
    about: About
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


def _keys() -> Iterator[Key]:
    for section, cls in SECTIONS.items():
        hints = get_type_hints(cls, include_extras=True)
        for field in fields(cls):
            hint, about = get_args(hints[field.name])
            yield Key(name=f"{section}.{field.name}", kind=_bare(hint), about=about, default=field.default)


def _bare(hint: object) -> object:
    """Take ``None`` out of a union: it says that there is no default, and TOML cannot write it."""
    return next(arm for arm in get_args(hint) if arm is not NoneType) if isinstance(hint, UnionType) else hint


KEYS: Mapping[str, Key] = {key.name: key for key in _keys()}
"""Every key by its name, in the order of the documentation."""
