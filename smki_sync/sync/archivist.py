"""What becomes of a file once it is applied: put into the archive where there is one, else removed.

For: :class:`Archivist`. An archive that cannot take a file does not undo what was committed: the file stays
in ``downloads``, the run says so, and the next one tries again, as it does with what a killed run has left.
Refuses: to remove a file that the archive is still to take, and to make a run fail.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from smki_sync.download import Fetched, left_behind
from smki_sync.errors import MirrorError
from smki_sync.events import Detail
from smki_sync.mirror.connection import named
from smki_sync.mirror.ledger import read_applied
from smki_sync.mirror.queries import open_mirror
from smki_sync.model.report import Attention, AttentionCode
from smki_sync.sync.job import Job


@dataclass(slots=True)
class Archivist:
    """One run's. ``waiting``: files that the archive did not take. ``faults``: why, each said once."""

    job: Job
    waiting: set[Path] = field(default_factory=set)
    faults: dict[str, MirrorError] = field(default_factory=dict)

    def put_away(self, fetched: Fetched) -> None:
        """Archive a file that was applied, and remove it where it was."""
        if self.job.archive:
            try:
                self.job.archive.keep(fetched)
            except MirrorError as error:
                self.waiting.add(fetched.path)
                self._failed(error)
                return
        fetched.remove()

    def catch_up(self, generation: Path | None) -> None:
        """Put away what an earlier run has applied and could not put away, or was killed before it did."""
        if self.job.archive and generation:
            downloads = self.job.directory.downloads
            with named(downloads), open_mirror(generation) as db:
                for path in sorted({*downloads.iterdir()} - self.waiting):
                    found = left_behind(path, read_applied(db, path.name))
                    if found:
                        self.put_away(found)

    def let_go(self, fetched: Fetched, generation: Path) -> None:
        """Remove a file that was read without being applied, unless it waits here since it was applied."""
        self.catch_up(generation)
        if fetched.path not in self.waiting:
            fetched.remove()

    def prune(self) -> None:
        """Remove what the archive keeps beyond need."""
        try:
            for old in self.job.archive.prune() if self.job.archive else ():
                self.job.hear.hear(Detail(text=f"removed {old.name} from the archive"))
        except MirrorError as error:
            self._failed(error)

    def _failed(self, error: MirrorError) -> None:
        self.job.hear.hear(Detail(text=f"the archive: {error.message}"))
        self.faults.setdefault(error.message, error)

    def attention(self) -> Iterator[Attention]:
        """What an operator should know."""
        first = next(iter(self.faults.values()), None)
        if first is None:
            return
        names = ", ".join(sorted(path.name for path in self.waiting))
        yield Attention(
            code=AttentionCode.NOT_ARCHIVED,
            message=f"The archive is not as configured: {first.message}."
            + (f" Applied, and not in it yet: {names}." if names else ""),
            hint="What is not in it yet waits in `downloads`, and the next run tries again. Look at the space"
            " and the rights there.",
        )
