"""What a verification found: the value behind ``verify --json``.

For: counts that are exact, examples that are few, and whether anything is anchored at all. Refuses: wording
for one kind of terminal.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from smki_sync.mirror.integrity import Aspect, Damage
from smki_sync.trust.findings import Code, Finding, Severity

EXAMPLES: Final = 20
"""Findings of one code that are reported one by one; all are counted, and all can be written to a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose certificate a finding is about. ``kind``: as in the view; ``name``: empty for devices."""

    kind: str
    eui: str | None
    name: str
    serial: str
    issuer: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One finding against one certificate."""

    subject: Subject
    finding: Finding


@dataclass(slots=True)
class Tally:
    """What some certificates came to.

    ``checked``: how many. ``proven``: signatures worked out; ``remembered``: signatures known from before.
    ``anchored``: certificates whose chain ends at an anchor. ``faulty``: certificates with an error;
    ``odd``: with a warning and no error. ``counts``: findings by code. ``found``: the findings.
    """

    checked: int = 0
    proven: int = 0
    remembered: int = 0
    anchored: int = 0
    faulty: int = 0
    odd: int = 0
    counts: Counter[Code] = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)

    def take(self, subject: Subject, findings: Iterable[Finding]) -> None:
        """Count the findings against one certificate."""
        errors = warnings = 0
        for finding in findings:
            self.counts[finding.code] += 1
            self.found.append(Found(subject=subject, finding=finding))
            errors += finding.is_error
            warnings += not finding.is_error
        self.faulty += errors > 0
        self.odd += errors == 0 and warnings > 0

    def merge(self, other: "Tally") -> None:
        """Add what other certificates came to; of their findings only the first of each code are kept."""
        for one in other.found:
            self.counts[one.finding.code] += 1
            if self.counts[one.finding.code] <= EXAMPLES:
                self.found.append(one)
        self.checked += other.checked
        self.proven += other.proven
        self.remembered += other.remembered
        self.anchored += other.anchored
        self.faulty += other.faulty
        self.odd += other.odd


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """One verification of a mirror.

    ``at``: the time that dates were judged by. ``position``: of the mirror. ``anchors``: how many are
    trusted. ``aspects``: what of the mirror was held against itself; ``damages``: what was found there.
    ``kept``: whether proofs are remembered. ``seconds``: how long it took.
    """

    at: datetime
    position: date
    anchors: int
    sample: int | None
    any_status: bool
    tally: Tally
    aspects: tuple[Aspect, ...] = ()
    damages: tuple[Damage, ...] = ()
    kept: bool = True
    seconds: float = 0.0

    @property
    def errors(self) -> int:
        """Findings that are errors."""
        return self._of(Severity.ERROR)

    @property
    def warnings(self) -> int:
        """Findings that are warnings."""
        return self._of(Severity.WARNING)

    @property
    def is_sound(self) -> bool:
        """Whether nothing speaks against the mirror or a certificate in it."""
        return not self.damages and not self.errors

    def _of(self, severity: Severity) -> int:
        return sum(n for code, n in self.tally.counts.items() if code.severity is severity)
