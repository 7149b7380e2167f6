"""What the listing holds, and which clocks it betrays.

For: names that match no pattern, and the only hint of the server's clock that SFTP gives: the newest time of
a file. Refuses: to read a file.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from smki_sync.catalogue import Names, read_catalogue
from smki_sync.doctor.finding import Finding, fine, warned
from smki_sync.mirror.ledger import utc
from smki_sync.model.extract import Catalogue, Extract, RemoteFile

_SHOWN: Final = 5  # names that are spelled out
SKEW: Final = timedelta(minutes=5)
"""A file from further in the future than this means that one of the two clocks is wrong."""


def judge_names(catalogue: Catalogue, names: Names) -> Finding:
    """Whether the listing holds extracts, and nothing that nobody knows."""
    extracts = f"{len(catalogue.fulls)} fulls and {len(catalogue.deltas)} deltas"
    strangers = [f"{s.name} ({s.why})" for s in catalogue.strangers]
    shown = ", ".join(strangers[:_SHOWN]) + (
        f" and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
    )
    if not catalogue.fulls and not catalogue.deltas:
        return warned(
            "names",
            f"no file is named like {names.full} or {names.delta}"
            + (f"; there are {shown}" if shown else ""),
            "Check the path in the source URL, and repository.full_name and repository.delta_name.",
        )
    if strangers:
        mend = (
            "If one of them is an extract, set its name in [repository]; if not, add it to companion_names."
        )
        return warned("names", f"{extracts}; left alone: {shown}", mend)
    return fine("names", f"{extracts}, and {len(catalogue.companions)} companions; no other name")


def judge_clock(files: tuple[RemoteFile, ...], catalogue: Catalogue, now: datetime) -> Finding:
    """This machine's clock against the newest time of a file, and against the newest date in a name."""
    times = [file.modified for file in files if file.modified]
    ahead = [x.name for x in _extracts(catalogue) if x.day > now.date() + timedelta(days=1)]
    if times and max(times) > now + SKEW:
        seen = f"a file on offer was changed at {utc(max(times))}, and here it is {utc(now)}"
        return warned("clock", seen, "Set this machine's clock (NTP). If it is right, tell the DCC.")
    if ahead:
        seen = f"{ahead[0]} is dated ahead of this machine's date, {now.date()}"
        return warned("clock", seen, "Set this machine's clock (NTP). If it is right, tell the DCC.")
    newest = f"; the newest file on offer is of {utc(max(times))}" if times else ""
    return fine("clock", f"{utc(now)} here{newest}")


def _extracts(catalogue: Catalogue) -> Iterator[Extract]:
    yield from (*catalogue.fulls, *catalogue.deltas)


def read_offer(files: tuple[RemoteFile, ...], names: Names) -> Catalogue:
    """Sort the listing."""
    return read_catalogue(files, names)
