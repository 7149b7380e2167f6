"""A Repository of a hundred certificates, file by file, and a Party with a mirror of it.

For: one bad file at a time, in one of three places: the next delta, the first full, the full of a
resync. All that stands around it is sound, and what the mirror must hold is known as a dictionary.
"""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path

from support.cli import Ran, Shell

from resilience.damage.files import Said, document, packed, record
from smki_sync.mirror.set_digest import SetDigest

FULL_DAY, HELD_DAY, DAY, NEXT_DAY = 9, 10, 11, 12
"""Of November 2026: the first full, where the mirror stands, the day in question, the day after."""

FOUNDED = 90
"""Certificates of the pool that the first full lists."""


class Place(StrEnum):
    """Under which name the bad file stands."""

    DELTA = "delta"
    BOOTSTRAP = "bootstrap"
    RESYNC = "resync"


def november(day: int) -> date:
    return date(2026, 11, day)


def full_name(day: int) -> str:
    return f"SMKIKR_FULL_{november(day)}.xml.gz"


def delta_name(day: int) -> str:
    return f"SMKIKR_DELT_{november(day)}.xml.gz"


FIRST: Said = dict.fromkeys(range(FOUNDED), "I")
CHANGES: dict[int, Said] = {
    HELD_DAY: {FOUNDED: "I", 1: "N", 2: "R"},
    DAY: {FOUNDED + 1: "I", 3: "N", 4: "E", 1: "I"},
    NEXT_DAY: {FOUNDED + 2: "P", 5: "N"},
}


def truth(day: int) -> Said:
    """What the Repository says on the evening of a day."""
    said = dict(FIRST)
    for changed in range(HELD_DAY, day + 1):
        said |= CHANGES[changed]
    return said


def in_use(said: Said) -> Said:
    return {n: status for n, status in said.items() if status == "I"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The sound file in whose place a bad one stands. ``said``: what it lists."""

    name: str
    said: Said
    pool: tuple[bytes, ...]

    @property
    def inner(self) -> str:
        return self.name.removesuffix(".gz")

    @property
    def records(self) -> tuple[str, ...]:
        return tuple(record(self.pool[n], status) for n, status in self.said.items())

    @property
    def xml(self) -> bytes:
        return document(*self.records)

    @property
    def gz(self) -> bytes:
        return packed(self.xml, name=self.inner)


@dataclass(slots=True)
class World:
    """A directory of extracts and a mirror beside it. ``pool``: the DER of real certificates."""

    place: Path
    pool: tuple[bytes, ...]
    shell: Shell = field(init=False)

    def __post_init__(self) -> None:
        self.shell = Shell(place=self.place)
        self.repository.mkdir(exist_ok=True)
        self.configure("")

    @property
    def repository(self) -> Path:
        return self.place / "repository"

    @property
    def mirror(self) -> Path:
        return self.place / "mirror"

    @property
    def downloads(self) -> Path:
        return self.mirror / "downloads"

    def sound(self, place: Place, day: int = DAY) -> Sound:
        """The sound file of a place."""
        match place:
            case Place.DELTA:
                return Sound(name=delta_name(day), said=CHANGES.get(day, {}), pool=self.pool)
            case Place.BOOTSTRAP:
                return Sound(name=full_name(FULL_DAY), said=FIRST, pool=self.pool)
            case Place.RESYNC:
                return Sound(name=full_name(HELD_DAY), said=in_use(truth(HELD_DAY)), pool=self.pool)

    def found(self) -> None:
        """Publish what the mirror starts from."""
        self.put(self.sound(Place.BOOTSTRAP).name, [self.sound(Place.BOOTSTRAP).gz])
        for day in range(FULL_DAY - 2, HELD_DAY + 1):
            self.publish(Place.DELTA, day)

    def publish(self, place: Place, day: int = DAY, *, hour: int = 3) -> None:
        """Publish the sound file of a place."""
        sound = self.sound(place, day)
        self.put(sound.name, [sound.gz], hour=hour)

    def put(self, name: str, chunks: Iterable[bytes], *, hour: int = 3) -> None:
        """Publish a file under a time of change that does not depend on when the test runs."""
        path = self.repository / name
        with path.open("wb") as file:
            file.writelines(chunks)
        moment = datetime.combine(november(DAY), time(hour), UTC).timestamp()
        os.utime(path, (moment, moment))

    def sync(self, *words: str, day: int = DAY) -> Ran:
        """Run the program once, as cron does."""
        return self.shell(
            "sync",
            *("--mirror", self.mirror, "--source", self.repository.as_uri(), "--json"),
            *words,
            SMKI_SYNC_TODAY=november(day).isoformat(),
        )

    def configure(self, text: str) -> None:
        """Set keys; nothing is said of the lists that this repository does not have."""
        (self.place / "smki-sync.toml").write_text(f"[trust]\nexpect_lists = false\n{text}")

    def dump(self) -> list[str]:
        """Every table of the mirror, row by row; nothing where there is no mirror."""
        if not (self.mirror / "mirror.db").exists():
            return []
        with closing(self._connect()) as db:
            return list(db.iterdump())

    def held(self) -> Said:
        """Number in the pool to status, as the mirror shows it to any tool."""
        with closing(self._connect()) as db:
            rows = db.execute("SELECT der, iif(withdrawn IS NULL, status, 'withdrawn') FROM certificates")
            return {self.pool.index(der): status for der, status in rows}

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        with closing(self._connect()) as db:
            return db.execute(sql).fetchall()

    def is_whole(self) -> bool:
        """Whether the kept digest is that of the rows, and the file sound."""
        digest = SetDigest()
        for (der,) in self.ask("SELECT der FROM certificates WHERE in_use"):
            assert isinstance(der, bytes)
            digest.add(der)
        return self.ask("SELECT digest FROM mirror") == [(digest.dump(),)] and self.ask(
            "PRAGMA quick_check"
        ) == [("ok",)]

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{(self.mirror / 'mirror.db').as_uri()}?mode=ro", uri=True)
