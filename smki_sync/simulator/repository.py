"""The simulated Repository: create it, let days pass, publish files, ask what it contains."""

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

_DATABASE = "registry.db"

Truth = dict[tuple[str, str], tuple[str, bytes]]
"""From (issuer in RFC 4514, serial number in upper-case hex) to (status letter, DER)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The content of the Repository at the end of a day, whether published or not."""

    rows: Truth

    def truth(self) -> Truth:
        """Return every certificate ever issued, including those that left In-Use before the first full."""
        return dict(self.rows)

    def in_use(self) -> set[bytes]:
        """Return the DER of every In-Use certificate: the expected content of a mirror."""
        return {der for status, der in self.rows.values() if status == Status.IN_USE}


class Repository:
    """A simulated Repository. No file stays open between calls."""

    def __init__(self, path: Path) -> None:
        """Set the directory. Use :meth:`create` or :meth:`open` instead."""
        self.path = path
        self._database = path / HIDDEN / _DATABASE

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
        """Create a repository and let ``days`` days pass, the first of them ``start``.

        Args:
            devices: Number of devices at the beginning.
            full_lag_days: Largest difference in time between the records of a full, in days.
            fulls_kept: Number of fulls that stay published.

        Raises:
            UsageError: A repository exists there, or there is less than one day.
        """
        if days < 1:
            raise UsageError(f"A repository has at least one day, not {days}.")
        repository = cls(Path(path))
        try:
            repository._database.parent.mkdir(mode=0o700, parents=True)
        except FileExistsError as exc:
            raise UsageError(f"{path} already contains a simulated repository.") from exc
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
        with Registry.create(repository._database) as registry:
            create_population(registry, settings.rng("found"), quirks, devices=devices, start=begin(start))
            settings.save(registry)
            for back in range(DELTAS_BEFORE, 0, -1):
                repository._publisher(registry, settings).delta(start - timedelta(days=back))
        repository.advance(days)
        return repository

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing repository.

        Raises:
            UsageError: There is none.
        """
        repository = cls(Path(path))
        if not repository._database.is_file():
            raise UsageError(
                f"{path} does not contain a simulated repository.",
                hint="Run `smki-sync simulate create DIR`.",
            )
        return repository

    @property
    def today(self) -> date:
        """The last day that has passed."""
        with self._open_registry() as (_, settings):
            return settings.today

    def advance(self, days: int = 1, faults: Collection[Fault] = ()) -> None:
        """Let days pass and publish their files, with the faults on each of these days.

        Raises:
            UsageError: A fault concerns a full, but no full is due. Then no day passes.
        """
        self._check_full_is_due(days, faults)
        for _ in range(days):
            with self._open_registry() as (registry, before):
                settings = before.next_day()
                _simulate_day(registry, settings)
                late = self._publisher(registry, settings).publish(frozenset(faults))
                settings.with_late(late).save(registry)

    def publish_full(self, day: date) -> str:
        """Publish the full of any day up to today, without faults; return its name."""
        with self._open_registry() as (registry, settings):
            return self._publisher(registry, settings).full(day)

    def publish_delta(self, day: date) -> str:
        """Publish the delta of any day up to today again, without faults; return its name."""
        with self._open_registry() as (registry, settings):
            return self._publisher(registry, settings).delta(day)

    def remove(self, name: str) -> None:
        """Remove a published file.

        Raises:
            FileNotFoundError: It is not published.
        """
        PublishedDirectory(path=self.path).remove(name)

    def at(self, day: date) -> Snapshot:
        """Return the content of the Repository at the end of a day."""
        with self._open_registry() as (registry, _):
            statuses = [(c, status_at(history, end(day))) for c, history in registry.histories()]
        return Snapshot(
            rows={(c.issuer, c.serial): (status.value, c.der) for c, status in statuses if status}
        )

    def truth(self) -> Truth:
        """Return the present content; see :meth:`Snapshot.truth`."""
        return self.at(self.today).truth()

    def in_use(self) -> set[bytes]:
        """Return what is In-Use now; see :meth:`Snapshot.in_use`."""
        return self.at(self.today).in_use()

    def roots(self) -> dict[Kind, bytes]:
        """Return the DER of the root certificates of OCA and DCA: the trust anchors of a Party."""
        with self._open_registry() as (registry, _):
            return {
                kind: certificate.der
                for kind in (Kind.OCA, Kind.DCA)
                for certificate, _ in registry.histories_of(kind)
                if certificate.subject.role == ROOT_ROLE
            }

    def _check_full_is_due(self, days: int, faults: Collection[Fault]) -> None:
        with self._open_registry() as (_, settings):
            ahead = (settings.today + timedelta(days=n + 1) for n in range(days))
            if ON_FULLS.intersection(faults) and not any(map(settings.is_full_day, ahead)):
                raise UsageError("No full is due in these days.", hint="Advance to the day of the next full.")

    def _publisher(self, registry: Registry, settings: Settings) -> Publisher:
        return Publisher(registry=registry, settings=settings, directory=PublishedDirectory(path=self.path))

    @contextmanager
    def _open_registry(self) -> Iterator[tuple[Registry, Settings]]:
        with Registry.open(self._database) as registry:
            yield registry, Settings.load(registry)


def _simulate_day(registry: Registry, settings: Settings) -> None:
    """Change certificates as on the day of ``settings``."""
    issuer = CertificateIssuer(
        rng=settings.rng(f"life {settings.today}"),
        quirks=settings.quirks,
        authorities=registry.authorities(),
    )
    number = (settings.today - settings.start).days + 1
    day = SimulatedDay(registry=registry, issuer=issuer, number=number, begin=begin(settings.today))
    day.run(settings.pace)


DELTAS_BEFORE = 2
"""Days before the first full whose deltas are published: they prove it (MP147)."""

START = date(2026, 11, 2)
SEED = 2026
DEVICES = 40
DAYS = 10
QUIRKS = Quirks(no_ski=0.05, null_parameters=0.03, second_key=True)
LAG_DAYS = 2


def make_sample(directory: Path) -> None:
    """Write the published files of the sample to ``directory``. An earlier sample there is replaced."""
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
