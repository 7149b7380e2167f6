"""Every bad input that has a name: how to make it, and what must come of it.

For: the tests, which run each through the command line, and docs/codes.md, whose table is made from
here (``python -c 'from damage.cases import table; print(table())'`` with ``tests`` on the path).
"""

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from resilience.damage.files import MIB, ROOT, document, packed, record, repeated
from resilience.damage.world import FOUNDED, Place, Sound

Octets = bytes | Iterable[bytes]
EVERYWHERE = (Place.DELTA, Place.BOOTSTRAP, Place.RESYNC)
DELTA = (Place.DELTA,)


class Mirror(StrEnum):
    """What the mirror holds afterwards."""

    BEFORE = "the state before"
    APPLIED = "the file's state"
    BUT_ONE = "the file's state, but for the record"


class Evidence(StrEnum):
    """Where the evidence is afterwards."""

    KEPT = "the file, in `downloads`"
    REPOSITORY = "the file, at the Repository"
    QUARANTINE = "the record, in the quarantine"
    FLAGS = "`flags` of the certificate"
    REPORT = "the report"
    NONE = "none needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One bad input. ``code``: of the error (exit 6) or of what needs attention; empty where nothing does.

    ``places``: under which names it is tried.
    """

    name: str
    make: Callable[[Sound], Octets]
    exit: int = 6
    code: str = ""
    mirror: Mirror = Mirror.BEFORE
    evidence: Evidence = Evidence.KEPT
    places: tuple[Place, ...] = DELTA


def _xml(change: Callable[[bytes], bytes]) -> Callable[[Sound], bytes]:
    """Change the XML, and pack it soundly."""
    return lambda sound: packed(change(sound.xml), name=sound.inner)


def _gz(change: Callable[[bytes], bytes]) -> Callable[[Sound], bytes]:
    """Change the octets of the .gz."""
    return lambda sound: change(sound.gz)


def _more(make: Callable[[Sound], str]) -> Callable[[Sound], bytes]:
    """Add one record at the end."""
    return lambda sound: packed(document(*sound.records, make(sound)), name=sound.inner)


def _declared(declaration: str, encoding: str) -> Callable[[Sound], bytes]:
    def make(sound: Sound) -> bytes:
        return packed((declaration + sound.xml.decode()).encode(encoding), name=sound.inner)

    return make


def _damage_body(sound: Sound) -> bytes:
    """Change one letter of Base64 where the .gz does not compress: only the checksum knows."""
    data = packed(sound.xml, name=sound.inner, level=0)
    at = data.index(b"<CertificateBody>") + 100
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def _trailer(crc: int = 0, size: int = 0) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        known = struct.unpack("<II", data[-8:])
        return data[:-8] + struct.pack("<II", known[0] ^ crc, known[1] ^ size)

    return change


def _before_root(text: str) -> Callable[[bytes], bytes]:
    return lambda xml: text.encode() + xml


def _laughs() -> str:
    lines = "".join(f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    return f"<!DOCTYPE {ROOT} [<!ENTITY a 'ha'>{lines}]>"


def _deep(levels: int) -> Callable[[Sound], bytes]:
    return lambda sound: packed(document(*sound.records, "<x>" * levels + "</x>" * levels), name=sound.inner)


def _spaces_before(sound: Sound) -> Iterable[bytes]:
    return repeated(b"", b" " * MIB, 1024, sound.xml)


def _spaces_within(sound: Sound) -> Iterable[bytes]:
    return repeated(f"<{ROOT}>".encode(), b" " * MIB, 1024, sound.xml.removeprefix(f"<{ROOT}>".encode()))


def _endless_element(sound: Sound) -> Iterable[bytes]:
    before = f"<{ROOT}><CertificateResponse><CertificateBody>".encode()
    after = b"</CertificateBody></CertificateResponse>" + sound.xml.removeprefix(f"<{ROOT}>".encode())
    return repeated(before, b"A" * MIB, 100, after)


def _bomb(sound: Sound) -> Iterable[bytes]:
    """A record and a quarter of a megabyte of white space, four thousand times."""
    unit = sound.records[0].encode() + b" " * (MIB // 4)
    return repeated(f"<{ROOT}>".encode(), unit, 4096, f"</{ROOT}>".encode())


def _names(sound: Sound) -> Iterable[bytes]:
    """Forty megabytes of elements that no other has the name of, a record now and then."""
    yield packed(f"<{ROOT}>".encode())
    for first in range(0, 1_200_000, 20_000):
        units = "".join(f"<n{n:x}{'a' * 24}/>" for n in range(first, first + 20_000))
        yield packed((units + sound.records[0]).encode(), level=1)
    yield packed(f"</{ROOT}>".encode())


def _empty_members(sound: Sound) -> Iterable[bytes]:
    return [packed(b"", level=9) * 100_000, sound.gz]


def _another_body(sound: Sound) -> str:
    """A certificate that is held, with one octet of its signature changed."""
    der = sound.pool[7]
    return record(der[:-1] + bytes((der[-1] ^ 1,)), "I")


def _other_claims(sound: Sound) -> str:
    return record(sound.pool[FOUNDED + 5], "I", CertificateSerial="0BAD", CertificateUsage="KA")


POISON = "<CertificateResponse><CertificateStatus>I</CertificateStatus></CertificateResponse>"


CASES = (
    # The container.
    Case(
        name="no octets at all", make=lambda _: b"", exit=3, code="empty-file", evidence=Evidence.REPOSITORY
    ),
    Case(name="a .gz that holds nothing", make=lambda _: packed(b""), code="empty-file"),
    Case(
        name="a .gz cut in the middle",
        make=_gz(lambda data: data[: len(data) // 2]),
        code="truncated",
        places=EVERYWHERE,
    ),
    Case(name="a .gz cut by its last octet", make=_gz(lambda data: data[:-1]), code="truncated"),
    Case(name="a .gz cut in its header", make=_gz(lambda data: data[:7]), code="truncated"),
    Case(name="a wrong checksum", make=_gz(_trailer(crc=1)), code="gzip-damaged", places=EVERYWHERE),
    Case(name="a wrong length", make=_gz(_trailer(size=1)), code="gzip-damaged"),
    Case(
        name="one octet of a certificate changed", make=_damage_body, code="gzip-damaged", places=EVERYWHERE
    ),
    Case(name="garbage after the .gz", make=_gz(lambda data: data + b"x"), code="trailing-garbage"),
    Case(
        name="zeros after the .gz",
        make=_gz(lambda data: data + bytes(4096)),
        exit=0,
        mirror=Mirror.APPLIED,
        evidence=Evidence.NONE,
    ),
    Case(
        name="a .gz in many members",
        make=lambda sound: b"".join(packed(sound.xml[n : n + 500]) for n in range(0, len(sound.xml), 500)),
        exit=0,
        mirror=Mirror.APPLIED,
        evidence=Evidence.NONE,
    ),
    Case(
        name="a hundred thousand members without content before it",
        make=_empty_members,
        exit=0,
        mirror=Mirror.APPLIED,
        evidence=Evidence.NONE,
    ),
    Case(name="a .gz in a .gz", make=_gz(packed), code="not-xml"),
    Case(name="XML that is not packed", make=lambda sound: sound.xml, code="not-gzip"),
    Case(
        name="a web page in its place",
        make=lambda _: b"<!DOCTYPE html><html><body>Service unavailable</body></html>",
        code="not-gzip",
    ),
    Case(name="another compression (zlib)", make=lambda sound: zlib.compress(sound.xml), code="not-gzip"),
    # Sizes.
    Case(name="a bomb: a gigabyte of XML from a few megabytes", make=_bomb, code="ratio-exceeded"),
    Case(name="a gigabyte of white space before the root", make=_spaces_before, code="leading-too-long"),
    Case(name="a gigabyte of white space between records", make=_spaces_within, code="record-too-large"),
    Case(name="one element of 100 MB", make=_endless_element, code="record-too-large"),
    Case(name="a million names, each met once", make=_names, code="too-many-names"),
    Case(name="elements 10 000 deep", make=_deep(10_000), code="too-deep", places=EVERYWHERE),
    Case(name="elements 20 deep", make=_deep(20), code="too-deep"),
    # XML.
    Case(name="not well-formed at its first octet", make=_xml(lambda xml: xml[1:]), code="not-xml"),
    Case(
        name="not well-formed in the middle",
        make=_xml(lambda xml: xml.replace(b"</CertificateBody>", b"</CertificateStatus>", 1)),
        code="not-well-formed",
    ),
    Case(
        name="without its last octet",
        make=_xml(lambda xml: xml[:-1]),
        code="not-well-formed",
        places=EVERYWHERE,
    ),
    Case(
        name="a second XML document after the first", make=_xml(lambda xml: xml + xml), code="not-well-formed"
    ),
    Case(
        name="a DOCTYPE",
        make=_xml(_before_root(f"<!DOCTYPE {ROOT} SYSTEM 'a.dtd'>")),
        code="doctype",
    ),
    Case(
        name="an internal entity",
        make=_xml(_before_root(f"<!DOCTYPE {ROOT} [<!ENTITY a 'I'>]>")),
        code="doctype",
    ),
    Case(
        name="an external entity",
        make=_xml(_before_root(f"<!DOCTYPE {ROOT} [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>")),
        code="doctype",
    ),
    Case(name="a billion laughs", make=_xml(_before_root(_laughs())), code="doctype", places=EVERYWHERE),
    Case(
        name="an entity that nobody declared",
        make=_more(lambda sound: record(sound.pool[8], "&a;")),
        code="not-well-formed",
    ),
    Case(
        name="an inclusion (XInclude)",
        make=_more(
            lambda _: "<i:include xmlns:i='http://www.w3.org/2001/XInclude' href='file:///etc/hostname'/>"
        ),
        exit=0,
        mirror=Mirror.APPLIED,
        evidence=Evidence.NONE,
    ),
    Case(
        name="another root",
        make=_xml(lambda xml: xml.replace(ROOT.encode(), b"Other")),
        code="not-an-extract",
    ),
    Case(
        name="records under another name",
        make=_xml(lambda xml: xml.replace(b"CertificateResponse>", b"CertificateEntry>")),
        code="not-an-extract",
    ),
    Case(
        name="an error of the Repository in its place",
        make=lambda _: packed(document("<ResponseCode>500</ResponseCode>")),
        code="response-code",
    ),
    # Encodings.
    Case(
        name="UTF-16 that says so",
        make=_declared("<?xml version='1.0' encoding='UTF-16'?>", "utf-16"),
        exit=0,
        mirror=Mirror.APPLIED,
        evidence=Evidence.NONE,
    ),
    Case(
        name="UTF-8 that says UTF-16",
        make=_declared("<?xml version='1.0' encoding='UTF-16'?>", "utf-8"),
        code="not-well-formed",
    ),
    Case(
        name="UTF-16 that says UTF-8",
        make=_declared("<?xml version='1.0' encoding='UTF-8'?>", "utf-16"),
        exit=0,
        mirror=Mirror.APPLIED,
        evidence=Evidence.NONE,
    ),
    Case(
        name="an encoding that nobody knows",
        make=_declared("<?xml version='1.0' encoding='smki-8'?>", "utf-8"),
        code="not-well-formed",
    ),
    Case(
        name="invalid UTF-8",
        make=_xml(lambda xml: xml.replace(b"</CertificateStatus>", b"\xc3\x28</CertificateStatus>", 1)),
        code="not-well-formed",
    ),
    Case(
        name="a NUL",
        make=_xml(lambda xml: xml.replace(b"</CertificateStatus>", b"\0</CertificateStatus>", 1)),
        code="not-well-formed",
    ),
    # What it says of itself.
    Case(
        name="another date inside than in the name",
        make=lambda sound: packed(sound.xml, name="SMKIKR_DELT_2026-11-03.xml"),
        code="inner-name",
        places=EVERYWHERE,
    ),
    Case(
        name="a full under a delta's name",
        make=lambda sound: packed(sound.xml, name=sound.inner.replace("DELT", "FULL")),
        code="inner-name",
    ),
    Case(
        name="a full under a delta's name that does not say so",
        make=lambda sound: packed(document(*(record(der, "I") for der in sound.pool[10:FOUNDED]))),
        code="not-a-delta",
    ),
    Case(
        name="a delta under a full's name",
        make=lambda sound: packed(sound.xml, name=sound.inner.replace("FULL", "DELT")),
        code="inner-name",
        places=(Place.BOOTSTRAP, Place.RESYNC),
    ),
    Case(
        name="a delta under a full's name that does not say so",
        make=lambda sound: packed(
            document(*(record(der, "INRE"[n % 4]) for n, der in enumerate(sound.pool[:40])))
        ),
        code="not-a-full",
        places=(Place.BOOTSTRAP, Place.RESYNC),
    ),
    Case(
        name="a full without a record",
        make=lambda _: packed(document()),
        code="not-a-full",
        places=(Place.BOOTSTRAP, Place.RESYNC),
    ),
    Case(
        name="a full that halves the mirror",
        make=lambda sound: packed(document(*sound.records[::2])),
        code="shrinks-mirror",
        places=(Place.RESYNC,),
    ),
    Case(
        name="a delta that empties the mirror",
        make=lambda sound: packed(document(*(record(der, "N") for der in sound.pool))),
        code="shrinks-mirror",
    ),
    # Records.
    Case(
        name="a record twice, alike",
        make=_more(lambda sound: sound.records[0]),
        exit=0,
        mirror=Mirror.APPLIED,
        evidence=Evidence.NONE,
        places=EVERYWHERE,
    ),
    Case(
        name="a record twice, in contradiction: the last one counts",
        make=lambda sound: packed(
            document(sound.records[0].replace(">I<", ">R<"), *sound.records), name=sound.inner
        ),
        exit=0,
        code="records-contradict",
        mirror=Mirror.APPLIED,
        evidence=Evidence.REPORT,
        places=EVERYWHERE,
    ),
    Case(
        name="issuer and serial number of another certificate, with another body",
        make=_more(_another_body),
        exit=3,
        code="records-quarantined",
        mirror=Mirror.BUT_ONE,
        evidence=Evidence.QUARANTINE,
        places=EVERYWHERE,
    ),
    Case(
        name="a record that is no certificate",
        make=_more(lambda _: POISON),
        exit=3,
        code="records-quarantined",
        mirror=Mirror.BUT_ONE,
        evidence=Evidence.QUARANTINE,
        places=EVERYWHERE,
    ),
    Case(
        name="a record with an element of 100 kB",
        make=_more(lambda _: record(b"x" * 75_000, "I")),
        exit=3,
        code="records-quarantined",
        mirror=Mirror.BUT_ONE,
        evidence=Evidence.QUARANTINE,
        places=EVERYWHERE,
    ),
    Case(
        name="a record in a record",
        make=_more(
            lambda sound: sound.records[0].replace(
                "</CertificateResponse>", POISON + "</CertificateResponse>"
            )
        ),
        exit=3,
        code="records-quarantined",
        mirror=Mirror.BUT_ONE,
        evidence=Evidence.QUARANTINE,
    ),
    Case(
        name="many records that are none",
        make=lambda sound: packed(document(*sound.records, *[POISON] * 60)),
        code="too-many-rejected",
        places=EVERYWHERE,
    ),
    Case(
        name="claims of another certificate around a body",
        make=lambda sound: packed(
            sound.xml.replace(
                b"</CertificateResponse>",
                b"<CertificateSerial>0BAD</CertificateSerial></CertificateResponse>",
                1,
            )
        ),
        exit=0,
        code="claims-differ",
        mirror=Mirror.APPLIED,
        evidence=Evidence.FLAGS,
        places=EVERYWHERE,
    ),
)


def table() -> str:
    """The cases as the Markdown table of docs/codes.md, without a newline at its end."""
    head = ("| input | exit | code | the mirror holds | evidence |", "|---|---|---|---|---|")
    cells = (
        (case.name, str(case.exit), f"`{case.code}`" if case.code else "", case.mirror, case.evidence)
        for case in CASES
    )
    rows = (f"| {' | '.join(row)} |" for row in cells)
    return "\n".join((*head, *rows))
