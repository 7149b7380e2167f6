"""``[limits]``: how long to wait, how much to take.

For: sources and the reader. Refuses: to load the reader's XML library only to ask for its defaults.
"""

from dataclasses import dataclass
from typing import Annotated

from smki_sync.config.settings.about import BLINK, WEEK, About
from smki_sync.model.lists import ListPolicy
from smki_sync.sources.base import Limits

_LIMITS = Limits()
_LISTS = ListPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """``[limits]``: how long to wait, how much to take. ``None``: the reader's own default.

    Those defaults stand here as examples only: to ask the reader would load its XML library.
    """

    connect_seconds: Annotated[
        float,
        About(
            meaning="Longest wait until TCP stands, for all addresses of the host.",
            unit="seconds",
            low=BLINK,
            high=WEEK,
        ),
    ] = _LIMITS.connect
    banner_seconds: Annotated[
        float,
        About(meaning="Longest wait until the server names itself.", unit="seconds", low=BLINK, high=WEEK),
    ] = _LIMITS.banner
    login_seconds: Annotated[
        float,
        About(
            meaning="Longest time to agree on keys and to log in, from when the server has named itself.",
            unit="seconds",
            low=BLINK,
            high=WEEK,
        ),
    ] = _LIMITS.login
    stall_seconds: Annotated[
        float, About(meaning="Longest wait without a single byte.", unit="seconds", low=BLINK, high=WEEK)
    ] = _LIMITS.stall
    total_seconds: Annotated[
        float,
        About(meaning="Longest time for one file; 0 is without end.", unit="seconds", low=0, high=WEEK),
    ] = _LIMITS.total
    slow_rate: Annotated[
        float,
        About(
            meaning="A server that sends less while it is waited for is given up; 0 allows any.",
            unit="bytes a second",
            low=0,
        ),
    ] = _LIMITS.slow_rate
    slow_seconds: Annotated[
        float,
        About(
            meaning="The time over which `limits.slow_rate` is measured.",
            unit="seconds",
            low=BLINK,
            high=WEEK,
        ),
    ] = _LIMITS.slow_period
    keep_alive_seconds: Annotated[
        float,
        About(
            meaning="Time between signs of life on an idle connection; 0 is none.",
            unit="seconds",
            low=0,
            high=WEEK,
        ),
    ] = _LIMITS.keep_alive
    listing_entries: Annotated[int, About(meaning="Most names in one listing.", unit="names", low=1)] = (
        _LIMITS.entries
    )
    name_length: Annotated[
        int, About(meaning="Longest name that is listed.", unit="characters", low=1, high=65_536)
    ] = _LIMITS.name_length
    companion_bytes: Annotated[
        int, About(meaning="Largest ARL, CRL or slot file, also unpacked.", unit="bytes", low=1)
    ] = _LISTS.largest_bytes
    decompressed_bytes: Annotated[
        int | None,
        About(meaning="Largest size of one file's XML.", unit="bytes", low=1, example=1_099_511_627_776),
    ] = None
    ratio: Annotated[
        int | None, About(meaning="Most bytes of XML from one byte of gz.", low=1, example=50)
    ] = None
    records: Annotated[
        int | None, About(meaning="Most records in one file.", unit="records", low=1, example=1_000_000_000)
    ] = None
    field_bytes: Annotated[
        int | None, About(meaning="Longest text of one element.", unit="bytes", low=1, example=65_536)
    ] = None
    depth: Annotated[
        int | None,
        About(
            meaning="Most elements inside one another; Annex B has 3, the XML library takes 255.",
            unit="elements",
            low=3,
            high=255,
            example=16,
        ),
    ] = None
    record_bytes: Annotated[
        int | None,
        About(meaning="Most XML without the end of a record.", unit="bytes", low=65_536, example=1_048_576),
    ] = None
    leading_bytes: Annotated[
        int | None,
        About(meaning="Most XML before the root element.", unit="bytes", low=1, example=65_536),
    ] = None
    names: Annotated[
        int | None,
        About(
            meaning="Most distinct names of elements, attributes and namespaces in one file, as far as looks"
            " at one part in thirty-two tell.",
            unit="names",
            low=1_000,
            example=100_000,
        ),
    ] = None

    def of_source(self) -> Limits:
        """Give the part of this that a source asks for."""
        return Limits(
            connect=self.connect_seconds,
            banner=self.banner_seconds,
            login=self.login_seconds,
            stall=self.stall_seconds,
            total=self.total_seconds,
            slow_rate=self.slow_rate,
            slow_period=self.slow_seconds,
            keep_alive=self.keep_alive_seconds,
            entries=self.listing_entries,
            name_length=self.name_length,
        )
