"""The answers of `check` as rows of CSV and JSON Lines, as counts, and as PEM files."""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from smki_sync.export.formats import Fields
from smki_sync.lookup.check import CheckedLine
from smki_sync.lookup.verdicts import CheckAnswer, CheckVerdict
from smki_sync.x509.der import to_pem

ANSWER_COLUMNS: Final = (
    "eui",
    "usage",
    "verdict",
    "serial",
    "not_after",
    "issuer",
    "why",
    "position",
    "unproven",
)
"""The columns that each row adds to those of the input."""
BODY_COLUMN: Final = "der"
"""The certificate in Base64, if it is wanted."""
PREFIX: Final = "mirror_"
"""Added to the name of an answer column that the input also has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFormat:
    """Names of the columns. ``position``, ``unproven``: of the mirror, the same in each row.

    ``answer_names``: names of :data:`ANSWER_COLUMNS` and, with ``bodies``, of :data:`BODY_COLUMN`.
    """

    inputs: tuple[str, ...]
    answer_names: tuple[str, ...]
    position: str
    unproven: bool
    bodies: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in order."""
        return self.inputs + self.answer_names

    def row(self, cells: dict[str, str], answer: CheckAnswer) -> Fields:
        """Return one row. ``cells``: of the input, by column; a missing one is empty."""
        c = answer.certificate
        is_given = self.bodies and c is not None and answer.verdict is CheckVerdict.READY
        body = [b64encode(c.der).decode() if c and is_given else None]
        values = (
            *(answer.eui, answer.usage, answer.verdict.value, c.serial if c else None),
            *(c.not_after if c else None, c.issuer if c else None, answer.why or None),
            *(self.position, self.unproven),
            *(body if self.bodies else ()),
        )
        given: Fields = {name: cells.get(name, "") for name in self.inputs}
        return given | dict(zip(self.answer_names, values, strict=True))


def row_format(inputs: Sequence[str], *, position: str, unproven: bool, bodies: bool = False) -> RowFormat:
    """Name the columns; an answer column gets :data:`PREFIX` if the input has its name in any case."""
    taken = {name.casefold() for name in inputs}
    names = []
    for column in (*ANSWER_COLUMNS, *([BODY_COLUMN] if bodies else [])):
        name = column
        while name.casefold() in taken:
            name = PREFIX + name
        taken.add(name.casefold())
        names.append(name)
    return RowFormat(
        inputs=tuple(inputs),
        answer_names=tuple(names),
        position=position,
        unproven=unproven,
        bodies=bodies,
    )


def united_columns(inputs: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return the columns of several inputs, each once; with more than one input, ``file`` first."""
    every = list(inputs)
    names = (["file"] if len(every) > 1 else []) + [name for columns in every for name in columns]
    return tuple(dict.fromkeys(names))


@dataclass(slots=True)
class CheckCounts:
    """``lines``: of the input. ``doubts``: ready answers with a remark. ``verdicts``: answers by verdict."""

    lines: int = 0
    doubts: int = 0
    verdicts: Counter[CheckVerdict] = field(default_factory=Counter)

    def add(self, checked: CheckedLine) -> None:
        """Count one line."""
        self.lines += 1
        for answer in checked.answers:
            self.verdicts[answer.verdict] += 1
            self.doubts += answer.verdict is CheckVerdict.READY and bool(answer.why)

    @property
    def answers(self) -> int:
        """Number of answers."""
        return self.verdicts.total()

    @property
    def is_ready(self) -> bool:
        """Whether there is an answer, and every answer is positive."""
        return self.answers > 0 and set(self.verdicts) == {CheckVerdict.READY}

    def by_verdict(self) -> dict[str, int]:
        """Return the counts by verdict, ready first."""
        return {verdict.value: self.verdicts[verdict] for verdict in CheckVerdict if self.verdicts[verdict]}


class PemFiles:
    """Writes each ready certificate to a file of its own."""

    def __init__(self, directory: Path) -> None:
        """Write below an existing directory."""
        self._directory = directory
        self.count = 0

    def write(self, answers: Iterable[CheckAnswer]) -> None:
        """Write the certificates of ready answers; one that was written already is skipped."""
        for answer in answers:
            c = answer.certificate
            if c is None or answer.verdict is not CheckVerdict.READY:
                continue
            name = "-".join(part for part in (c.eui, c.usage, c.serial[:64]) if part)
            path = self._directory / f"{name}.pem"
            if not path.exists():
                path.write_text(to_pem(c.der), encoding="ascii")
                self.count += 1


def rows_of(shape: RowFormat, cells: dict[str, str], checked: CheckedLine) -> Iterator[Fields]:
    """Yield the rows of one line."""
    return (shape.row(cells, answer) for answer in checked.answers)
