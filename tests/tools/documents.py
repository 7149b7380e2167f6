"""What a document shows, run as it stands: fenced blocks, and what stands below them as their output.

For: documents whose every line has been seen to be so. The mirror is made from ``sample_data/``, whose
certificates are always the same; revocation lists and anchor slots are left out.
"""

import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from support.cli import Shell, surroundings
from support.markdown import DOCS, ROOT, commands, fences


def sample_mirror(place: Path) -> Path:
    """A mirror that began with the first full of the sample, and took the second after a gap."""
    repository, sample = place / "repository", ROOT / "sample_data"
    repository.mkdir()
    shell = Shell(place=place)
    fulls = sorted(sample.glob("SMKIKR_FULL_*"))
    deltas = sorted(sample.glob("SMKIKR_DELT_*"))
    for files, today in ((fulls[:1], "2026-11-02"), ((*fulls, *deltas), "2026-11-12")):
        for file in files:
            shutil.copy(file, repository)
        ran = shell("sync", "--mirror", "mirror", "--source", repository.as_uri(), SMKI_SYNC_TODAY=today)
        assert ran.code == 0, ran.err
    return place / "mirror"


def programs(page: str) -> list[tuple[str, str]]:
    """Each Python block with the output that stands below it."""
    shown = [(f.language, f.text) for f in fences(DOCS / page)]
    return [(a, b) for (one, a), (other, b) in pairwise(shown) if (one, other) == ("python", "text")]


def spoken(page: str) -> list[tuple[str, str]]:
    """Each command of the console blocks, with the output that stands below it."""
    return [
        (command.line, command.output)
        for fence in fences(DOCS / page)
        if fence.language == "console"
        for command in commands(fence)
    ]


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def run_python(program: str, place: Path) -> str:
    return _output([sys.executable, "-W", "error", "-c", program], place)


def run_shell(command: str, place: Path) -> str:
    """Run a line as somebody at a prompt would, with the tools of this environment on the path."""
    return _output(["bash", "-c", command], place)


def _output(command: list[str], place: Path) -> str:
    tools = Path(sys.executable).parent
    environment = surroundings(place)
    environment["PATH"] = f"{tools}:{environment['PATH']}"
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.rstrip("\n")
