"""Typer application: builds the commands, runs one, and explains usage errors."""

import importlib
import os
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Annotated, Any, Final

import typer

from smki_sync.cli import fail, interrupted, version_text
from smki_sync.cli.commands import COMMANDS, REPLACED
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import abandon_stdout, print_text
from smki_sync.errors import UsageError

PROGRAM: Final = "smki-sync"
_HELP: Final = """Keep a local SQLite mirror of the SMKI Repository up to date.

Run `smki-sync demo` to see it work. Run `smki-sync init` to set it up, then `smki-sync sync` once a day.

Exit codes: 0 = done, 3 = read the report, 4 = try again later. See docs/codes.md for all codes.
"""
_HELP_OPTIONS: Final = ["-h", "--help"]


def run(words: Sequence[str]) -> int:
    """Run the command that ``words`` name; return its exit code. Raises what the command raises."""
    _check_replaced(words)
    completing = _words_to_complete(os.environ)
    try:
        command = _with_flowing_help(typer.main.get_command(_application(completing or words)))
        result = command(list(words), prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        return _misused(words, error)
    except OSError as error:
        if words and not {*_HELP_OPTIONS} & {*words}:
            raise
        abandon_stdout(error)  # typer was writing the help
        return Exit.OK
    except SystemExit as ended:
        return _closed_pipe(words, ended)
    except typer.Abort:
        return interrupted(words)
    return _exit_code(words, int(result or 0))


def _exit_code(words: Sequence[str], result: int) -> int:
    """Return our exit code for a result of typer."""
    if result == Exit.INTERRUPTED:  # typer returns this for a KeyboardInterrupt
        return interrupted(words)
    if result == 1 and {"--show-completion", "--install-completion"} & {*words}:
        return Exit.USAGE  # typer does not know this shell, and printed a message
    return result


def _closed_pipe(words: Sequence[str], ended: SystemExit) -> int:
    """Return the exit code after typer ended the program because of a closed pipe.

    Raises ``ended`` if it ended for another reason: completion.
    """
    cause = ended.__context__
    if not isinstance(cause, BrokenPipeError):
        raise ended
    if not words:
        return Exit.USAGE
    return Exit.OK if {*_HELP_OPTIONS} & {*words} else fail(words, cause)


def _check_replaced(words: Sequence[str]) -> None:
    """Raise :class:`UsageError` for a command of an earlier version."""
    if words and words[0] in REPLACED:
        raise UsageError(f"`{words[0]}` is not a command any more.", hint=f"Run `{REPLACED[words[0]]}`.")


def build(words: Sequence[str] = ()) -> typer.Typer:
    """Return the application with the command that ``words`` name first, or with all commands."""
    app = _empty_application()
    for name in words[:1] if words and words[0] in COMMANDS else COMMANDS:
        getattr(importlib.import_module(COMMANDS[name].module), f"register_{name}")(app)
    return app


def _application(words: Sequence[str]) -> typer.Typer:
    """Return what ``words`` need: one command, or names and summaries of all for the overview."""
    if {*words} & {*COMMANDS}:
        return build(words)
    app = _empty_application()
    for name, info in COMMANDS.items():
        app.command(name, help=info.summary, rich_help_panel=info.group)(lambda: None)
    return app


def _empty_application() -> typer.Typer:
    app = typer.Typer(help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback(context_settings={"help_option_names": _HELP_OPTIONS})(_root_options)
    return app


def _words_to_complete(environ: MutableMapping[str, str]) -> list[str]:
    """Return the words of the line that a shell wants completed; empty if none does.

    Bash splits `--option=value` into three words. typer expects two, so the equals sign is removed.
    """
    if "_SMKI_SYNC_COMPLETE" not in environ:
        return []
    line = environ.get("COMP_WORDS")
    if line is None:
        return environ.get("_TYPER_COMPLETE_ARGS", "").split()[1:]
    words, position = line.split("\n"), int(environ.get("COMP_CWORD", "0"))
    kept = [word for number, word in enumerate(words) if word != "=" or number == position]
    if words[position : position + 1] == ["="]:
        kept[kept.index("=")] = ""
    environ["COMP_WORDS"] = "\n".join(kept)
    environ["COMP_CWORD"] = str(position - words[:position].count("="))
    return kept[1:]


def _with_flowing_help(command: Any) -> Any:  # noqa: ANN401 - typer's own click has no public types
    """Return the command with paragraphs that wrap, and without a type behind a flag."""
    command.help = "\n\n".join(" ".join(text.split()) for text in (command.help or "").split("\n\n"))
    context = typer.Context(command, help_option_names=_HELP_OPTIONS)
    for parameter in command.get_params(context):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    for below in getattr(command, "commands", {}).values():
        _with_flowing_help(below)
    return command


def _print_version(wanted: bool) -> None:
    if wanted:
        print_text(version_text())
        raise typer.Exit


def _root_options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Options before the command."""


def _misused(words: Sequence[str], error: typer.TyperException) -> int:
    """Report a usage error; without any words, typer has printed the help already."""
    misuse = usage_error(error)
    return fail(words, misuse) if misuse else Exit.USAGE


_PROBLEMS: Final = {
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is too large",
    "float_parsing": "is not a number",
}
"""What is wrong with a value, by the kind of finding."""


def usage_error(error: typer.TyperException) -> UsageError | None:
    """Return what is wrong; ``None`` if typer printed the help because nothing was given."""
    found = _finding(error)
    if found:
        name = getattr(getattr(error, "param", None), "opts", [""])[0]
        return UsageError(f"{name}: {_problem(found)}.", hint=_hint(error))
    format_message = getattr(error, "format_message", None)
    message = " ".join((format_message() if format_message else str(error)).split())  # one choice per line
    return UsageError(message, hint=_hint(error)) if message else None


def _hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else PROGRAM
    if hasattr(error, "option_name") and hasattr(getattr(context, "command", None), "commands"):
        return f"Write options after the command: `{path} COMMAND {error.option_name}`."
    return f"Run `{path} --help`."


def _finding(error: typer.TyperException) -> Mapping[str, object] | None:
    """Return the first finding of the validation library, if one is the cause of the error."""
    list_errors = getattr(error.__cause__, "errors", None)
    findings: Sequence[Mapping[str, object]] = list_errors() if list_errors else ()
    return findings[0] if findings else None


def _problem(found: Mapping[str, object]) -> str:
    value = f"{found.get('input')!r:.40}"
    match found:
        case {"type": str(kind)} if kind in _PROBLEMS:
            return f"{value} {_PROBLEMS[kind]}"
        case {"ctx": {"ge": least}}:
            return f"{value} is less than {least}"
        case {"ctx": {"le": most}}:
            return f"{value} is more than {most}"
        case _:
            return str(found.get("msg")).removeprefix("Value error, ").removesuffix(".")
