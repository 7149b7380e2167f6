"""Where the mirror is, and nothing else.

For: commands that look things up all day. They need the mirror's directory alone; the table of settings, by
which a configuration is checked, takes half as long to load as the whole answer. Refuses: to check any other
setting. What is wrong with this one, :mod:`.load` says.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from smki_sync.config.file import file_of, user_place

MIRROR_VARIABLE: Final = "SMKI_SYNC_MIRROR"


def mirror_here(*, mirror: Path | None, config: Path | None) -> Path:
    """The mirror's directory for this process: option before environment before file.

    Raises ``ConfigError`` where none is given, and where a file cannot be read or is no TOML.
    """
    cwd = Path.cwd()
    file = file_of(config, os.environ, cwd=cwd, user_dir=user_place())
    section = file.tree.get("mirror") if file else None
    written = section.get("path") if isinstance(section, dict) else None
    with suppress(ValueError, RuntimeError):  # whoever loads all of it says what is wrong
        if given := mirror or os.environ.get(MIRROR_VARIABLE):
            return _place(str(given), cwd)
        if file and written is not None:
            return _place(written, file.path.parent)
    from smki_sync.config.loader import load_here  # noqa: PLC0415 - see above

    return load_here({"mirror": mirror, "config": config}).need_mirror()


def path_of(value: object) -> Path:
    """Make a path of a text; an empty one would mean the current directory. Raises ``ValueError``."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    value.encode()  # SQLite and JSON want UTF-8; UnicodeEncodeError is a ValueError
    return Path(value)


def _place(value: object, base: Path) -> Path:
    return base / path_of(value).expanduser()
