"""What is wrong with a command line, in this program's words.

For: the one place that runs the commands. typer lets another library judge values, and hands on its sentences
("Value error, …", "Input should be …"). Refuses: to judge.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import typer

from smki_sync.errors import UsageError

_HINT: Final = "`smki-sync COMMAND --help` shows what it takes."
_WHAT: Final = {
    "int_parsing": "is no whole number",
    "int_parsing_size": "is too large a number",
    "float_parsing": "is no number",
}
"""What a value is not, by the kind of finding."""


def misuse_of(error: typer.TyperException) -> UsageError | None:
    """Say what is wrong; ``None`` where nothing was given, and the help that was shown says all."""
    found = _finding(error)
    if found:
        option = getattr(getattr(error, "param", None), "opts", [""])[0]
        return UsageError(f"{option}: {_words(found)}", hint=_HINT)
    speak = getattr(error, "format_message", None)
    message = " ".join((speak() if speak else str(error)).split())  # choices come one a line
    return UsageError(message, hint=_HINT) if message else None


def _finding(error: typer.TyperException) -> Mapping[str, object] | None:
    """The first finding of the library that judges values, if it is behind the error."""
    tell = getattr(error.__cause__, "errors", None)
    findings: Sequence[Mapping[str, object]] = tell() if tell else ()
    return findings[0] if findings else None


def _words(found: Mapping[str, object]) -> str:
    value = f"{found.get('input')!r:.40}"
    match found:
        case {"type": str(kind)} if kind in _WHAT:
            return f"{value} {_WHAT[kind]}"
        case {"ctx": {"ge": least}}:
            return f"{value} is less than {least}"
        case {"ctx": {"le": most}}:
            return f"{value} is more than {most}"
        case _:
            return str(found.get("msg")).removeprefix("Value error, ")
