"""What a simulated repository was made with, and how far its clock has come.

For: a value that survives in the registry between one advance and the next. Refuses: defaults; they
stand with :meth:`smki_sync.simulator.repository.Repository.create`.
"""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Self

from smki_sync.simulator.life import Pace
from smki_sync.simulator.pki import Quirks
from smki_sync.simulator.population import Registry
from smki_sync.simulator.shapes import Shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``late``: dates of deltas that are to come a day late. The rest as ``Repository.create`` says."""

    start: date
    today: date
    seed: int
    shapes: Shapes
    full_lag_days: int
    fulls_kept: int
    quirks: Quirks
    pace: Pace
    late: tuple[date, ...] = ()

    @classmethod
    def load(cls, registry: Registry) -> Self:
        """Read them back."""
        kept = registry.read_settings()
        return cls(
            start=date.fromisoformat(kept["start"]),
            today=date.fromisoformat(kept["today"]),
            seed=kept["seed"],
            shapes=Shapes(kept["shapes"]),
            full_lag_days=kept["full_lag_days"],
            fulls_kept=kept["fulls_kept"],
            quirks=Quirks(**kept["quirks"]),
            pace=Pace(**kept["pace"]),
            late=tuple(map(date.fromisoformat, kept["late"])),
        )

    def save(self, registry: Registry) -> None:
        """Keep them."""
        for name, value in asdict(self).items():
            registry.write_setting(name, _plain(value))

    def rng(self, purpose: str) -> Random:
        """The random source of one purpose: the same for the same seed, whatever happened before."""
        return Random(f"{self.seed} {purpose}")

    def is_full_day(self, day: date) -> bool:
        """Whether a full falls due: the first day, and every seventh after it."""
        return (day - self.start).days % 7 == 0

    def next_day(self) -> Self:
        """The clock one day on."""
        return replace(self, today=self.today + timedelta(days=1))

    def with_late(self, late: tuple[date, ...]) -> Self:
        """With other deltas on their way."""
        return replace(self, late=late)


def begin(day: date) -> int:
    """When a day begins, in seconds since 1970, UTC."""
    return int(datetime.combine(day, time(), UTC).timestamp())


def end(day: date) -> int:
    """The last second of a day, in seconds since 1970, UTC."""
    return begin(day + timedelta(days=1)) - 1


def _plain(value: object) -> object:
    match value:
        case date():
            return value.isoformat()
        case tuple():
            return [_plain(part) for part in value]
        case _:
            return value
