"""Optional programs that some tests use, and the Debian package that each comes with.

A test asks with :func:`need`. A missing program skips the test and names the package to install. With
``CI=true`` it fails instead, so that no test disappears from CI.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Final

import pytest

PACKAGES: Final[dict[str, str]] = {
    "bash": "bash",
    "cc": "gcc",
    "chromium": "chromium",
    "fish": "fish",
    "ip": "iproute2",
    "man": "man-db",
    "nft": "nftables",
    "node": "nodejs",
    "nsenter": "util-linux",
    "postgres": "postgresql",
    "promtool": "prometheus",
    "sqlite3": "sqlite3",
    "ssh-add": "openssh-client",
    "ssh-agent": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "systemd": "systemd",
    "systemd-analyze": "systemd",
    "tc": "iproute2",
    "unshare": "util-linux",
    "useradd": "passwd",
    "wrk": "wrk",
    "zsh": "zsh",
}
"""Program to Debian package."""

_OFF_THE_PATH: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/lib/systemd")
_COMMAND: Final = re.compile(r"(?:^|[|;&(])\s*([\w-]+)")


def need(program: str) -> str:
    """Return the path of an optional program. Without it, skip the test, or fail it in CI."""
    package = PACKAGES[program]
    path = _find(program)
    if path:
        return path
    if os.environ.get("CI") == "true":
        pytest.fail(f"{program} is missing and CI=true: install the Debian package {package}")
    pytest.skip(f"{program} is missing: install the Debian package {package}")


def need_all_of(line: str) -> None:
    """Need every optional program that a line for a shell starts."""
    for program in _COMMAND.findall(line):
        if program in PACKAGES:
            need(program)


def _find(program: str) -> str | None:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_OFF_THE_PATH, *map(str, versions)])
    return shutil.which(program, path=path)
