"""A larger life, made once for the tests that need a run to take a while."""

import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from smki_sync.simulator.repository import Repository

START = date(2026, 3, 2)
DAY = timedelta(days=1)
DEVICES = 250
STOPS = (5, 8, 18)
"""Days of life at which the files on offer are kept: a bootstrap, three deltas later, a gap later."""

WITHOUT_LISTS = shutil.ignore_patterns(".*", "*.crl.gz", "*SLOTS*")
"""Lists are of the last day, and would take out of use what the truth of an earlier position has in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """``offers``: what was on offer on a day. ``in_use``: the truth at the end of every day."""

    offers: dict[date, Path]
    in_use: dict[date, set[bytes]]

    @property
    def days(self) -> tuple[date, date, date]:
        """The three mornings on which the operator comes."""
        first, second, third = self.offers
        return first, second, third


def live(place: Path) -> Life:
    repository = Repository.create(
        place / "repository", devices=DEVICES, days=STOPS[0], start=START, seed=9, shapes="every"
    )
    offers = {}
    for stop in STOPS:
        today = START + (stop - 1) * DAY
        if today > repository.today:
            repository.advance((today - repository.today).days)
        offers[today] = place / f"offer-{today}"
        shutil.copytree(repository.path, offers[today], ignore=WITHOUT_LISTS, copy_function=shutil.copy2)
    ages = range(STOPS[-1])
    return Life(
        offers=offers, in_use={START + n * DAY: repository.at(START + n * DAY).in_use() for n in ages}
    )
