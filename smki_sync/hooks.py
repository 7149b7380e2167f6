"""Somebody else's command, told how a run ended.

For: ``hooks.on_updated``, ``on_attention``, ``on_failed``: a list of words, run as it stands, with the run's
JSON document on its stdin. Refuses: a shell, to wait longer than it was told, to make a run fail.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

_KEPT: Final = 200  # characters of what a hook said that are repeated
_SECRETS: Final = ("SMKI_SYNC_PASSWORD", "SMKI_SYNC_KEY_PASSPHRASE")


def call_hook(words: Sequence[str], document: str, *, seconds: float) -> str | None:
    """Run a hook to its end; ``None`` where it went well, else what went wrong.

    Its stdout is dropped. It and what it started are killed after ``seconds``. The secrets of the
    environment are not handed on.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except (OSError, ValueError) as exc:
        return f"{words[0]} could not be started ({getattr(exc, 'strerror', None) or exc})"
    try:
        _, said = process.communicate(document, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"{words[0]} was stopped after {seconds:g} s"
    finally:
        _end(process)
    if process.returncode:
        return f"{words[0]} ended with {process.returncode}{_quoted(said)}"
    return None


def _end(process: subprocess.Popen[str]) -> None:
    """Leave nothing of it behind, also not what it has started and forgotten."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with process:  # closes its pipes and takes its exit code
        pass


def _quoted(said: str) -> str:
    last = said.strip().splitlines()[-1:] or [""]
    return f": {last[0][:_KEPT]}" if last[0] else ""
