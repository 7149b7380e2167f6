"""What a document shows, run as it stands: fenced blocks, and what stands below them as their output.

For: documents whose every line has been seen to be so. The mirror is made from ``sample_data/``, whose
certificates are always the same; revocation lists and anchor slots are left out.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from support.cli import Shell, surroundings

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"


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


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)


def programs(page: str) -> list[tuple[str, str]]:
    """Each Python block with the output that stands below it."""
    return re.findall(r"^```python\n(.*?)^```\n+```text\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)


def spoken(page: str) -> list[tuple[str, str]]:
    """Each command of the console blocks, with the output that stands below it."""
    pairs = []
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            length = next(n for n in range(1, len(lines) + 1) if _is_whole("\n".join(lines[:n])))
            pairs.append(("\n".join(lines[:length]), "\n".join(lines[length:])))
    return pairs


def _is_whole(command: str) -> bool:
    """Whether every quotation mark has its other one."""
    try:
        return bool(shlex.split(command))
    except ValueError:
        return False


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
