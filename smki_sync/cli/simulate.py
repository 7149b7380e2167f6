"""The commands `simulate` and `demo`: a stand-in for the Repository, and the whole story on it."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from smki_sync.cli.arguments import parse_date
from smki_sync.cli.context import TODAY_VARIABLE, now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import print_text
from smki_sync.errors import InternalError, UsageError
from smki_sync.files import output_error
from smki_sync.mirror.queries import open_mirror
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.file_format import Shapes
from smki_sync.simulator.repository import Repository

if TYPE_CHECKING:
    from smki_sync.simulator.sftp_server import Service


Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The directory of the simulated repository.")]


def register_simulate(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help=__doc__)
    group.command("create")(create)
    group.command("advance")(advance)
    group.command("serve")(serve_command)
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


def serve_command(
    directory: Directory,
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="TCP port on loopback; 0 takes a free one.")
    ] = 0,
) -> None:
    """Serve a directory over SFTP on loopback, read-only, until Ctrl-C."""
    from smki_sync.simulator.sftp_server import serve as serve_directory  # noqa: PLC0415 - paramiko loads slowly

    try:
        with serve_directory(directory, port=port) as service:
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
        raise output_error(directory, exc) from exc


def _say_state(repository: Repository) -> None:
    files = sorted(path.name for path in repository.path.iterdir() if path.is_file())
    held = len(repository.in_use())
    print_text(
        f"{repository.path} stands at {repository.today}: {held:,} certificates In-Use, {len(files)} files"
    )
    for name in files:
        print_text(f"  {name}")


_FIRST_DAYS: Final = 10
_AWAY_DAYS: Final = 9
_ONE_DEVICE: Final = "SELECT eui FROM certificates WHERE kind = 'device' AND in_use ORDER BY eui LIMIT 1"
_BY_KIND: Final = "SELECT kind, count(*), sum(in_use) FROM certificates GROUP BY kind"
_IN_USE: Final = "SELECT der FROM certificates WHERE in_use"


def register_demo(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRunner:
    """Where the story plays."""

    console: Console
    repository: Repository
    mirror: Path
    service: "Service"

    def tell(self, text: str) -> None:
        """Say what happens next."""
        self.console.print(f"\n[bold cyan]▌[/] [bold]{text}[/]")

    def run(self, *words: str, expect: Exit = Exit.OK) -> None:
        """Run one command as a user would and show its exit code; anything unexpected ends the demo."""
        self.console.print(f"[green]$ smki-sync {shlex.join(words)}[/]", highlight=False, soft_wrap=True)
        done = subprocess.run(
            [sys.executable, "-m", "smki_sync", *words], env=self._environment(), check=False
        )
        style = "green" if done.returncode == Exit.OK else "yellow"
        self.console.print(f"[{style}]exit code {done.returncode}[/]")
        if done.returncode != expect:
            raise InternalError(f"The demo expected exit code {expect.value}, not {done.returncode}.")

    def _environment(self) -> Mapping[str, str]:
        colour = {"FORCE_COLOR": "1"} if self.console.is_terminal else {}
        return {
            **os.environ,
            **colour,
            "SMKI_SYNC_MIRROR": str(self.mirror),
            "SMKI_SYNC_SOURCE": self.service.url,
            "SMKI_SYNC_CONFIG": str(self.mirror.parent / "smki-sync.toml"),
            TODAY_VARIABLE: self.repository.today.isoformat(),
        }


def demo(
    *,
    devices: Annotated[int, typer.Option(min=10, help="Devices on the first day.")] = 500,
) -> None:
    """Show the main job: bootstrap, a daily delta, a gap beyond seven days, the full resync, a query."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that knows ASCII alone
    from smki_sync.simulator.sftp_server import serve as serve_directory  # noqa: PLC0415 - paramiko loads slowly

    console = Console(highlight=False)
    with TemporaryDirectory(prefix="smki-sync-demo-") as place:
        console.print("[bold]smki-sync[/]: a local mirror of the SMKI Repository, on a simulated one\n")
        console.print(f"Founding a repository with {devices} devices, {_FIRST_DAYS} days of life")
        repository = Repository.create(
            Path(place) / "repository",
            devices=devices,
            days=_FIRST_DAYS,
            start=now_here().date() - timedelta(days=_FIRST_DAYS + _AWAY_DAYS),
            seed=7,
        )
        with serve_directory(repository.path) as service:
            (Path(place) / "smki-sync.toml").write_text(
                "[repository]\n"
                f'identity_file = "{service.client_key}"\n'
                f'known_hosts = "{service.known_hosts}"\n'
            )
            console.print(f"It is served over SFTP at {service.url}; its host key is pinned.")
            _play(
                DemoRunner(
                    console=console, repository=repository, mirror=Path(place) / "mirror", service=service
                )
            )


def _play(stage: DemoRunner) -> None:
    stage.tell("The first morning. There is no mirror: the newest full is taken, then every later delta.")
    stage.run("sync")
    stage.repository.advance()
    stage.tell("The next morning. One delta is new.")
    stage.run("sync")
    stage.tell("Once more: nothing to do, and nothing is fetched.")
    stage.run("sync")
    stage.repository.advance(_AWAY_DAYS)
    stage.tell(
        f"Nobody runs it for {_AWAY_DAYS} days. Deltas stay on offer for seven: this gap cannot be closed."
    )
    stage.run("sync", "--dry-run", expect=Exit.ATTENTION)
    stage.tell("So the newest full is built aside, and takes over in one step.")
    stage.run("sync")
    stage.tell("Who is this device, and which of its certificates may be used?")
    stage.run("show", _device(stage))
    stage.tell("The mirror is a SQLite file that any tool reads. Does it equal the Repository?")
    _prove(stage)


def _device(stage: DemoRunner) -> str:
    with open_mirror(stage.mirror / "mirror.db") as db:
        return str(db.execute(_ONE_DEVICE).get)


def _prove(stage: DemoRunner) -> None:
    with open_mirror(stage.mirror / "mirror.db") as db:
        rows = db.execute(_BY_KIND).fetchall()
        held = {der for (der,) in db.execute(_IN_USE)}
    stage.console.print(f"[green]$ sqlite3 mirror.db '{_BY_KIND}'[/]", soft_wrap=True)
    table = Table("kind", "certificates", "In-Use")
    for row in rows:
        table.add_row(*map(str, row))
    stage.console.print(table)
    true = stage.repository.in_use()
    if held != true:
        raise InternalError("The mirror differs from the Repository.")
    stage.console.print(
        f"[bold green]{len(held):,} certificates In-Use in the mirror, {len(true):,} in the Repository,"
        " the same body for body.[/]"
    )
