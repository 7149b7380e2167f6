"""A library for LD_PRELOAD that makes one system call of a program fail."""

import errno
import subprocess
from pathlib import Path

from support.needs import need

_SOURCE = Path(__file__).with_name("failing_calls.c")


def build_library(directory: Path) -> Path:
    """Compile the library; the test is skipped without a C compiler."""
    library = directory / "failing_calls.so"
    command = [need("cc"), "-shared", "-fPIC", "-O1", "-w", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


def failing(library: Path, call: str, error: str, *, below: str = "") -> dict[str, str]:
    """Return the environment in which ``call`` fails with an error such as ``EIO``, on paths with ``below``.

    Calls on a descriptor always fail.
    """
    variables = {"LD_PRELOAD": str(library), "FAIL_CALL": call, "FAIL_ERRNO": str(getattr(errno, error, 0))}
    return {**variables, "FAIL_BELOW": below} if below else variables
