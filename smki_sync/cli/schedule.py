"""``smki-sync schedule``: what makes a machine run it by itself, for the places that a configuration names.

For: systemd, a user's own systemd, and cron. Refuses: to overwrite without a yes, to enable anything.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from smki_sync.cli import options
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import say, say_json
from smki_sync.cli.scheduling import (
    DRILL,
    SYNC,
    Schedule,
    Scheduler,
    State,
    may_replace,
    place_of,
    prepare,
    schedule_of,
    write,
)
from smki_sync.config.file import FILE_VARIABLE, user_place
from smki_sync.config.loader import load
from smki_sync.config.whole import Config
from smki_sync.text import block, visible

Into = Annotated[
    Path | None,
    typer.Option(
        "--into", metavar="DIR", help="Where units or the cron file go, instead of their own place."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("schedule")(schedule)


def schedule(
    scheduler: Annotated[
        Scheduler,
        typer.Argument(
            metavar="SCHEDULER",
            help="systemd (the machine's), systemd-user (your own), or cron (/etc/cron.d).",
        ),
    ] = Scheduler.SYSTEMD,
    *,
    drill: Annotated[
        bool, typer.Option("--drill", help="Also the recovery drill, on the first Saturday of a month.")
    ] = False,
    into: Into = None,
    show: Annotated[bool, typer.Option("--print", help="Print the files; write nothing.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that differ, without asking.")
    ] = False,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Write what runs the sync once a day: a service and a timer, or a line for cron.

    The paths are those of the configuration file and of this installation. The last lines say which
    commands are left to do; nothing is enabled.
    """
    place = place_of(_alone(config), user=scheduler.user)
    made = schedule_of(scheduler, place, (SYNC, DRILL) if drill else (SYNC,), into=into)
    if not show:
        prepare(made, agree=lambda path: force or may_replace(path))
        write(made)
    if as_json:
        say_json(document(made))
    else:
        say("\n".join(_printed(made) if show else lines(made)))
    raise typer.Exit(Exit.OK)


def _alone(config: Path | None) -> Config:
    """The configuration as what runs by itself will see it: no options, and nothing from this environment."""
    environ = {FILE_VARIABLE: os.environ.get(FILE_VARIABLE, "")}
    return load({"config": config}, environ, cwd=Path.cwd(), user_dir=user_place())


def document(made: Schedule) -> Json:
    """The document of ``schedule --json``; ``state``: what was found before."""
    return {
        "schema": schema_of("schedule"),
        "scheduler": made.scheduler.value,
        "user": made.place.user,
        "files": [{"path": str(one.path), "state": one.state.value, "text": one.text} for one in made.made],
        "steps": list(made.steps),
        "hindrances": list(made.hindrances),
    }


def lines(made: Schedule) -> Iterator[str]:
    """What was done, and what is left to do, for people."""
    for one in made.made:
        word = "There:  " if one.state is State.UNCHANGED else "Written:"
        yield f"{word} {visible(str(one.path))}"
    for number, step in enumerate(made.steps):
        yield f"{'' if number else 'Then:':<8} {step}"
    for hindrance in made.hindrances:
        yield from block(f"LOOK:    {hindrance}", hanging=9)


def _printed(made: Schedule) -> Iterator[str]:
    for one in made.made:
        yield from (f"# {visible(str(one.path))}", one.text)
