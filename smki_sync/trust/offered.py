"""Which of the files beside the extracts are lists and anchor slots, by the configured names.

For: ARL, CRL and the anchor slots of each region (Appendix O 2.3.3); their names are not public, so all of
them are configuration. Refuses: to open a file, and to raise over a name.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from functools import cache

from smki_sync.catalogue import REGION_FIELD, Names
from smki_sync.model.extract import RemoteFile
from smki_sync.model.lists import ListKind

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


def read_offered(files: Iterable[RemoteFile], names: Names) -> tuple[Offered, ...]:
    """Sort the companions of a catalogue; what is neither a list nor slots is left out.

    A name that fits several is an ARL before a CRL before slots: ``SMKIKR_ARL.crl.gz`` has both words.
    """
    found = (_recognise(file, names) for file in files)
    return tuple(one for one in found if one)


def _recognise(file: RemoteFile, names: Names) -> Offered | None:
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
    fits = _pattern(pattern).fullmatch(name)
    return fits and (fits.groupdict().get("region") or name.partition(".")[0])


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    parts = (
        translate(part).removeprefix("(?s:").removesuffix(r")\Z") for part in pattern.split(REGION_FIELD)
    )
    return re.compile(_REGION.join(parts), re.IGNORECASE | re.DOTALL)
