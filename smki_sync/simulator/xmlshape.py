"""The forms that an Annex B file could have, by name, since the text of Annex B is not public.

For: the choice of a form; :mod:`smki_sync.simulator.annexb` writes it. Refuses: forms that are not
well-formed XML.
"""

from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Namespace(StrEnum):
    """How the elements are qualified."""

    NONE = "none"
    DEFAULT = "default"
    PREFIXED = "prefixed"


class Body(StrEnum):
    """How the Base64 of a certificate is laid out."""

    ONE_LINE = "one-line"
    WRAPPED_64 = "wrapped-64"
    WRAPPED_76 = "wrapped-76"
    INDENTED = "indented"


class Serials(StrEnum):
    """Serial numbers with all 32 digits, or without any leading zero."""

    PADDED = "padded"
    BARE = "bare"


@dataclass(frozen=True, slots=True, kw_only=True)
class XmlShape:
    """One form of the file. The defaults are those of the DCC's own samples.

    ``header``: ResponseCode and its companions. ``ca_claims``: role and usage on rows of authorities.
    ``shuffled``: elements of a record in any order. ``unknown``: elements and attributes that no one
    has announced. ``pretty``: one element a line.
    """

    namespace: Namespace = Namespace.NONE
    body: Body = Body.ONE_LINE
    serials: Serials = Serials.PADDED
    declaration: bool = True
    byte_order_mark: bool = False
    header: bool = True
    pretty: bool = True
    shuffled: bool = False
    unknown: bool = False
    comments: bool = False
    instructions: bool = False
    cdata: bool = False
    ca_claims: bool = False
    manufacturing: bool = True


def any_shape(rng: Random) -> XmlShape:
    """A shape drawn at random, each of its sides by itself."""
    coin = iter(lambda: rng.random() < 1 / 2, None)
    return XmlShape(
        namespace=rng.choice(list(Namespace)),
        body=rng.choice(list(Body)),
        serials=rng.choice(list(Serials)),
        declaration=next(coin),
        byte_order_mark=next(coin),
        header=next(coin),
        pretty=next(coin),
        shuffled=next(coin),
        unknown=next(coin),
        comments=next(coin),
        instructions=next(coin),
        cdata=next(coin),
        ca_claims=next(coin),
        manufacturing=next(coin),
    )
