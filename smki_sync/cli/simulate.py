"""The commands `simulate` and `demo`, which work on a simulated Repository."""

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

from smki_sync.cli.arguments import add_command, examples_text, parse_date
from smki_sync.cli.commands import COMMANDS
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


RepositoryDirectory = Annotated[
    Path, typer.Argument(metavar="DIR", help="Directory of the simulated Repository.")
]


def register_simulate(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True)
    add_command(
        group,
        "create",
        create,
        examples=(
            "smki-sync simulate create repository",
            "smki-sync simulate create repository --devices 1000 --days 20 --seed 7",
        ),
    )
    add_command(
        group,
        "advance",
        advance,
        examples=(
            "smki-sync simulate advance repository",
            "smki-sync simulate advance repository --days 3 --fault late-delta",
        ),
    )
    add_command(
        group,
        "serve",
        serve,
        examples=("smki-sync simulate serve repository", "smki-sync simulate serve repository --port 2222"),
    )
    info = COMMANDS["simulate"]
    app.add_typer(
        group,
        name="simulate",
        help=f"{info.summary}\n\nIt has its own PKI and files, and real SFTP.",
        rich_help_panel=info.group,
        epilog=examples_text(
            ("smki-sync simulate create repository", "smki-sync simulate advance repository --days 7")
        ),
    )


def create(
    directory: RepositoryDirectory,
    *,
    devices: Annotated[
        int, typer.Option(min=0, help="Number of devices on the first day; each has two certificates.")
    ] = 100,
    days: Annotated[
        int, typer.Option(min=1, help="Number of days; a full extract is published every seventh day.")
    ] = 10,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="First day.",
            show_default="so that the last day is today",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Random seed; determines everything except keys and signatures.")
    ] = 0,
    shapes: Annotated[
        Shapes, typer.Option(help="Plain files, or every legal XML and gzip variant in turn.")
    ] = Shapes.PLAIN,
    full_lag_days: Annotated[
        int, typer.Option(min=0, max=2, help="Days over which the records of a full extract are spread.")
    ] = 0,
) -> None:
    """Create a simulated Repository and publish some days."""
    first = parse_date("--start", start) if start else now_here().date() - timedelta(days=days - 1)
    with _disk_errors(directory):
        repository = Repository.create(
            directory,
            devices=devices,
            days=days,
            start=first,
            seed=seed,
            shapes=shapes,
            full_lag_days=full_lag_days,
        )
    _print_state(repository)


def advance(
    directory: RepositoryDirectory,
    *,
    days: Annotated[int, typer.Option(min=1, help="Number of days to publish.")] = 1,
    fault: Annotated[
        list[Fault] | None,
        typer.Option(
            metavar="CODE",
            help=f"Fault to inject on each of these days; may be repeated: {', '.join(Fault)}.",
        ),
    ] = None,
) -> None:
    """Publish more days.

    Certificates change, and files are published and removed.
    """
    with _disk_errors(directory):
        repository = Repository.open(directory)
        repository.advance(days, faults=frozenset(fault or ()))
    _print_state(repository)


def serve(
    directory: RepositoryDirectory,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port on loopback; 0 = any free port.")] = 0,
) -> None:
    """Serve a directory over SFTP on loopback, read-only."""
    from smki_sync.simulator.sftp_server import serve as serve_directory  # noqa: PLC0415 - paramiko loads slowly

    try:
        with serve_directory(directory, port=port) as service:
            show = Console(stderr=True, highlight=False, soft_wrap=True).print
            show(f"Serving {directory} on {service.url} until Ctrl-C. In another terminal:", markup=False)
            show(
                f"  smki-sync sync --mirror MIRROR --source {service.url} "
                f"--identity-file {service.client_key} --known-hosts {service.known_hosts}",
                markup=False,
            )
            signal.pause()
    except OSError as exc:
        raise UsageError(
            f"Cannot serve {directory} on port {port}: {exc.strerror or exc}.", hint="Choose another port."
        ) from exc


@contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    """Translate errors of the file system."""
    try:
        yield
    except OSError as exc:
        raise output_error(directory, exc) from exc


def _print_state(repository: Repository) -> None:
    files = sorted(path.name for path in repository.path.iterdir() if path.is_file())
    in_use = len(repository.in_use())
    print_text(
        f"{repository.path} is at {repository.today}: {in_use:,} certificates In-Use, {len(files)} files"
    )
    for name in files:
        print_text(f"  {name}")


_FIRST_DAYS: Final = 10
_GAP_DAYS: Final = 8
_ONE_DEVICE: Final = "SELECT eui FROM certificates WHERE kind = 'device' AND in_use ORDER BY eui LIMIT 1"
_BY_KIND: Final = "SELECT kind, count(*), sum(in_use) FROM certificates GROUP BY kind"
_IN_USE: Final = "SELECT der FROM certificates WHERE in_use"


def register_demo(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, "demo", demo, examples=("smki-sync demo", "smki-sync demo --devices 2000"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRunner:
    """Runs the commands of the demo."""

    console: Console
    repository: Repository
    mirror: Path
    service: "Service"

    def explain(self, text: str) -> None:
        """Print what happens next."""
        self.console.print(f"\n[bold cyan]▌[/] [bold]{text}[/]")

    def run(self, *words: str, expect: Exit = Exit.OK) -> None:
        """Run one command and print its exit code; raises :class:`InternalError` for an unexpected code."""
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
    devices: Annotated[int, typer.Option(min=10, help="Number of devices on the first day.")] = 500,
) -> None:
    """Show the main features on a simulated Repository.

    The first load, a daily delta, a gap of more than seven days, a full resync and a query. Takes less than a
    minute, and removes its files.
    """
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # for an ASCII terminal
    from smki_sync.simulator.sftp_server import serve as serve_directory  # noqa: PLC0415 - paramiko loads slowly

    console = Console(highlight=False)
    with TemporaryDirectory(prefix="smki-sync-demo-") as place:
        console.print("[bold]smki-sync[/]: a local mirror of the SMKI Repository (simulated here)\n")
        console.print(f"Creating a Repository with {devices} devices and {_FIRST_DAYS} days.")
        repository = Repository.create(
            Path(place) / "repository",
            devices=devices,
            days=_FIRST_DAYS,
            start=now_here().date() - timedelta(days=_FIRST_DAYS + _GAP_DAYS),
            seed=7,
        )
        with serve_directory(repository.path) as service:
            (Path(place) / "smki-sync.toml").write_text(
                "[repository]\n"
                f'identity_file = "{service.client_key}"\n'
                f'known_hosts = "{service.known_hosts}"\n'
            )
            console.print(f"Serving it over SFTP at {service.url}. The host key is pinned.")
            _run_demo(
                DemoRunner(
                    console=console, repository=repository, mirror=Path(place) / "mirror", service=service
                )
            )


def _run_demo(demo: DemoRunner) -> None:
    demo.explain("Day 1: there is no mirror. Sync loads the newest full extract, then every later delta.")
    demo.run("sync")
    demo.repository.advance()
    demo.explain("Day 2: one new delta.")
    demo.run("sync")
    demo.explain("Sync again: there is nothing to do, and nothing is downloaded.")
    demo.run("sync")
    demo.repository.advance(_GAP_DAYS)
    demo.explain(
        f"No sync for {_GAP_DAYS} days. The Repository keeps deltas for seven days, so some are missing now."
    )
    demo.run("sync", "--dry-run", expect=Exit.ATTENTION)
    demo.explain(
        "Sync builds a new mirror from the newest full extract and replaces the old one in one step."
    )
    demo.run("sync")
    demo.explain("Which certificates of this device may be used?")
    demo.run("show", _first_device(demo))
    demo.explain("The mirror is a SQLite file that any tool can read. Is it equal to the Repository?")
    _compare(demo)


def _first_device(demo: DemoRunner) -> str:
    with open_mirror(demo.mirror / "mirror.db") as db:
        return str(db.execute(_ONE_DEVICE).get)


def _compare(demo: DemoRunner) -> None:
    with open_mirror(demo.mirror / "mirror.db") as db:
        rows = db.execute(_BY_KIND).fetchall()
        mirrored = {der for (der,) in db.execute(_IN_USE)}
    demo.console.print(f"[green]$ sqlite3 mirror.db '{_BY_KIND}'[/]", soft_wrap=True)
    table = Table("kind", "certificates", "In-Use")
    for row in rows:
        table.add_row(*map(str, row))
    demo.console.print(table)
    published = demo.repository.in_use()
    if mirrored != published:
        raise InternalError("The mirror differs from the Repository.")
    demo.console.print(
        f"[bold green]{len(mirrored):,} certificates In-Use in the mirror, {len(published):,} in the"
        " Repository. All bodies are equal.[/]"
    )
