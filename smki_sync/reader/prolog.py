"""The first look at an XML: what stands before the root, and what the root is.

For: refusing a DOCTYPE before a single declaration of it is read (so no entity is ever defined, no
file opened), a wrong root before its contents are, and endless white space. Refuses: to judge the
rest; what is not well-formed further on is the business of the parser proper.
"""

import re

from lxml import etree

from smki_sync.model.faults import Fault, bad_extract
from smki_sync.reader.libxml import local_name, malformed

ROOT = "CertificateDataResponse"
"""The root of every extract, in any namespace or none (Annex B)."""

_GZIP_MAGIC = b"\x1f\x8b"

_DECLARED = re.compile(
    rb"""^(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?<\?xml\s.*?\sencoding\s*=\s*["']([^"']+)["']""", re.DOTALL
)
_PLAIN = re.compile(
    rb"utf-?(8|16(le|be)?)|(us-)?ascii|iso[-_]8859-\d+|latin-?1|(windows-|cp)125\d", re.IGNORECASE
)
"""Encodings in which markup is ASCII, or ASCII with a NUL beside each octet."""


class _DoctypeBegins(Exception):
    """A DOCTYPE has begun."""


class _FirstLook:
    """A parser target that keeps the root's tag and stops at a DOCTYPE."""

    def __init__(self) -> None:
        self.root: str | None = None

    def doctype(self, *_identifiers: str | None) -> None:
        raise _DoctypeBegins

    def start(self, tag: str, _attributes: object) -> None:
        self.root = self.root or tag

    def close(self) -> None:
        """Every target has one; this parser is dropped before its end."""


def check_prolog(head: bytes, *, name: str, limit: int) -> None:
    """Look at the first ``limit`` bytes of an XML, or at all of it where it has fewer.

    Raises ``BadExtract``: nothing there, no XML, a DOCTYPE, an encoding in which markup can be
    hidden, another root, or no root within ``limit``.
    An XML that ends before its root does pass: the parser proper says best what is wrong with it.
    """
    if not head:
        raise bad_extract(Fault.EMPTY_FILE, name, "the .gz holds nothing")
    if head.startswith(_GZIP_MAGIC):
        raise bad_extract(Fault.NOT_XML, name, "the .gz holds another .gz, not XML")
    root = _find_root(head, name)
    if root is None and len(head) >= limit:
        raise bad_extract(Fault.LEADING_TOO_LONG, name, f"no root element within the first {limit} bytes")
    if root is not None:
        _check_encoding(head, name=name)
        check_root(root, name=name)


def check_root(tag: str, *, name: str) -> None:
    """Raise ``BadExtract`` for another root than an extract's, in whatever namespace."""
    if local_name(tag) != ROOT:
        raise bad_extract(Fault.NOT_AN_EXTRACT, name, f"the root is {tag:.80}, not {ROOT}")


def _check_encoding(head: bytes, *, name: str) -> None:
    """Raise ``BadExtract`` for an encoding that can write ``<`` in more than one way, as UTF-7 can.

    Whoever looks at octets, as the bound on names does, would see another document than the parser.
    """
    declaration = head.replace(b"\0", b"").partition(b"?>")[0]  # it is ASCII, in UTF-16 too
    found = _DECLARED.search(declaration)
    if found and not _PLAIN.fullmatch(found[1]):
        what = f"its encoding is {found[1][:40].decode('ascii', 'replace')}, and an extract has UTF-8"
        raise bad_extract(Fault.NOT_AN_EXTRACT, name, what)


def _find_root(head: bytes, name: str) -> str | None:
    """Give the root's tag; ``None`` where the bytes end before it."""
    look = _FirstLook()
    # lxml needs only the methods that are there; its stub asks for all.
    parser = etree.XMLParser(
        target=look,  # type: ignore[arg-type]
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
    )
    try:
        parser.feed(head)
    except _DoctypeBegins:
        raise bad_extract(Fault.DOCTYPE, name, "it has a DOCTYPE, which no extract needs") from None
    except etree.XMLSyntaxError as exc:
        if look.root is None:
            raise malformed(exc, name=name, where="before the root element") from exc
    return look.root
