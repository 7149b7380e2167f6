"""The ledger of downloads: every attempt at a file, in ``history.db``.

For: whoever asks later how the Repository behaved. Refuses: to make a run fail; what cannot be written is
said and dropped.
"""

from dataclasses import dataclass

from smki_sync.download import Transfer
from smki_sync.errors import MirrorError
from smki_sync.events import Detail
from smki_sync.mirror.history import Download, History
from smki_sync.mirror.ledger import utc
from smki_sync.sync.job import Job


@dataclass(frozen=True, slots=True)
class DownloadLedger:
    """Told of each attempt as it ends."""

    job: Job

    def __call__(self, transfer: Transfer) -> None:
        """Write it down."""
        row = Download(
            file=transfer.file,
            size=transfer.size,
            started=utc(transfer.started),
            ended=utc(transfer.ended),
            begin=transfer.begin,
            end=transfer.end,
            outcome=transfer.outcome,
        )
        try:
            History(self.job.directory.history).record_download(row)
        except MirrorError as error:
            self.job.hear.hear(Detail(text=f"a download could not be recorded: {error.message}"))
