"""Makes the sample in ``sample_data/``: ``python -m smki_sync.simulator.sample DIR``.

For: a small repository to look at and to try the client on. Refuses: to publish what is private; the
simulator's memory and keys stay in a temporary directory and are gone afterwards.
"""

import shutil
import sys
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from smki_sync.simulator.pki import Quirks
from smki_sync.simulator.repository import Repository
from smki_sync.simulator.shelf import Shelf

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
        for name in Shelf(path=made).names():
            shutil.copy2(made / name, directory / name)


if __name__ == "__main__":
    make_sample(Path(sys.argv[1]))
