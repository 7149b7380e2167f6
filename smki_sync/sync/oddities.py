"""What was odd about files that were read all the same, collected over a run.

For: notes in the report. Refuses: wording; :mod:`.attention` has that.
"""

from dataclasses import dataclass, field

from smki_sync.model.certificate import Flag
from smki_sync.model.report import NearLimit
from smki_sync.verify.report import Verification


@dataclass(slots=True)
class Oddities:
    """How many of the records read were kept in spite of something odd, and which limits came near.

    ``unproven``: new certificates whose issuer is not known. ``verification``: of the whole mirror after
    the run, where that is asked for. ``near``: by the limit's key, the file that came nearest to it and how
    near that was.
    """

    strict_parser_refuses: int = 0
    claims_differ: int = 0
    contradicted: int = 0
    unproven: int = 0
    verification: Verification | None = None
    near: dict[str, tuple[str, NearLimit]] = field(default_factory=dict)

    def note(self, flags: Flag) -> None:
        """Count one record."""
        self.strict_parser_refuses += Flag.STRICT_PARSER_REFUSES in flags
        self.claims_differ += bool(flags & ~Flag.STRICT_PARSER_REFUSES)

    def note_limit(self, file: str, near: NearLimit) -> None:
        """Keep the file that came nearest."""
        known = self.near.get(near.key)
        if known is None or known[1].share < near.share:
            self.near[near.key] = file, near

    def add(self, other: "Oddities") -> None:
        """Count in what was odd about a file that was read apart from the others."""
        self.strict_parser_refuses += other.strict_parser_refuses
        self.claims_differ += other.claims_differ
        for file, near in other.near.values():
            self.note_limit(file, near)
