"""The configuration: options, environment and one TOML file as one frozen, checked value.

For: commands, which call :func:`load_here` with their options and hand the parts on::

    config = load_here({"mirror": mirror, "source": source, "config": file})
    source = open_source(config.need_url(), login=..., limits=config.limits.of_source(), hear=...)

Refuses: to open a source or a mirror, to show a secret, and to import anything that takes long.
"""

from smki_sync.config.load import load, load_here
from smki_sync.config.secrets import Secrets
from smki_sync.config.settings import (
    LimitSettings,
    LogFormat,
    LogSettings,
    MirrorPaths,
    PolicySettings,
    Repository,
    TrustSettings,
)
from smki_sync.config.whole import Config

__all__ = [
    "Config",
    "LimitSettings",
    "LogFormat",
    "LogSettings",
    "MirrorPaths",
    "PolicySettings",
    "Repository",
    "Secrets",
    "TrustSettings",
    "load",
    "load_here",
]
