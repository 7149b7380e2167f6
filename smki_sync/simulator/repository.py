"""SimulatedRepository."""

import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from smki_sync.errors import UsageError
from smki_sync.model.certificate import Kind, Status
from smki_sync.simulator.faults import ON_FULLS, Fault
from smki_sync.simulator.file_format import Shapes
from smki_sync.simulator.pki import NO_QUIRKS, ROOT_ROLE, CertificateIssuer, Quirks, status_at
from smki_sync.simulator.population import (
    DailyRates,
    Registry,
    Settings,
    SimulatedDay,
    begin,
    create_population,
    end,
)
from smki_sync.simulator.publisher import HIDDEN, PublishedDirectory, Publisher

_MEMORY = "registry.db"

Truth = dict[tuple[str, str], tuple[str, bytes]]
"""(issuer in RFC 4514, serial in upper-case hex) to (status letter, DER)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the Repository held at the end of a day, published or not."""

    rows: Truth

    def truth(self) -> Truth:
        """Every certificate ever issued, those too that left In-Use before the first full."""
        return dict(self.rows)

    def in_use(self) -> set[bytes]:
        """The DER of every certificate In-Use: what a mirror must end up with."""
        return {der for status, der in self.rows.values() if status == Status.IN_USE}


class Repository:
    """A simulated Repository; holds nothing open between calls."""

    def __init__(self, path: Path) -> None:
        """Name the directory; use :meth:`create` or :meth:`open`."""
        self.path = path
        self._memory = path / HIDDEN / _MEMORY

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        devices: int,
        days: int,
        start: date,
        seed: int = 0,
        shapes: Shapes | str = Shapes.PLAIN,
        full_lag_days: int = 0,
        fulls_kept: int = 2,
        quirks: Quirks = NO_QUIRKS,
        pace: DailyRates | None = None,
    ) -> Self:
        """Found a repository and let it run for ``days`` days, the first of them ``start``.

        ``devices``: how many to begin with. ``full_lag_days``: how far a full's records may lie apart
        in time. ``fulls_kept``: how many fulls stay on offer. Raises ``UsageError`` where a
        repository is already there, or for less than one day.
        """
        if days < 1:
            raise UsageError(f"a repository has at least one day, not {days}")
        repository = cls(Path(path))
        try:
            repository._memory.parent.mkdir(mode=0o700, parents=True)
        except FileExistsError as exc:
            raise UsageError(f"{path} already holds a simulated repository") from exc
        settings = Settings(
            start=start,
            today=start - timedelta(days=1),
            seed=seed,
            shapes=Shapes(shapes),
            full_lag_days=full_lag_days,
            fulls_kept=fulls_kept,
            quirks=quirks,
            pace=pace or DailyRates(),
        )
        with Registry.create(repository._memory) as registry:
            create_population(registry, settings.rng("found"), quirks, devices=devices, start=begin(start))
            settings.save(registry)
            for back in range(DELTAS_BEFORE, 0, -1):
                repository._press(registry, settings).delta(start - timedelta(days=back))
        repository.advance(days)
        return repository

    @classmethod
    def open(cls, path: Path) -> Self:
        """Go on with one that was created; ``UsageError`` where there is none."""
        repository = cls(Path(path))
        if not repository._memory.is_file():
            raise UsageError(f"{path} holds no simulated repository", hint="smki-sync simulate create DIR")
        return repository

    @property
    def today(self) -> date:
        """The last day that has happened."""
        with self._opened() as (_, settings):
            return settings.today

    def advance(self, days: int = 1, faults: Collection[Fault] = ()) -> None:
        """Let days happen and publish their files; the faults strike on each of these days.

        A fault of a full strikes where a full falls due; ``UsageError``, and nothing has happened,
        where none does.
        """
        self._check_full_falls_due(days, faults)
        for _ in range(days):
            with self._opened() as (registry, before):
                settings = before.next_day()
                _live(registry, settings)
                late = self._press(registry, settings).publish(frozenset(faults))
                settings.with_late(late).save(registry)

    def publish_full(self, day: date) -> str:
        """Publish the full of any day up to today, in sound form; returns its name."""
        with self._opened() as (registry, settings):
            return self._press(registry, settings).full(day)

    def publish_delta(self, day: date) -> str:
        """Publish the delta of any day up to today (again), in sound form; returns its name."""
        with self._opened() as (registry, settings):
            return self._press(registry, settings).delta(day)

    def remove(self, name: str) -> None:
        """Take a published file away; ``FileNotFoundError`` where it is not there."""
        PublishedDirectory(path=self.path).remove(name)

    def at(self, day: date) -> Snapshot:
        """What the Repository held at the end of a day."""
        with self._opened() as (registry, _):
            lives = [(c, status_at(history, end(day))) for c, history in registry.lives()]
        return Snapshot(rows={(c.issuer, c.serial): (status.value, c.der) for c, status in lives if status})

    def truth(self) -> Truth:
        """What it holds now; see :meth:`Snapshot.truth`."""
        return self.at(self.today).truth()

    def in_use(self) -> set[bytes]:
        """What is In-Use now; see :meth:`Snapshot.in_use`."""
        return self.at(self.today).in_use()

    def roots(self) -> dict[Kind, bytes]:
        """The DER of the two root certificates, by OCA and DCA: a Party's trust anchors."""
        with self._opened() as (registry, _):
            return {
                kind: certificate.der
                for kind in (Kind.OCA, Kind.DCA)
                for certificate, _ in registry.lives_of(kind)
                if certificate.subject.role == ROOT_ROLE
            }

    def _check_full_falls_due(self, days: int, faults: Collection[Fault]) -> None:
        with self._opened() as (_, settings):
            ahead = (settings.today + timedelta(days=n + 1) for n in range(days))
            if ON_FULLS.intersection(faults) and not any(map(settings.is_full_day, ahead)):
                raise UsageError("no full falls due in these days", hint="advance as far as the next full")

    def _press(self, registry: Registry, settings: Settings) -> Publisher:
        return Publisher(registry=registry, settings=settings, shelf=PublishedDirectory(path=self.path))

    @contextmanager
    def _opened(self) -> Iterator[tuple[Registry, Settings]]:
        with Registry.open(self._memory) as registry:
            yield registry, Settings.load(registry)


def _live(registry: Registry, settings: Settings) -> None:
    """Let the day of ``settings`` happen."""
    desk = CertificateIssuer(
        rng=settings.rng(f"life {settings.today}"),
        quirks=settings.quirks,
        authorities=registry.authorities(),
    )
    number = (settings.today - settings.start).days + 1
    SimulatedDay(registry=registry, desk=desk, number=number, begin=begin(settings.today)).live(settings.pace)


DELTAS_BEFORE = 2
"""Days before the first full whose deltas are published: they prove it (MP147)."""

START = date(2026, 11, 2)
SEED = 2026
DEVICES = 40
DAYS = 10
QUIRKS = Quirks(no_ski=0.05, null_parameters=0.03, second_key=True)
LAG_DAYS = 2


def make_sample(directory: Path) -> None:
    """Put the published files of the sample into ``directory``, in place of an earlier sample's."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("SMKIKR_*.gz"):
        old.unlink()
    with TemporaryDirectory() as place:
        made = Path(place)
        Repository.create(
            made,
            devices=DEVICES,
            days=DAYS,
            start=START,
            seed=SEED,
            full_lag_days=LAG_DAYS,
            quirks=QUIRKS,
        )
        for name in PublishedDirectory(path=made).names():
            shutil.copy2(made / name, directory / name)


if __name__ == "__main__":
    make_sample(Path(sys.argv[1]))
