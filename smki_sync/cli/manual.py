"""The manual page, made from the commands themselves.

For: packaging/man/smki-sync.1, which ``make generate`` writes. Refuses: to say what the help does not.
"""

from collections.abc import Iterator
from typing import Final

from smki_sync import __version__
from smki_sync.cli.docs import Leaf, leaves
from smki_sync.cli.exit_codes import Exit
from smki_sync.config.file import FILE_VARIABLE, SYSTEM_FILE
from smki_sync.config.loader import VARIABLES
from smki_sync.config.secrets import PASSPHRASE_VARIABLE, PASSWORD_VARIABLE

_LEADING: Final = ("'", ".")


def manual() -> str:
    """The page in roff, for man(1), section 1."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield '.\\" Made by `make generate` from the commands; not edited by hand.'
    yield f'.TH SMKI\\-SYNC 1 "" "smki\\-sync {_text(__version__)}" "User Commands"'
    yield from (".SH NAME", "smki\\-sync \\- a local mirror of the SMKI Repository")
    yield from (".SH SYNOPSIS", ".B smki\\-sync", ".I COMMAND", "[OPTION]...")
    yield ".SH DESCRIPTION"
    yield _text(
        "Over SFTP it takes the weekly full extract and the daily deltas, and keeps a local SQLite mirror."
    )
    yield _text("Run `smki-sync sync` once a day; it decides by itself what to do and says why.")
    yield ".SH COMMANDS"
    for leaf in leaves():
        yield from _command(leaf)
    yield from _tail()


def _command(leaf: Leaf) -> Iterator[str]:
    yield f".SS {_text(' '.join((leaf.name, *(one.value for one in leaf.arguments))))}"
    for number, paragraph in enumerate(leaf.help):
        if number:
            yield ".PP"
        yield _text(paragraph)
    for one in leaf.options:
        value = f" \\fI{_text(one.value)}\\fR" if one.value else ""
        yield from (".TP", f"\\fB{_text(', '.join(one.names))}\\fR{value}", _text(one.help))


def _tail() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code in Exit:
        yield from (".TP", f"\\fB{code.value}\\fR {code.name}", _text(code.means) + ".")
    yield ".SH ENVIRONMENT"
    never = "A secret; never an option."
    known = {
        **{name: f"Sets {key}." for name, key in VARIABLES.items()},
        FILE_VARIABLE: "The configuration file.",
    }
    for name, meaning in {
        **known,
        PASSWORD_VARIABLE: never,
        PASSPHRASE_VARIABLE: never,
    }.items():
        yield from (".TP", f"\\fB{_text(name)}\\fR", _text(meaning))
    yield ".SH FILES"
    places = "./smki-sync.toml, the user's configuration directory, then"
    yield _text(f"{places} {SYSTEM_FILE}.")


def _text(text: str) -> str:
    """Text that roff prints as it stands."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith(_LEADING) else plain
