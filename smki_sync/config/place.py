"""Where the configuration file may lie, and where the mirror is.

For: commands that look things up all day, and need nothing but the mirror's directory. Where no file stands
in any of its places there is no setting to check, and the table of settings (a fifth of the time that an
answer takes) is not loaded. Refuses: to look past a file; where there is one, all of it is checked.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import platformdirs

FILE_NAME: Final = "smki-sync.toml"
SYSTEM_FILE: Final = Path("/etc/smki-sync") / FILE_NAME
FILE_VARIABLE: Final = "SMKI_SYNC_CONFIG"
MIRROR_VARIABLE: Final = "SMKI_SYNC_MIRROR"


def file_places(cwd: Path, user_dir: Path, system_file: Path = SYSTEM_FILE) -> tuple[Path, ...]:
    """Where a configuration file is looked for, the first place first."""
    return cwd / FILE_NAME, user_dir / FILE_NAME, system_file


def user_place() -> Path:
    """The directory of this user's configuration."""
    return platformdirs.user_config_path("smki-sync")


def is_there(path: Path) -> bool:
    """Whether this user sees a file. One in a directory that is closed to this user is for others."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def path_of(value: object) -> Path:
    """Make a path of a text; an empty one would mean the current directory. Raises ``ValueError``."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError
    value.encode()  # SQLite and JSON want UTF-8; UnicodeEncodeError is a ValueError
    return Path(value)


def mirror_here(*, mirror: Path | None, config: Path | None) -> Path:
    """The mirror's directory for this process: option before environment before file.

    Raises ``ConfigError`` where none is given, and for every fault of a file that is there.
    """
    cwd = Path.cwd()
    named = config or os.environ.get(FILE_VARIABLE)
    given = mirror or os.environ.get(MIRROR_VARIABLE)
    if given and not named and not any(map(is_there, file_places(cwd, user_place()))):
        with suppress(ValueError, RuntimeError):  # whoever loads everything says what is wrong with it
            return cwd / path_of(str(given)).expanduser()
    from smki_sync.config.load import load_here  # noqa: PLC0415 - see above

    return load_here({"mirror": mirror, "config": config}).need_mirror()
