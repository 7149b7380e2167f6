"""Typer application, usage errors."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from smki_sync import __version__
from smki_sync.cli import COMMANDS, fail, interrupted
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import abandon_stdout, print_text
from smki_sync.errors import UsageError

_HELP: Final = """A local mirror of the SMKI Repository: weekly fulls, daily deltas, no gap unnoticed.

Run `smki-sync demo` to see it work, and `smki-sync sync` once a day.

Exit codes: 0 done and current, 3 look at the report, 4 try again later; all in docs/codes.md.
"""


def run(words: Sequence[str]) -> int:
    """Run the command that ``words`` name; its exit code. Raises what the command raises."""
    try:
        command = _with_flowing_help(typer.main.get_command(build(words)))
        result = command(list(words), prog_name="smki-sync", standalone_mode=False)
    except typer.TyperException as error:
        return _misused(words, error)
    except OSError as error:
        if words and "--help" not in words:
            raise
        abandon_stdout(error)  # the library has written the help
        return Exit.OK
    except typer.Abort:
        return interrupted(words)
    if result == Exit.INTERRUPTED:  # how typer hands a KeyboardInterrupt on
        return interrupted(words)
    return int(result or 0)


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The application with the one command that ``words`` name, or with all of them (for help)."""
    app = typer.Typer(help=_HELP, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_common)
    named = [words[0]] if words and words[0] in COMMANDS else COMMANDS
    for name in named:
        getattr(importlib.import_module(COMMANDS[name]), f"register_{name}")(app)
    return app


def _with_flowing_help(command: Any) -> Any:  # noqa: ANN401 - typer's own click has no public types
    """The command, its help in paragraphs that flow, and no type shown for a flag, which takes no value."""
    command.help = "\n\n".join(" ".join(text.split()) for text in (command.help or "").split("\n\n"))
    for parameter in command.get_params(typer.Context(command)):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    for below in getattr(command, "commands", {}).values():
        _with_flowing_help(below)
    return command


def _say_version(wanted: bool) -> None:
    if wanted:
        from smki_sync.mirror.schema import SCHEMA_VERSION  # noqa: PLC0415 - no other command needs it here

        print_text(f"smki-sync {__version__}, schema {SCHEMA_VERSION} of the mirror")
        raise typer.Exit


def _common(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say the version and exit.", is_eager=True, callback=_say_version),
    ] = False,
) -> None:
    """Options before the command."""


def _misused(words: Sequence[str], error: typer.TyperException) -> int:
    """The command line is wrong; where it was empty, the help that was shown says all."""
    misuse = misuse_of(error)
    return fail(words, misuse) if misuse else Exit.USAGE


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
