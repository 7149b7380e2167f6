"""What of a directory a server may show: regular files in it, nothing outside and nothing hidden.

For: the check that paramiko's server classes do not make, since they have no chroot. Refuses: links
that lead out, and every name that begins with a dot (the simulator's keys lie under one).
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The visible part of ``root``, an absolute path without links."""

    root: Path

    def find(self, path: str) -> Path | None:
        """The real path behind a client's path from ``/``; ``None`` where there is nothing to see."""
        parts = PurePosixPath("/", path).parts[1:]
        try:
            real = self.root.joinpath(*parts).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # not there; a NUL in the name; links in a ring
            return None
        inside = real.is_relative_to(self.root)
        return real if inside and not _is_hidden((*parts, *real.relative_to(self.root).parts)) else None

    def names(self, folder: Path) -> list[str]:
        """What there is to see in a folder of it, in order."""
        at = "/" + folder.relative_to(self.root).as_posix()
        return sorted(p.name for p in folder.iterdir() if self.find(f"{at}/{p.name}"))


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") for part in parts)
