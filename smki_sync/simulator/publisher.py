"""The press: a day's files onto the shelf, with the day's faults, and old ones off it.

For: the calendar of SEC Appendix O 2.3.3 as amended by MP147: a full every week, a delta every day,
seven deltas on offer. Refuses: to change what the registry holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from smki_sync.errors import UsageError
from smki_sync.model.extract import ExtractKind
from smki_sync.simulator import file_format, gz
from smki_sync.simulator.extracts import Extracts
from smki_sync.simulator.faults import ON_FILES, ON_FULLS, ON_RECORDS, ON_XML, Fault
from smki_sync.simulator.file_format import Record
from smki_sync.simulator.founding import CENTRAL_SOUTH, NORTH
from smki_sync.simulator.list_press import ListPress
from smki_sync.simulator.population import Registry
from smki_sync.simulator.settings import Settings, end
from smki_sync.simulator.shapes import FileShape, shape_for
from smki_sync.simulator.shelf import (
    ANCHORS_CENTRAL_SOUTH,
    ANCHORS_NORTH,
    ARL,
    CRL,
    TEMPORARY,
    Shelf,
    extract_name,
)

WINDOW_DAYS = 7
"""Deltas on offer (MP147)."""

FAR_FUTURE = date(2099, 1, 1)
STRANGE = "SMKIKR_DELT_latest.xml.gz"
IMPOSSIBLE = "SMKIKR_DELT_2026-02-30.xml.gz"

Faults = frozenset[Fault]
SOUND: Faults = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """Publishes what ``registry`` holds on ``shelf``; the day is ``settings.today``."""

    registry: Registry
    settings: Settings
    shelf: Shelf

    def publish(self, faults: Faults) -> tuple[date, ...]:
        """Publish everything of the day; returns the dates of deltas that are to come late."""
        today = self.settings.today
        self._finish_uploads()
        for day in self.settings.late:
            self.delta(day)
        self._change_published(faults)
        if self.settings.is_full_day(today) and Fault.WITHHOLD_FULL not in faults:
            self.full(today, faults & ON_FULLS)
        if not faults & {Fault.WITHHOLD_DELTA, Fault.LATE_DELTA}:
            self.delta(today, faults - ON_FULLS)
        self._stray(faults)
        self._companions(faults)
        self._remove_old()
        return (today,) if Fault.LATE_DELTA in faults else ()

    def full(self, day: date, faults: Faults = SOUND, name: str | None = None) -> str:
        """Publish the full of a day, by its own name or another; returns the name."""
        name = name or extract_name(ExtractKind.FULL, day)
        lag, rng = self.settings.full_lag_days, self.settings.rng(f"lag {day}")
        records = Extracts(registry=self.registry).full(day, lag, rng)
        self._put(name, self._written(name, records, self._shape(name), faults))
        return name

    def delta(self, day: date, faults: Faults = SOUND, name: str | None = None) -> str:
        """Publish the delta of a day, by its own name or another; returns the name."""
        name = name or extract_name(ExtractKind.DELTA, day)
        self._put(name, self._delta(name, day, self._shape(name), faults))
        return name

    def _delta(self, name: str, day: date, shape: FileShape, faults: Faults = SOUND) -> Iterable[bytes]:
        return self._written(name, Extracts(registry=self.registry).delta(day), shape, faults)

    def _written(
        self, name: str, records: Iterable[Record], shape: FileShape, faults: Faults = SOUND
    ) -> Iterable[bytes]:
        """A file, damaged at its records, its XML and its octets in that order; a sound one is streamed."""
        for fault in filter(faults.__contains__, ON_RECORDS):
            records = ON_RECORDS[fault](records)
        xml: Iterable[bytes] = file_format.octets(records, shape.xml, self.settings.rng(f"order {name}"))
        for fault in filter(faults.__contains__, ON_XML):
            xml = [ON_XML[fault](b"".join(xml))]
        data: Iterable[bytes] = gz.octets(xml, shape.gz, name.removesuffix(".gz"))
        for fault in filter(faults.__contains__, ON_FILES):
            data = [ON_FILES[fault](b"".join(data))]
        return data

    def _put(self, name: str, chunks: Iterable[bytes]) -> None:
        self.shelf.put(name, chunks, end(self.settings.today))

    def _shape(self, name: str) -> FileShape:
        return shape_for(self.settings.shapes, self.settings.rng(f"shape {name}"))

    def _change_published(self, faults: Faults) -> None:
        """Replace the newest delta by other octets of the same meaning."""
        changes = faults & {Fault.CHANGE_AFTER_PUBLICATION, Fault.SAME_SIZE_CHANGE}
        if not changes:
            return
        published = self.shelf.days(ExtractKind.DELTA)
        if not published:
            raise UsageError("no delta is published that could be changed")
        name = extract_name(ExtractKind.DELTA, published[-1])
        shape = self._shape(name)
        container = replace(shape.gz, modified=end(self.settings.today))
        if Fault.CHANGE_AFTER_PUBLICATION in changes:
            container = replace(container, comment=not container.comment)
        self._put(name, self._delta(name, published[-1], replace(shape, gz=container)))

    def _stray(self, faults: Faults) -> None:
        """Publish what has no business there."""
        today = self.settings.today
        if Fault.HALF_WRITTEN in faults:
            name = extract_name(ExtractKind.DELTA, today + timedelta(days=1))
            whole = b"".join(self._delta(name, today, self._shape(name)))
            self._put(name + TEMPORARY, [whole[: len(whole) // 2]])
        if Fault.STRANGE_NAME in faults:
            self.delta(today, name=STRANGE)
        if Fault.IMPOSSIBLE_DATE in faults:
            self.delta(today, name=IMPOSSIBLE)
        if Fault.FUTURE_FULL in faults:
            self.full(today, name=extract_name(ExtractKind.FULL, FAR_FUTURE))

    def _companions(self, faults: Faults) -> None:
        """Lists of revoked certificates and the two anchor-slot files, as of today."""
        today, extracts = self.settings.today, Extracts(registry=self.registry)
        for name, provider in ((ANCHORS_NORTH, NORTH), (ANCHORS_CENTRAL_SOUTH, CENTRAL_SOUTH)):
            records = list(extracts.anchors(today, provider))
            if Fault.SLOTS_DIFFER in faults and name == ANCHORS_NORTH:
                records.append(extracts.supplier(today))
            self._put(name, self._written(name, records, self._shape(name)))
        lists_press = ListPress(registry=self.registry, settings=self.settings)
        for name, make in ((ARL, lists_press.arl), (CRL, lists_press.crl)):
            if Fault.WITHHOLD_LISTS not in faults:
                whole = b"".join(gz.octets([make(faults)], self._shape(name).gz, name.removesuffix(".gz")))
                is_corrupt = Fault.CORRUPT_CRL in faults and name == CRL
                self._put(name, [ON_FILES[Fault.CORRUPT](whole) if is_corrupt else whole])
            elif name in self.shelf.names():
                self.shelf.remove(name)

    def _finish_uploads(self) -> None:
        """Take away what stood half written yesterday."""
        for name in self.shelf.names():
            if name.endswith(TEMPORARY):
                self.shelf.remove(name)

    def _remove_old(self) -> None:
        """Keep the deltas of the newest seven dates, and the newest fulls that are not of the future."""
        today = self.settings.today
        fulls = [day for day in self.shelf.days(ExtractKind.FULL) if day <= today]
        for day in fulls[: -self.settings.fulls_kept]:
            self.shelf.remove(extract_name(ExtractKind.FULL, day))
        for day in self.shelf.days(ExtractKind.DELTA):
            if day <= today - timedelta(days=WINDOW_DAYS):
                self.shelf.remove(extract_name(ExtractKind.DELTA, day))
