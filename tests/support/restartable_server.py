"""An OpenSSH server that can be killed with all its processes and started again on its port."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from support.cli import wait_until
from support.needs import need
from support.openssh import OpenSsh, openssh_server
from support.proc import family


@dataclass
class RestartableServer:
    """The server. ``deaths``: how often it was killed."""

    facts: OpenSsh
    config: Path
    deaths: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it; wait until its log says that it listens. A probe of the port could connect to itself."""
        assert self._process is None
        before = self.facts.log.stat().st_size
        with self.facts.log.open("ab") as log:
            self._process = subprocess.Popen(
                [need("sshd"), "-D", "-e", "-f", str(self.config)], stdin=subprocess.DEVNULL, stderr=log
            )
        try:
            wait_until(lambda: b"Server listening" in self.facts.log.read_bytes()[before:])
        except AssertionError:
            self.kill()
            raise

    def kill(self) -> None:
        """Kill it and every session at once."""
        process, self._process = self._process, None
        assert process is not None
        for pid in family(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        self.deaths += 1

    @property
    def alive(self) -> bool:
        return self._process is not None


@contextmanager
def restartable_server(directory: Path, scratch: Path) -> Iterator[RestartableServer]:
    """Run one for ``directory``; its keys and its log are in ``scratch``."""
    scratch.mkdir()
    with openssh_server(directory, scratch) as facts:
        pass  # its keys and configuration are what is wanted
    log = scratch / "mortal.log"  # its own: what is left of the first server still writes to the other
    log.touch()
    server = RestartableServer(replace(facts, log=log), scratch / "sshd_config")
    server.start()
    try:
        yield server
    finally:
        if server.alive:
            server.kill()
