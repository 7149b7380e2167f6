"""Exit codes do not depend on the state of stdout and stderr."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from support.cli import Shell

COMMANDS = [
    (0, ("find", "--limit", "1")),
    (3, ("status", "--mirror", "empty")),
    (8, ("sync", "--source", "gopher://x")),
    (10, ("show", "00-DB-12-34-56-78-90-A4")),
]


def run(shell: Shell, words: tuple[str, ...], mirror: Path, **streams: int | IO[str]) -> int:
    """Run a command in a process of its own, with buffered streams, and return its exit code."""
    environment = shell.environment({"SMKI_SYNC_MIRROR": str(mirror)})
    environment.pop("PYTHONUNBUFFERED", None)
    command = [sys.executable, "-m", "smki_sync", *words]
    done = subprocess.run(
        command,
        cwd=shell.place,
        env=environment,
        check=False,
        stdout=streams.get("stdout", subprocess.DEVNULL),
        stderr=streams.get("stderr", subprocess.DEVNULL),
    )
    return done.returncode


def closed_pipe() -> int:
    """Return the writing end of a pipe that nothing reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(("code", "words"), COMMANDS)
def test_exit_code_is_unchanged_when_stderr_cannot_be_written(
    smki: Shell, mirror: Path, code: int, words: tuple[str, ...]
) -> None:
    with Path("/dev/full").open("w") as full:
        assert run(smki, words, mirror, stderr=full) == code
    writer = closed_pipe()
    try:
        assert run(smki, words, mirror, stderr=writer) == code
    finally:
        os.close(writer)


@pytest.mark.parametrize(("code", "words"), COMMANDS)
def test_exit_code_is_unchanged_when_the_reader_of_stdout_has_gone(
    smki: Shell, mirror: Path, code: int, words: tuple[str, ...]
) -> None:
    writer = closed_pipe()
    try:
        assert run(smki, words, mirror, stdout=writer) == code
    finally:
        os.close(writer)


def test_help_exits_0_when_the_reader_of_stdout_has_gone(smki: Shell, mirror: Path) -> None:
    writer = closed_pipe()
    try:
        assert [run(smki, words, mirror, stdout=writer) for words in ((), ("-h",), ("sync", "-h"))] == [
            2,
            0,
            0,
        ]
    finally:
        os.close(writer)


def test_command_exits_with_a_promised_code_when_its_directory_was_deleted(
    smki: Shell, mirror: Path, tmp_path: Path
) -> None:
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" -P -m smki_sync "$@"'
    words_by_code = {
        ("find", "--limit", "1"): 0,  # nothing here needs the working directory
        ("export", "--format", "csv", "--output", "x"): 11,
    }
    for words, code in words_by_code.items():
        done = subprocess.run(
            ["/bin/sh", "-c", script, sys.executable, *words],
            cwd=tmp_path,
            env=smki.environment({"SMKI_SYNC_MIRROR": str(mirror)}),
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert (b"working directory" in done.stderr) == (code == 11)
