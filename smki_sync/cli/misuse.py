"""What is wrong with a command line, in this program's words.

For: the one place that runs the commands. typer lets another library judge values, and hands on its sentences
("Value error, …", "Input should be …"). Refuses: to judge.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import typer

from smki_sync.errors import UsageError

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
        return UsageError(f"{option}: {_words(found)}", hint=_hint(error))
    speak = getattr(error, "format_message", None)
    message = " ".join((speak() if speak else str(error)).split())  # choices come one a line
    return UsageError(message, hint=_hint(error)) if message else None


def _hint(error: typer.TyperException) -> str:
    """What helps with the command that was meant; of options before it, that they stand after it."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "smki-sync"
    if hasattr(error, "option_name") and hasattr(getattr(context, "command", None), "commands"):
        return f"Options stand after the command: `{path} COMMAND {error.option_name}`."
    return f"`{path} --help` shows what it takes."


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
