"""Sort a directory listing into dated extracts, companion files and unrecognised files, without I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase, translate
from functools import cache

from smki_sync.model.extract import (
    Catalogue,
    Extract,
    ExtractKind,
    ListKind,
    RemoteFile,
    UnrecognisedFile,
    UnrecognisedReason,
)

DATE_FIELD = "{date}"
PACKED = ".gz"
"""Suffix of a compressed file. The name of its content does not have it."""
REGION_FIELD = "{region}"
FIRST_YEAR = 2000
"""First valid year. No smart meter certificate is older, and earlier dates can still be calculated."""
LAST_YEAR = 2999
"""Last valid year, so that later dates can be calculated. The planner decides if a date is plausible."""

# Suffixes that upload and copy programs append until a file is complete. Any other suffix, such as that of
# a checksum, means a different file.
_UNFINISHED = r"\.(?:part|partial|filepart|tmp|temp|writing|crdownload|swp)"
_NOT_IN_PLAIN_NAME = re.compile(r"[/\\\0]")
_SEPARATOR = re.compile(r"[/\\]")
_DATE = r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"


def _check_template(field: str, template: str) -> None:
    if template.count(DATE_FIELD) != 1:
        raise ValueError(f"the {field} template has {DATE_FIELD} exactly once, unlike {template!r}")
    if set("{}") & set(template.replace(DATE_FIELD, "")):
        raise ValueError(f"the {field} template has no field but {DATE_FIELD}, unlike {template!r}")
    if _NOT_IN_PLAIN_NAME.search(template):
        raise ValueError(f"the {field} template is a name without a directory, unlike {template!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNames:
    """The names of the files in the Repository.

    ``full`` and ``delta`` are plain names that contain ``{date}`` once, for a date as YYYY-MM-DD.
    ``companions`` are case-insensitive shell patterns for files that are not extracts. Their names are not
    public (Appendix O gives only the extension), so they are configurable.
    ``arl``, ``crl`` and ``slots`` are patterns for the companions that are read. ``{region}`` in ``slots``
    matches the name of the region.

    Raises:
        ValueError: A template cannot name an extract.
    """

    full: str = "SMKIKR_FULL_{date}.xml.gz"
    delta: str = "SMKIKR_DELT_{date}.xml.gz"
    companions: tuple[str, ...] = ("*ARL*", "*CRL*", "*ANCHOR*", "*SLOT*")
    arl: str = "*ARL*"
    crl: str = "*CRL*"
    slots: tuple[str, ...] = ("*ANCHOR_SLOTS_{region}.*",)

    def __post_init__(self) -> None:
        """Check the templates."""
        _check_template("full", self.full)
        _check_template("delta", self.delta)
        if self.full.lower() == self.delta.lower():
            raise ValueError(f"fulls and deltas cannot both be named {self.full!r}")

    @property
    def beside(self) -> tuple[str, ...]:
        """All patterns for known files that are not extracts."""
        slots = (pattern.replace(REGION_FIELD, "*") for pattern in self.slots)
        return (*self.companions, self.arl, self.crl, *slots)

    def template(self, kind: ExtractKind) -> str:
        """Return the template of a kind."""
        return self.full if kind is ExtractKind.FULL else self.delta

    def name_of(self, kind: ExtractKind, day: date) -> str:
        """Return the name of an extract, with the letter case of its template."""
        return self.template(kind).replace(DATE_FIELD, day.isoformat())


DEFAULT_NAMES = FileNames()


def read_catalogue(files: Iterable[RemoteFile], names: FileNames = DEFAULT_NAMES) -> Catalogue:
    """Sort a listing into extracts by date, companions by name and unrecognised files with a reason.

    Every usable file appears exactly once in the result. An unusable one (a directory, a link) appears as
    unrecognised if its name matches a pattern. The order of the listing does not matter. Never raises.
    """
    found = (_recognise(file, names) for file in sorted(files, key=_by_name))
    known = [x for x in found if x is not None]
    extracts, duplicates = _one_per_date([x for x in known if isinstance(x, Extract)], names)
    unrecognised = [*(x for x in known if isinstance(x, UnrecognisedFile)), *duplicates]
    return Catalogue(
        fulls=tuple(e for e in extracts if e.kind is ExtractKind.FULL),
        deltas=tuple(e for e in extracts if e.kind is ExtractKind.DELTA),
        companions=tuple(x for x in known if isinstance(x, RemoteFile)),
        strangers=tuple(sorted(unrecognised, key=lambda s: s.name)),
    )


def named_inside(text: str, names: FileNames = DEFAULT_NAMES) -> tuple[ExtractKind, date] | None:
    """Return the extract that the name stored inside a .gz file refers to, or ``None``.

    The name in ``SMKIKR_FULL_2026-11-15.xml.gz`` is ``SMKIKR_FULL_2026-11-15.xml`` (Appendix O 2.3.3). Some
    compression programs include the suffix or a directory.
    """
    plain = _SEPARATOR.split(text)[-1]
    for kind in ExtractKind:
        template = names.template(kind)
        for variant in (
            (template, template[: -len(PACKED)]) if template.lower().endswith(PACKED) else (template,)
        ):
            found = _pattern(variant).fullmatch(plain)
            if found and (day := _parse_day(found["date"])):
                return kind, day
    return None


def _by_name(file: RemoteFile) -> tuple[str, int, str]:
    return file.name, file.size, str(file.modified)


def _one_per_date(extracts: list[Extract], names: FileNames) -> tuple[list[Extract], list[UnrecognisedFile]]:
    """Keep one extract of each kind and date. Prefer the one whose name is exactly as in the template."""
    kept: dict[tuple[ExtractKind, date], Extract] = {}
    for extract in sorted(extracts, key=lambda e: e.name != names.name_of(e.kind, e.day)):
        kept.setdefault((extract.kind, extract.day), extract)
    duplicates = [e for e in extracts if e is not kept[e.kind, e.day]]
    unrecognised = [UnrecognisedFile(name=e.name, why=UnrecognisedReason.TWICE) for e in duplicates]
    return sorted(kept.values(), key=lambda e: e.day), unrecognised


def _recognise(file: RemoteFile, names: FileNames) -> Extract | RemoteFile | UnrecognisedFile | None:
    recognised = _recognise_name(file, names)
    if file.unusable is None:
        return recognised
    is_unknown = isinstance(recognised, UnrecognisedFile) and recognised.why is UnrecognisedReason.UNKNOWN
    if is_unknown and file.unusable is not UnrecognisedReason.CHECKSUM_UNREADABLE:
        return None
    day = None if isinstance(recognised, RemoteFile) else recognised.day
    return UnrecognisedFile(name=file.name, why=file.unusable, day=day)


def _recognise_name(file: RemoteFile, names: FileNames) -> Extract | RemoteFile | UnrecognisedFile:
    if _NOT_IN_PLAIN_NAME.search(file.name):
        return UnrecognisedFile(name=file.name, why=UnrecognisedReason.UNKNOWN)
    for kind in ExtractKind:
        if found := _pattern(names.template(kind)).fullmatch(file.name):
            return _extract(file, kind, found["date"])
        if _unfinished(names.template(kind)).fullmatch(file.name):
            return UnrecognisedFile(name=file.name, why=UnrecognisedReason.HALF_WRITTEN)
    if any(fnmatchcase(file.name.lower(), pattern.lower()) for pattern in names.beside):
        return file
    return UnrecognisedFile(name=file.name, why=UnrecognisedReason.UNKNOWN)


def _extract(file: RemoteFile, kind: ExtractKind, text: str) -> Extract | UnrecognisedFile:
    day = _parse_day(text)
    if day is None:
        return UnrecognisedFile(name=file.name, why=UnrecognisedReason.IMPOSSIBLE_DATE)
    if file.size <= 0:  # gunzip accepts an empty file without an error, so check the size here
        return UnrecognisedFile(name=file.name, why=UnrecognisedReason.EMPTY, day=day)
    return Extract(
        kind=kind,
        day=day,
        name=file.name,
        size=file.size,
        modified=file.modified,
        sha256=file.sha256,
        origin=file.origin,
        is_fallback=file.is_fallback,
    )


def _parse_day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if FIRST_YEAR <= day.year <= LAST_YEAR else None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """Match the name of an extract. ASCII only, because the Kelvin sign would match the K of SMKIKR."""
    before, after = map(re.escape, template.split(DATE_FIELD))
    return re.compile(before + _DATE + after, re.IGNORECASE | re.ASCII)


@cache
def _unfinished(template: str) -> re.Pattern[str]:
    """Match the files of unfinished uploads and copies: hidden names and temporary suffixes."""
    whole = _pattern(template).pattern.replace("?P<date>", "?:")
    hidden, suffixed = rf"\.{whole}(?:\..*)?", rf"{whole}{_UNFINISHED}"
    return re.compile(f"{hidden}|{suffixed}", re.IGNORECASE | re.ASCII)


_REGION = r"(?P<region>[^.]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedList:
    """A file that has the name of an ARL or a CRL."""

    kind: ListKind
    file: RemoteFile


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedSlots:
    """A file that has the name of anchor slots. ``region`` is as in the file name."""

    region: str
    file: RemoteFile


Offered = OfferedList | OfferedSlots


def read_offered(files: Iterable[RemoteFile], names: FileNames) -> tuple[Offered, ...]:
    """Return the lists and anchor slots among the companions of a catalogue.

    If a name matches several patterns, ARL takes precedence over CRL, and CRL over slots.
    ``SMKIKR_ARL.crl.gz``, for example, matches both list patterns.
    """
    found = (_recognise_offered(file, names) for file in files)
    return tuple(offered for offered in found if offered)


def _recognise_offered(file: RemoteFile, names: FileNames) -> Offered | None:
    name = file.name.lower()
    for kind, pattern in ((ListKind.ARL, names.arl), (ListKind.CRL, names.crl)):
        if fnmatchcase(name, pattern.lower()):
            return OfferedList(kind=kind, file=file)
    regions = (region_of(file.name, pattern) for pattern in names.slots)
    region = next((region for region in regions if region), None)
    return OfferedSlots(region=region, file=file) if region else None


def region_of(name: str, pattern: str) -> str | None:
    """Return the part of a name that matches ``{region}``, or ``None`` if the name does not match.

    If the pattern does not contain ``{region}``, the region is the name up to its first dot.
    """
    match = _pattern_offered(pattern).fullmatch(name)
    return match and (match.groupdict().get("region") or name.partition(".")[0])


@cache
def _pattern_offered(pattern: str) -> re.Pattern[str]:
    parts = (
        translate(part).removeprefix("(?s:").removesuffix(r")\Z") for part in pattern.split(REGION_FIELD)
    )
    return re.compile(_REGION.join(parts), re.IGNORECASE | re.DOTALL)
