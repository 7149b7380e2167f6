"""What a service of systemd says of this machine: as whom it runs, what it may write to, what it can see.

For: filling the template in. Refuses: to open more than this place needs: a home directory or ``/tmp`` stays
out of sight unless something that is configured lies there.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Final

from smki_sync.cli.scheduler_units import Place
from smki_sync.cli.scheduling.quoting import unit_command, unit_word

_STATE: Final = Path("/var/lib")
_HOMES: Final = (Path("/home"), Path("/root"), Path("/run/user"))
"""What ``ProtectHome=`` hides (systemd.exec)."""
_TEMPORARY: Final = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - nothing is written there
"""What ``PrivateTmp=`` hides (systemd.exec)."""
_STATE_NAME: Final = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)
_AFTER: Final = """\
Wants=network-online.target
After=network-online.target nss-lookup.target time-sync.target
"""


class Scope(Enum):
    """Whose service manager runs it: the machine's, or a user's own."""

    SYSTEM = auto()
    USER = auto()


def service_facts(scope: Scope, place: Place, words: Sequence[str]) -> dict[str, str]:
    """What the template of a service is filled with that depends on the machine."""
    system = scope is Scope.SYSTEM
    return {
        "after": _AFTER if system else "",
        "command": unit_command(words),
        "user": f"User={unit_word(place.user)}\n" if system else "",
        "writable": "\n".join(_writable(scope, place)),
        "homes": "read-only" if _any_below(place, _HOMES) else "yes",
        "temporary": "no" if _any_below(place, _TEMPORARY) else "yes",
    }


def _writable(scope: Scope, place: Place) -> Iterator[str]:
    """Say what may be written; what systemd can make and hand over by itself is left to it."""
    states = [name for path in place.own if (name := state_name(path))] if scope is Scope.SYSTEM else []
    for name in states:
        yield f"StateDirectory={name}"
    if states:
        yield "StateDirectoryMode=0750"
    for path in (*place.own, *place.shared):
        if not (path in place.own and state_name(path) in states):
            yield f"ReadWritePaths={unit_word(str(path))}"


def state_name(path: Path) -> str | None:
    """Give the name by which systemd makes and owns a directory below ``/var/lib``, if it can."""
    if not path.is_relative_to(_STATE) or path == _STATE:
        return None
    name = str(path.relative_to(_STATE))
    return name if _STATE_NAME.fullmatch(name) else None


def _any_below(place: Place, tops: Sequence[Path]) -> bool:
    every = {*tops, *(top.resolve() for top in tops)}  # /home is a link on some machines
    return any(path.is_relative_to(top) for path in place.everything for top in every)
