"""``smki-sync report``: the state of the mirror and how it got there, as one page.

For: a picture for people, made by hand or after each sync. Refuses: the network, the lock.
"""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync.cli import options
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.output import say
from smki_sync.cli.outputs import check_place, outside_mirror
from smki_sync.cli.status import EXITS, hours_of
from smki_sync.cli.trusted import trusted_of
from smki_sync.errors import UsageError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.report.data import gather
from smki_sync.report.page import page
from smki_sync.text import visible

_YEAR: Final = 366
_STDOUT: Final = {"-", "/dev/stdout"}  # the second leads to whatever stdout is: never to be replaced


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", metavar="FILE", help="Where the page goes, in place of what is there; - is stdout."
        ),
    ],
    days: Annotated[int, typer.Option(min=1, max=3660, help="How far back the page looks.")] = _YEAR,
    max_age: options.MaxAge = None,
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
) -> None:
    """Write one HTML page: state, changes, lag, runs, quarantine; needs no network to be read.

    The page is written in each case; exit codes are those of `status`: 0 current, 3 empty or stale,
    7 damaged.
    """
    settings = configure(mirror=mirror, config=config)
    directory = MirrorDirectory(settings.need_mirror())
    if str(output) not in _STDOUT:
        check_place(outside_mirror(output, settings))
    facts = gather(
        directory,
        now=now_here(),
        max_age=hours_of(max_age, settings),
        days=days,
        policy=settings.policy.rules(),
        trusted=trusted_of(settings, directory),
    )
    if str(output) in _STDOUT:
        say(page(facts), end="")
    else:
        _write(output, page(facts))
        say(f"{visible(str(output))}: the mirror is {facts.finding.state.value}")
    raise typer.Exit(EXITS[facts.finding.state])


def _write(output: Path, text: str) -> None:
    """Write aside and rename: whoever reads the page sees the old one or the new one, whole."""
    path = output.resolve()
    if path.exists() and not path.is_file():
        raise UsageError(
            f"{output} is no file that a page could replace", hint="Name a file, or - for stdout."
        )
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as exc:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise UsageError(
            f"{output} cannot be written: {exc.strerror or exc}",
            hint="Name a file in a directory that exists, and that this user may write to.",
        ) from exc
