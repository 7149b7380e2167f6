"""Worlds for the commands of the pages: each is created once and copied for every page that names it.

A page names its world with ``<!-- world: NAME -->``. ``/var/lib/smki-sync`` of a page is below a temporary
directory (:mod:`documentation.prompt`).
"""

import os
import re
import shutil
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from support.cli import Shell
from support.markdown import ROOT

from smki_sync.simulator.repository import Repository

START, TODAY = date(2026, 11, 2), date(2026, 11, 12)
"""First day of every repository, and the date on which the commands run."""

SAMPLE = ROOT / "sample_data"
COMPANIONS = shutil.ignore_patterns("*ARL*", "*CRL*", "*ANCHOR*")


def nothing(root: Path) -> None:
    """An empty directory."""
    (root / "home").mkdir(parents=True)


def checkout(root: Path) -> None:
    """The sample data in its place in the checkout."""
    shutil.copytree(SAMPLE, root / "home" / "sample_data")


def sample(root: Path) -> None:
    """The sample data without lists and slots, and a mirror of it: first full, then the rest a week later."""
    shutil.copytree(SAMPLE, root / "source", ignore=COMPANIONS)
    _mirrored(root)


def listed(root: Path) -> None:
    """The same, with revocation lists and anchor slots."""
    shutil.copytree(SAMPLE, root / "source")
    _mirrored(root)


def _mirrored(root: Path) -> None:
    home = root / "home"
    repository = home / "repository"
    repository.mkdir(parents=True)
    _configure(home)
    shutil.copy(min((root / "source").glob("*FULL*")), repository)
    _age(repository)
    _sync(home, START, code=3)  # unproven: the deltas of the first full are not in the sample
    shutil.copytree(root / "source", repository, dirs_exist_ok=True)
    (repository / "README.md").unlink()
    shutil.rmtree(root / "source")
    _age(repository)
    _sync(home, TODAY)
    _around(root)


def _age(repository: Path) -> None:
    """Set the time of each file to late on the day in its name."""
    for file in repository.iterdir():
        named = re.search(r"\d{4}-\d\d-\d\d", file.name)
        day = date.fromisoformat(named[0]) if named else TODAY - timedelta(days=1)
        at = datetime.combine(day, time(23, 59), tzinfo=UTC).timestamp()
        os.utime(file, (at, at))


def week(root: Path) -> None:
    """A simulated repository that can advance, and a mirror of it."""
    _live(root / "home" / "repository")
    _configure(root / "home")
    _sync(root / "home", TODAY)
    _around(root)


def account(root: Path) -> None:
    """The first day: an account at a repository behind SFTP, a medium with the same files, nothing else."""
    _live(root / "srv" / "extracts")
    shutil.copytree(root / "srv" / "extracts", root / "media" / "smki", ignore=shutil.ignore_patterns(".*"))
    (root / "home").mkdir()


WORLDS = {make.__name__: make for make in (nothing, checkout, sample, listed, week, account)}


def _live(repository: Path) -> None:
    Repository.create(repository, devices=30, days=10, start=START, seed=3)


def _configure(home: Path) -> None:
    file = home / ".config" / "smki-sync" / "smki-sync.toml"
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_text(
        f'[repository]\nurl = "{(home / "repository").as_uri()}"\n[mirror]\npath = "{home / "mirror"}"\n'
    )


def _sync(home: Path, today: date, *, code: int = 0) -> None:
    ran = Shell(place=home, today=today)("sync")
    assert ran.code == code, ran.err


def _around(root: Path) -> None:
    """Places outside home: the Repository for SFTP, a medium, a service, output directories."""
    home, published = root / "home", root / "srv" / "extracts"
    shutil.copytree(home / "repository", published)
    shutil.copytree(home / "repository", root / "media" / "smki", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(home / "mirror", root / "var" / "lib" / "smki-sync", symlinks=True)
    for place in ("media/backup", "var/www/smki", "etc/smki-sync"):
        (root / place).mkdir(parents=True)
    (root / "etc" / "smki-sync" / "smki-sync.toml").write_text(
        f'[repository]\nurl = "{published.as_uri()}"\n[mirror]\npath = "{root}/var/lib/smki-sync"\n'
    )
