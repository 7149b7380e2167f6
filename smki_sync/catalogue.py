"""Pure: directory listing -> dated extracts, companion files, unrecognised names."""

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
"""What the name of a packed file has, and the name of its content has not."""
REGION_FIELD = "{region}"
FIRST_YEAR = 2000
"""No smart meter certificate is older; room to count days back from any date that is believed."""
LAST_YEAR = 2999
"""Room to count days forward; whether a date is plausible today is the planner's question."""

# What upload and copy programs append until a file is whole. Anything else, such as a checksum's
# suffix, makes another file and not half of this one.
_UNFINISHED = r"\.(?:part|partial|filepart|tmp|temp|writing|crdownload|swp)"
_NO_PLAIN_NAME = re.compile(r"[/\\\0]")
_SEPARATOR = re.compile(r"[/\\]")
_DATE = r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"


def _check_template(field: str, template: str) -> None:
    if template.count(DATE_FIELD) != 1:
        raise ValueError(f"the {field} template has {DATE_FIELD} exactly once, unlike {template!r}")
    if set("{}") & set(template.replace(DATE_FIELD, "")):
        raise ValueError(f"the {field} template has no field but {DATE_FIELD}, unlike {template!r}")
    if _NO_PLAIN_NAME.search(template):
        raise ValueError(f"the {field} template is a name without a directory, unlike {template!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNames:
    """How the Repository names its files.

    ``full``, ``delta``: a plain name with ``{date}`` once, which stands for YYYY-MM-DD.
    ``companions``: shell patterns, in any letter case, of the files that are no extracts. Their
    names are not public (Appendix O gives the extension alone), so this is configuration.
    ``arl``, ``crl``, ``slots``: those among them that are read, patterns too; ``{region}`` in ``slots``
    stands for the region's name.

    Raises ``ValueError`` for a template that could not name an extract.
    """

    full: str = "SMKIKR_FULL_{date}.xml.gz"
    delta: str = "SMKIKR_DELT_{date}.xml.gz"
    companions: tuple[str, ...] = ("*ARL*", "*CRL*", "*ANCHOR*", "*SLOT*")
    arl: str = "*ARL*"
    crl: str = "*CRL*"
    slots: tuple[str, ...] = ("*ANCHOR_SLOTS_{region}.*",)

    def __post_init__(self) -> None:
        """Check the templates once, so that no name has to be doubted later."""
        _check_template("full", self.full)
        _check_template("delta", self.delta)
        if self.full.lower() == self.delta.lower():
            raise ValueError(f"fulls and deltas cannot both be named {self.full!r}")

    @property
    def beside(self) -> tuple[str, ...]:
        """Patterns of everything that is no extract and no surprise."""
        slots = (pattern.replace(REGION_FIELD, "*") for pattern in self.slots)
        return (*self.companions, self.arl, self.crl, *slots)

    def template(self, kind: ExtractKind) -> str:
        """Give the template of a kind."""
        return self.full if kind is ExtractKind.FULL else self.delta

    def name_of(self, kind: ExtractKind, day: date) -> str:
        """Write the name of an extract exactly as its template has it."""
        return self.template(kind).replace(DATE_FIELD, day.isoformat())


DEFAULT_NAMES = FileNames()


def read_catalogue(files: Iterable[RemoteFile], names: FileNames = DEFAULT_NAMES) -> Catalogue:
    """Sort a listing into extracts by date, companions by name, and strangers with their reason.

    Every usable file comes out exactly once. An unusable one (a directory, a link) comes out as
    unrecognised if its name matches a pattern. The order of the listing does not matter. Never raises.
    """
    found = (_recognise(file, names) for file in sorted(files, key=_by_name))
    known = [x for x in found if x is not None]
    extracts, doubles = _one_a_date([x for x in known if isinstance(x, Extract)], names)
    strangers = [*(x for x in known if isinstance(x, UnrecognisedFile)), *doubles]
    return Catalogue(
        fulls=tuple(e for e in extracts if e.kind is ExtractKind.FULL),
        deltas=tuple(e for e in extracts if e.kind is ExtractKind.DELTA),
        companions=tuple(x for x in known if isinstance(x, RemoteFile)),
        strangers=tuple(sorted(strangers, key=lambda s: s.name)),
    )


def named_inside(text: str, names: FileNames = DEFAULT_NAMES) -> tuple[ExtractKind, date] | None:
    """Say which extract a name means that a .gz gives its content; ``None`` where it means none.

    ``SMKIKR_FULL_2026-11-15.xml`` stands inside ``SMKIKR_FULL_2026-11-15.xml.gz`` (Appendix O 2.3.3);
    some packers write the ending, or a directory, too. Names of another form say nothing.
    """
    plain = _SEPARATOR.split(text)[-1]
    for kind in ExtractKind:
        template = names.template(kind)
        for form in (
            (template, template[: -len(PACKED)]) if template.lower().endswith(PACKED) else (template,)
        ):
            found = _pattern(form).fullmatch(plain)
            if found and (day := _parse_day(found["date"])):
                return kind, day
    return None


def _by_name(file: RemoteFile) -> tuple[str, int, str]:
    return file.name, file.size, str(file.modified)


def _one_a_date(extracts: list[Extract], names: FileNames) -> tuple[list[Extract], list[UnrecognisedFile]]:
    """Keep one extract of a kind and date, the exactly named one before any other."""
    kept: dict[tuple[ExtractKind, date], Extract] = {}
    for extract in sorted(extracts, key=lambda e: e.name != names.name_of(e.kind, e.day)):
        kept.setdefault((extract.kind, extract.day), extract)
    doubles = [e for e in extracts if e is not kept[e.kind, e.day]]
    strangers = [UnrecognisedFile(name=e.name, why=UnrecognisedReason.TWICE) for e in doubles]
    return sorted(kept.values(), key=lambda e: e.day), strangers


def _recognise(file: RemoteFile, names: FileNames) -> Extract | RemoteFile | UnrecognisedFile | None:
    recognised = _recognise_name(file, names)
    if file.unusable is None:
        return recognised
    unknown = isinstance(recognised, UnrecognisedFile) and recognised.why is UnrecognisedReason.UNKNOWN
    if unknown and file.unusable is not UnrecognisedReason.CHECKSUM_UNREADABLE:
        return None
    day = None if isinstance(recognised, RemoteFile) else recognised.day
    return UnrecognisedFile(name=file.name, why=file.unusable, day=day)


def _recognise_name(file: RemoteFile, names: FileNames) -> Extract | RemoteFile | UnrecognisedFile:
    if _NO_PLAIN_NAME.search(file.name):
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
    if file.size <= 0:  # an empty file gunzips to nothing without an error: stopped here, by its size
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
    """Match the extract's name. ASCII: else the Kelvin sign would pass for the K of SMKIKR."""
    before, after = map(re.escape, template.split(DATE_FIELD))
    return re.compile(before + _DATE + after, re.IGNORECASE | re.ASCII)


@cache
def _unfinished(template: str) -> re.Pattern[str]:
    """Match what uploads and copies leave beside it: hidden names and temporary suffixes."""
    whole = _pattern(template).pattern.replace("?P<date>", "?:")
    hidden, suffixed = rf"\.{whole}(?:\..*)?", rf"{whole}{_UNFINISHED}"
    return re.compile(f"{hidden}|{suffixed}", re.IGNORECASE | re.ASCII)


_REGION = r"(?P<region>[^.]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedList:
    """A file under the name of an ARL or a CRL."""

    kind: ListKind
    file: RemoteFile


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedSlots:
    """A file under the name of anchor slots. ``region``: as its name has it."""

    region: str
    file: RemoteFile


Offered = OfferedList | OfferedSlots


def read_offered(files: Iterable[RemoteFile], names: FileNames) -> tuple[Offered, ...]:
    """Sort the companions of a catalogue; what is neither a list nor slots is left out.

    A name that fits several is an ARL before a CRL before slots: ``SMKIKR_ARL.crl.gz`` has both words.
    """
    found = (_recognise_offered(file, names) for file in files)
    return tuple(one for one in found if one)


def _recognise_offered(file: RemoteFile, names: FileNames) -> Offered | None:
    name = file.name.lower()
    for kind, pattern in ((ListKind.ARL, names.arl), (ListKind.CRL, names.crl)):
        if fnmatchcase(name, pattern.lower()):
            return OfferedList(kind=kind, file=file)
    regions = (region_of(file.name, pattern) for pattern in names.slots)
    region = next((region for region in regions if region), None)
    return OfferedSlots(region=region, file=file) if region else None


def region_of(name: str, pattern: str) -> str | None:
    """The region that a name has in the place of ``{region}``; ``None`` where the name does not fit.

    Where the pattern has no such place, the name up to its first dot stands for the region.
    """
    fits = _pattern_offered(pattern).fullmatch(name)
    return fits and (fits.groupdict().get("region") or name.partition(".")[0])


@cache
def _pattern_offered(pattern: str) -> re.Pattern[str]:
    parts = (
        translate(part).removeprefix("(?s:").removesuffix(r")\Z") for part in pattern.split(REGION_FIELD)
    )
    return re.compile(_REGION.join(parts), re.IGNORECASE | re.DOTALL)
