"""A machine with places for a configuration file and an environment of its own."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from smki_sync.config.loader import Config, load
from smki_sync.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Site:
    """The directories of a made-up machine. ``user``: the user's configuration directory."""

    root: Path

    @property
    def cwd(self) -> Path:
        return self.root / "cwd"

    @property
    def user(self) -> Path:
        return self.root / "user"

    @property
    def system(self) -> Path:
        return self.root / "etc" / "smki-sync.toml"

    @property
    def file(self) -> Path:
        """The user's configuration file."""
        return self.user / "smki-sync.toml"

    def write(self, text: str, *, at: Path | None = None) -> Path:
        """Write a configuration file that only its owner can change."""
        path = at or self.file
        path.write_text(text, "utf-8")
        path.chmod(0o644)
        return path

    def load(self, options: Mapping[str, object] | None = None, **environ: str) -> Config:
        return load(options or {}, environ, cwd=self.cwd, user_dir=self.user, system_file=self.system)

    def error(self, options: Mapping[str, object] | None = None, **environ: str) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self.load(options, **environ)
        return caught.value


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    for directory in (made.cwd, made.user, made.system.parent):
        directory.mkdir(mode=0o755)
    return made
