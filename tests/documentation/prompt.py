"""Run the commands of a page in a world, and translate between the page's names and the real ones.

``/var``, ``/etc``, ``/media`` and ``/opt`` are below a temporary directory. The Repository, ``smki.example``,
is a server on loopback, and a fingerprint in a command is replaced by its own.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.cli import PATIENCE_SECONDS, Shell
from support.needs import need_all_of

from documentation.worlds import TODAY
from smki_sync.mirror.store import mark_published
from smki_sync.simulator.sftp_server import serve
from smki_sync.sources.ssh_settings import read_pins

HOST, PORT, LOOPBACK = "smki.example", "2222", "127.0.0.1"
"""Host and port of the Repository in the pages, and the real host."""

_PATH = re.compile(r"(?<![\w.}-])/(?=(?:etc|var|media|opt)\b)")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_FOR_BASH = re.compile(r"[$|<>&;*`]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Exit code and output of a command, stderr first."""

    code: int
    text: str


@dataclass(slots=True, kw_only=True)
class Prompt:
    """``root``: stands for ``/``. ``here``: the current directory. ``server``: the Repository's, if any."""

    root: Path
    here: Path
    server: "Server | None"
    variables: dict[str, str] = field(default_factory=lambda: {"SMKI_SYNC_TODAY": TODAY.isoformat()})

    def run(self, line: str) -> Output:
        """Run one command to its end. ``cd`` and ``export`` affect later commands."""
        line = self._from_page(line).replace("\\\n", " ")
        words = shlex.split(line, comments=True)
        match words:
            case ["cd", directory]:
                self.here = self.here / directory
                return Output(code=0, text="")
            case ["export", assignment]:
                name, _, value = assignment.partition("=")
                self.variables[name] = value
                return Output(code=0, text="")
            case ["smki-sync", *rest] if not _FOR_BASH.search(line):
                ran = Shell(place=self.here, variables=self._variables_for(rest))(*rest)
                return Output(code=ran.code, text=self._to_page(ran.err + ran.out))
            case ["smki-sync", *rest]:
                return self._in_bash(line, self._variables_for(rest))
            case _:
                return self._in_bash(line, self.variables)

    def _variables_for(self, words: list[str]) -> dict[str, str]:
        """Return the variables of a command. As root, ``init`` would write to the real ``/etc/smki-sync``."""
        if os.geteuid() or words[0] != "init" or "--config" in words:
            return self.variables
        file = self.root / "home" / ".config" / "smki-sync" / "smki-sync.toml"
        file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
        return {**self.variables, "SMKI_SYNC_CONFIG": str(file)}

    def _in_bash(self, line: str, variables: dict[str, str]) -> Output:
        need_all_of(line)
        environment = Shell(place=self.here, variables=variables).environment({})
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.here,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Output(code=done.returncode, text=self._to_page(done.stdout))

    def _from_page(self, text: str) -> str:
        text = _PATH.sub(f"{self.root}/", text)
        if self.server:
            text = re.sub(rf"\b{HOST}:(?:22|{PORT})\b", f"{LOOPBACK}:{self.server.port}", text)
            text = re.sub(rf"\b{HOST}\b", LOOPBACK, text)
            text = re.sub(rf"\b{PORT}\b", str(self.server.port), text)
            text = _FINGERPRINT.sub(lambda _: self.server.fingerprint if self.server else "", text)
        return text

    def _to_page(self, text: str) -> str:
        text = text.replace(f"{self.root}/", "/")
        if self.server:
            text = text.replace(LOOPBACK, HOST).replace(str(self.server.port), PORT)
        return text


class Server:
    """The Repository's server, and what the DCC changes on it during a page."""

    def __init__(self, stack: ExitStack, root: Path) -> None:
        self._stack = stack
        self._running = stack.enter_context(ExitStack())
        self._root = root
        self._keys = root / "keys"
        self._keys.mkdir()
        self.port = 0
        self._start()
        shutil.copy(self._keys / "client_ed25519", root / "home" / "id_ed25519")

    @property
    def fingerprint(self) -> str:
        """Fingerprint of its current host key."""
        text = (self._keys / "known_hosts").read_text()
        (key,) = read_pins(text, host=LOOPBACK, port=self.port).keys
        return key.fingerprint

    def meanwhile(self, what: str) -> None:
        """``NAME is the key that may log in``, or ``another host key``."""
        self._running.close()
        if what == "another host key":
            (self._keys / "host_ed25519").unlink()
        else:
            name = what.removesuffix(" is the key that may log in")
            assert name != what, f"unknown note: {what}"
            shutil.copy(self._root / "home" / name, self._keys / "client_ed25519")
        self._start()

    def _start(self) -> None:
        service = self._running.enter_context(serve(self._root / "srv", port=self.port, keys=self._keys))
        self.port = service.port


@contextmanager
def entered(original: Path, root: Path, *, below: str = "") -> Iterator[Prompt]:
    """Enter a copy of a world, in a directory below home; its server runs until the block ends."""
    shutil.copytree(original, root, symlinks=True)
    for file in root.glob("*/**/smki-sync.toml"):
        file.write_text(file.read_text().replace(str(original), str(root)))
    for generation in root.rglob("generations/*.db"):
        mark_published(generation)  # otherwise the client sees that this is a copy
    with ExitStack() as stack:
        server = Server(stack, root) if (root / "srv").exists() else None
        yield Prompt(root=root, here=root / "home" / below, server=server)
