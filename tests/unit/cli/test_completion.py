"""Completion by typer in real shells: the beginning of a word is typed, then Tab."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

import pytest
from support.cli import PATIENCE_SECONDS, Shell, surroundings
from support.needs import need

READY = "type here> "
ECHO_WORDS = "smki-sync() { printf 'RAN[%s]\\n' \"$*\"; }\n"
"""Replaces the program on the command line: prints its words. Completion still runs the real program."""

RC = {
    "bash": f"PS1='{READY}'\nbind 'set enable-bracketed-paste off'\nsource ./completion.bash\n",
    "zsh": f"PS1='{READY}'\nautoload -Uz compinit && compinit -u -D\nsource ./completion.zsh\n",
}
START = {"bash": ["--noprofile", "--rcfile", "rc", "-i"], "zsh": ["--no-globalrcs", "-i"]}

TYPED = [
    ("quar\t--acc\t", "quarantine --accept"),
    ("show --us\tK\t", "show --usage KA"),
    ("simul\tadv\t--fau\tlate\t", "simulate advance --fault late-delta"),
    ("mani\t--comp\tcert\t", "manifest --compare certificate.pem"),
    ("status --mir\tthe\t", "status --mirror the mirror"),
    ("show cert\t", "show certificate.pem"),
    ("simulate serve the\t", "simulate serve the mirror"),
    ("sync --source nothi\t", "sync --source nothi"),
]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The script for each shell, as docs/querying.md says."""
    shell = Shell(place=tmp_path_factory.mktemp("scripts"))
    return {name: shell.cold(_SMKI_SYNC_COMPLETE=f"source_{name}").out for name in ("bash", "zsh", "fish")}


@pytest.fixture
def place(tmp_path: Path, scripts: dict[str, str]) -> Path:
    """A home with the scripts, a directory whose name has a blank, and a file."""
    for name, script in scripts.items():
        (tmp_path / f"completion.{name}").write_text(script)
    (tmp_path / "the mirror").mkdir()
    (tmp_path / "certificate.pem").touch()
    return tmp_path


def environment(place: Path, more: dict[str, str]) -> dict[str, str]:
    """Return an environment in which `smki-sync` is on the PATH."""
    variables = surroundings(place, more)
    return {**variables, "PATH": f"{Path(sys.executable).parent}:{variables.get('PATH', os.defpath)}"}


class Prompt:
    """A shell on a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal

    def wait_for(self, pattern: str) -> str:
        """Read until the shell has said something; its group, if there is one."""
        said = ""
        while not (found := re.search(pattern, said)):
            assert select([self._terminal], [], [], PATIENCE_SECONDS)[0], f"it only said {said!r}"
            said += os.read(self._terminal, 1 << 12).decode(errors="replace")
        return found[found.re.groups]

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())


@contextmanager
def prompt(name: str, place: Path) -> Iterator[Prompt]:
    """An interactive shell that has loaded its script, with somebody at the keyboard."""
    path = need(name)
    for rc in ("rc", ".zshrc"):
        (place / rc).write_text(RC[name] + ECHO_WORDS)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [path, *START[name]],
        cwd=place,
        env=environment(place, {"TERM": "dumb", "ZDOTDIR": str(place)}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        shell = Prompt(master)
        shell.wait_for(READY)
        yield shell
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_tab_completes_commands_options_values_and_names_of_files(name: str, place: Path) -> None:
    with prompt(name, place) as shell:
        for typed, wanted in TYPED:
            shell.type(f"smki-sync {typed}\n")
            ran = shell.wait_for(r"RAN\[(.*)\]")
            assert ran.rstrip(" /") == wanted  # zsh takes the slash behind a directory back on Return


def test_bash_completes_a_value_behind_an_equals_sign(place: Path) -> None:
    with prompt("bash", place) as shell:
        shell.type("smki-sync sync --log-format=j\t\n")
        assert shell.wait_for(r"RAN\[(.*)\]").strip() == "sync --log-format=json"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("quar", ["quarantine"]),
        ("show --us", ["--usage"]),
        ("show --usage ", ["DS", "KA"]),
        ("sync --log-format j", ["json"]),
        ("simulate ", ["advance", "create", "serve"]),
        ("simulate create --sha", ["--shapes"]),
        ("simulate create --shapes ", ["every", "plain"]),
        ("status --mirror th", ["the mirror/"]),
        ("show cert", ["certificate.pem"]),
        ("sync --source nothi", []),
    ],
)
def test_fish_offers_what_may_stand_there(place: Path, typed: str, offered: list[str]) -> None:
    script = f"source completion.fish; complete -C {typed!r}".replace("-C '", "-C 'smki-sync ")
    done = subprocess.run(
        [need("fish"), "--no-config", "-c", script],
        cwd=place,
        env=environment(place, {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    words = [line.partition("\t")[0].replace("\\ ", " ") for line in done.stdout.splitlines()]
    assert sorted(words) == offered


def test_completion_names_its_replacement_when_the_old_command_is_used(smki: Shell) -> None:
    ran = smki("completion", "bash")
    assert (ran.code, ran.out) == (2, "")
    assert "--show-completion" in ran.err
