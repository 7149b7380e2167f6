"""``smki-sync simulate``: a stand-in for the Repository, for rehearsals and tests.

For: trying everything without a DCC gateway. Refuses: to serve anything but loopback.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from smki_sync.cli.arguments import parse_date
from smki_sync.cli.context import now_here
from smki_sync.cli.output import say
from smki_sync.errors import UsageError
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.repository import Repository
from smki_sync.simulator.shapes import Shapes

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of the simulated repository.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help=__doc__)
    group.command("create")(create)
    group.command("advance")(advance)
    group.command("serve")(serve)
    app.add_typer(group, name="simulate", help="A stand-in for the Repository, over real SFTP.")


def create(
    directory: Directory,
    *,
    devices: Annotated[
        int, typer.Option(min=0, help="Devices on the first day; each has two certificates.")
    ] = 100,
    days: Annotated[
        int, typer.Option(min=1, help="Days of life; a full on the first and every seventh.")
    ] = 10,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="The first day.",
            show_default="so that the last is today",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Everything but keys and signatures follows from it.")] = 0,
    shapes: Annotated[
        Shapes, typer.Option(help="Plain files, or every XML and gz shape in turn.")
    ] = Shapes.PLAIN,
    full_lag_days: Annotated[
        int, typer.Option(min=0, max=2, help="How far a full's records may lie apart in time, in days.")
    ] = 0,
) -> None:
    """Found a repository with a PKI of its own and let it run for some days."""
    first = parse_date("--start", start) if start else now_here().date() - timedelta(days=days - 1)
    with _touched(directory):
        repository = Repository.create(
            directory,
            devices=devices,
            days=days,
            start=first,
            seed=seed,
            shapes=shapes,
            full_lag_days=full_lag_days,
        )
    _say_state(repository)


def advance(
    directory: Directory,
    *,
    days: Annotated[int, typer.Option(min=1, help="How many days to let happen.")] = 1,
    fault: Annotated[
        list[Fault] | None,
        typer.Option(
            metavar="CODE",
            help=f"What goes wrong on each of these days; may be repeated: {', '.join(Fault)}.",
        ),
    ] = None,
) -> None:
    """Let days happen: certificates come and go, files are published and removed."""
    with _touched(directory):
        repository = Repository.open(directory)
        repository.advance(days, faults=frozenset(fault or ()))
    _say_state(repository)


def serve(
    directory: Directory,
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="TCP port on loopback; 0 takes a free one.")
    ] = 0,
) -> None:
    """Serve a directory over SFTP on loopback, read-only, until Ctrl-C."""
    from smki_sync.simulator.sftp_server import serve as open_door  # noqa: PLC0415 - paramiko takes long to load

    try:
        with open_door(directory, port=port) as service:
            say = Console(stderr=True, highlight=False, soft_wrap=True).print
            say(f"Serving {directory} on {service.url} until Ctrl-C. In another terminal:", markup=False)
            say(
                f"  smki-sync sync --mirror MIRROR --source {service.url} "
                f"--identity-file {service.client_key} --known-hosts {service.known_hosts}",
                markup=False,
            )
            signal.pause()
    except OSError as exc:
        raise UsageError(f"cannot serve {directory} on port {port}: {exc.strerror or exc}") from exc


@contextmanager
def _touched(directory: Path) -> Iterator[None]:
    """What the disk refuses is no defect of ours."""
    try:
        yield
    except OSError as exc:
        raise UsageError(
            f"the simulated repository in {directory} cannot be written: {exc.strerror}",
            hint="Name a place in a directory that this user may write to, with room in it.",
        ) from exc


def _say_state(repository: Repository) -> None:
    files = sorted(path.name for path in repository.path.iterdir() if path.is_file())
    held = len(repository.in_use())
    say(f"{repository.path} stands at {repository.today}: {held:,} certificates In-Use, {len(files)} files")
    for name in files:
        say(f"  {name}")
