"""``smki-sync demo``: the whole story in a terminal, in under a minute.

For: seeing what this program is for. Every command shown is run as it stands, as a process of its own,
against a simulated repository over SFTP on loopback. Refuses: to touch anything outside its temporary
directory.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from smki_sync.cli.context import TODAY_VARIABLE, now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.errors import SmkiSyncError
from smki_sync.mirror.queries import open_mirror
from smki_sync.simulator.repository import Repository
from smki_sync.simulator.sftp_server import Service, serve

_FIRST_DAYS: Final = 10
_AWAY_DAYS: Final = 9
_ONE_DEVICE: Final = "SELECT eui FROM certificates WHERE kind = 'device' AND in_use ORDER BY eui LIMIT 1"
_BY_KIND: Final = "SELECT kind, count(*), sum(in_use) FROM certificates GROUP BY kind"
_IN_USE: Final = "SELECT der FROM certificates WHERE in_use"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the story plays."""

    console: Console
    repository: Repository
    mirror: Path
    service: Service

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
            raise SmkiSyncError(f"the demo expected exit code {expect.value}", hint="Please report it.")

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
        with serve(repository.path) as service:
            (Path(place) / "smki-sync.toml").write_text(
                "[repository]\n"
                f'identity_file = "{service.client_key}"\n'
                f'known_hosts = "{service.known_hosts}"\n'
            )
            console.print(f"It is served over SFTP at {service.url}; its host key is pinned.")
            _play(
                Stage(console=console, repository=repository, mirror=Path(place) / "mirror", service=service)
            )


def _play(stage: Stage) -> None:
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


def _device(stage: Stage) -> str:
    with open_mirror(stage.mirror / "mirror.db") as db:
        return str(db.execute(_ONE_DEVICE).get)


def _prove(stage: Stage) -> None:
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
        raise SmkiSyncError("the mirror differs from the Repository", hint="Please report it.")
    stage.console.print(
        f"[bold green]{len(held):,} certificates In-Use in the mirror, {len(true):,} in the Repository,"
        " the same body for body.[/]"
    )
