"""Words and paths as systemd and as cron read them.

For: whatever a unit or a crontab is filled in with. Refuses: to look at what they mean.
"""

import re
import shlex
from collections.abc import Iterable
from typing import Final

_PLAIN: Final = re.compile(r"[\w./:@+,=-]+", re.ASCII)


def unit_word(text: str) -> str:
    """One word of a unit's value (systemd.syntax): quoted where it must be, no specifier in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if _PLAIN.fullmatch(escaped) else f'"{escaped}"'


def unit_command(words: Iterable[str]) -> str:
    """A command line of a unit (systemd.service): no variable is put in for what looks like one."""
    program, *rest = words
    return " ".join((unit_word(program), *(unit_word(word.replace("$", "$$")) for word in rest)))


def cron_command(words: Iterable[str]) -> str:
    """A command of a crontab (crontab(5)): for the shell, and ``%`` is no line end."""
    return shlex.join(words).replace("%", "\\%")
