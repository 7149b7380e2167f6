"""What is configured beside source and mirror: fallbacks, the archive, metrics, hooks.

For: what would be missed on the day on which it is needed. Refuses: to log in anywhere but at a fallback,
once, and to call any of it a hindrance: a sync works without.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from smki_sync.catalogue import Names
from smki_sync.doctor.finding import Finding, fine, warned
from smki_sync.doctor.offer import read_offer
from smki_sync.doctor.remote import Heard, OpenHeard
from smki_sync.errors import SmkiSyncError


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What is configured of them. ``hooks``: the words of each command, by its key; empty: there is none."""

    fallbacks: tuple[OpenHeard, ...] = ()
    archive: Path | None = None
    textfile: Path | None = None
    hooks: Mapping[str, Sequence[str]]


def judge_fallback(number: int, open_source: OpenHeard, names: Names) -> Finding:
    """Whether a fallback can be listed, and holds extracts. ``number``: its place in the list, from 1."""
    check = f"fallback {number}"
    try:
        with open_source(Heard()) as source:
            title, found = source.title, read_offer(source.fetch_listing(), names)
    except SmkiSyncError as error:
        return warned(check, error.message, error.hint)
    held = f"{title} holds {len(found.fulls)} fulls and {len(found.deltas)} deltas"
    if not found.fulls and not found.deltas:
        return warned(check, held, "Fill it, or take it out of repository.fallbacks.")
    return fine(check, held)


def judge_archive(path: Path) -> Finding:
    """Whether extracts can be put there."""
    if not _can_be_made(path):
        mend = "Let the user that runs smki-sync write there, or configure another archive.path."
        return warned("archive", f"{path} cannot be written, and what is applied is to be kept there", mend)
    return fine("archive", f"{path} can be " + ("written" if path.is_dir() else "made"))


def judge_textfile(path: Path) -> Finding:
    """Whether the metrics can be replaced: written beside, and renamed."""
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)):
        mend = "Make the directory, with the right to write, or configure another metrics.textfile."
        return warned("metrics", f"{path.parent} is no directory that this user may write to", mend)
    return fine("metrics", f"{path} can be written")


def judge_hooks(hooks: Mapping[str, Sequence[str]]) -> Finding:
    """Whether the programs are there; none is started."""
    missing = [f"{key}: {words[0]}" for key, words in hooks.items() if words and not shutil.which(words[0])]
    if missing:
        mend = "Install it, or name it with its whole path; the service may have another PATH than you."
        return warned("hooks", f"no such program: {', '.join(missing)}", mend)
    return fine("hooks", f"{', '.join(key for key, words in hooks.items() if words)} can be started")


def _can_be_made(path: Path) -> bool:
    near = next(place for place in (path, *path.absolute().parents) if os.access(place, os.F_OK))
    return near.is_dir() and os.access(near, os.W_OK | os.X_OK)
