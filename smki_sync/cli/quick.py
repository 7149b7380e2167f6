"""A plain ``show``, read without typer, which takes longer to load than the answer takes.

For: a command that is asked all day, and by scripts in loops. Refuses: whatever is not plainly right;
help, mistakes and odd spellings are left to typer, which says what is wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from smki_sync.cli.certificate_view import Asked
from smki_sync.cli.certificate_view import answer as answer_to
from smki_sync.cli.exit_codes import Exit
from smki_sync.config.place import path_of
from smki_sync.model.certificate import Usage


def _usage(text: str) -> Usage:
    return Usage(text.upper())


OPTIONS: Final[Mapping[str, tuple[str, Callable[[str], object] | None]]] = {
    "--usage": ("usage", _usage),
    "--role": ("role", str),
    "--any-status": ("any_status", None),
    "--pem": ("pem", None),
    "--der": ("der", None),
    "--explain": ("explain", None),
    "--mirror": ("mirror", path_of),
    "--config": ("config", path_of),
    "--json": ("as_json", None),
}
"""Options by their spelling: the parameter, and how its value is read; ``None`` for a flag."""


def answer(words: Sequence[str]) -> Exit | None:
    """Answer ``show`` with these words; ``None`` where typer had better look at them."""
    asked = read(words)
    return None if asked is None else answer_to(asked)


def read(words: Sequence[str]) -> Asked | None:
    """What these words ask, if that is plain."""
    given: dict[str, Any] = {}  # each by the name of its parameter, of the type that it has there
    rest = iter(words)
    try:
        for word in rest:
            name, equals, value = word.partition("=")
            if not word.startswith("-"):
                _put(given, "identity", word)
                continue
            parameter, convert = OPTIONS[name]
            if convert is None and equals:
                return None
            _put(given, parameter, True if convert is None else convert(value if equals else next(rest)))
        return Asked(**given)
    except (KeyError, StopIteration, TypeError, ValueError):
        return None


def _put(given: dict[str, Any], parameter: str, value: object) -> None:
    """Take a value; given twice, it is not plain."""
    if parameter in given:
        raise ValueError(parameter)
    given[parameter] = value
