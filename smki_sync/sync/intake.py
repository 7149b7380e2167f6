"""The records of a fetched file on their way in: told of, noted where odd, the file set aside where damaged.

For: :class:`Intake`, between :mod:`.reading` and whoever applies or compares. Refuses: to judge a record.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from smki_sync.download import Fetched
from smki_sync.errors import BadExtract
from smki_sync.events import Reading
from smki_sync.mirror.rows import Batch
from smki_sync.model.certificate import Entry, Flag, Rejected
from smki_sync.sync.beside import Noted, Told
from smki_sync.sync.guard import authorities_in_file
from smki_sync.sync.job import Job
from smki_sync.sync.oddities import Oddities
from smki_sync.sync.reading import check_inner_name, read_batches, read_records
from smki_sync.sync.signature_gate import Keeper


@dataclass(slots=True)
class Intake:
    """One run's. ``keeper``: asked which new certificates may come in; told what authorities a delta brings.

    ``oddities``: what was odd about the files so far.
    """

    job: Job
    keeper: Keeper | None = None
    oddities: Oddities = field(default_factory=Oddities)

    def records(self, fetched: Fetched) -> Iterator[Entry | Rejected]:
        """The records of a delta, read here."""
        try:
            self.check_inner_name(fetched)
            if self.keeper:
                self.keeper.open_file(lambda: authorities_in_file(self.job, fetched))
            for record in read_records(fetched, self.job.limits, self._teller(fetched), self._noter(fetched)):
                if isinstance(record, Entry) and record.flags:
                    self.oddities.note(record.flags)
                yield record
        except BadExtract:
            fetched.set_aside()
            raise

    def batches(self, fetched: Fetched) -> Iterator[Batch]:
        """The records of a full as rows, read beside this process where that pays."""
        try:
            for batch in read_batches(fetched, self.job.limits, self._teller(fetched), self._noter(fetched)):
                for row in batch.rows:
                    if row.flags:
                        self.oddities.note(Flag(row.flags))
                yield batch
        except BadExtract:
            fetched.set_aside()
            raise

    def check_inner_name(self, fetched: Fetched) -> None:
        """Raise ``BadExtract`` where the .gz calls its content another extract, unless nobody is to look."""
        if self.job.check_inner_names:
            check_inner_name(fetched, self.job.names)

    def _teller(self, fetched: Fetched) -> Told:
        name, size = fetched.file.extract.name, fetched.file.size

        def tell(records: int, done: int) -> None:
            self.job.hear.hear(Reading(file=name, records=records, done=done, size=size))

        return tell

    def _noter(self, fetched: Fetched) -> Noted:
        return lambda near: self.oddities.note_limit(fetched.file.extract.name, near)
