"""Annex B XML as a stream of record elements, in memory that does not grow.

For: any namespace or none, unknown elements ignored, wrappers around records too; an end only if the
document was well-formed to its last byte. Refuses: a DOCTYPE, any entity, the network; to keep an
element longer than a step. A record element is valid until the next is asked for.
"""

from collections.abc import Iterable, Iterator
from typing import cast

from lxml import etree
from lxml.etree import _Element

from smki_sync.errors import BadExtract
from smki_sync.model.faults import Fault, bad_extract
from smki_sync.reader.claims import BODY, RECORD
from smki_sync.reader.libxml import malformed
from smki_sync.reader.limits import ReaderLimits
from smki_sync.reader.names import Names
from smki_sync.reader.prolog import ROOT, check_prolog, check_root
from smki_sync.reader.tape import Tape

RESPONSE_CODE = "ResponseCode"
SUCCESS = "200"
"""What ``ResponseCode`` says of an extract that is one, where it is there at all (Annex B)."""


FLAT = 3
"""Elements inside one another in an extract as Annex B has it: root, record, field."""


class AnnexB:
    """One XML being parsed. ``records``: so far. ``xml_bytes``: given to the parser so far.

    ``deepest``: elements inside one another so far, not less than Annex B's own three. ``longest_wait``:
    the most bytes so far without the end of a record, in whole steps; 0 where each step had one.
    ``nested``: whether anything stands deeper than the fields of records directly below the root; asked
    once a step, so that it need not be asked for each field of each record.
    """

    def __init__(self, *, name: str, limits: ReaderLimits) -> None:
        """Prepare; ``name`` of the file is for messages."""
        self._name = name
        self._limits = limits
        self._parser = etree.XMLPullParser(
            events=("start", "end"),
            tag=[f"{{*}}{element}" for element in (ROOT, RESPONSE_CODE, RECORD)],
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            remove_comments=True,
            remove_pis=True,
            collect_ids=False,
        )
        depths = range(max(limits.depth, FLAT) + 2)
        self._reaches = [etree.XPath(f"boolean({'/*' * depth or '/'})", regexp=False) for depth in depths]
        self._beyond_fields = etree.XPath("boolean(/*/*/*/*)", regexp=False)
        self._names = Names(name=name, limit=limits.names)
        self._root: _Element | None = None
        self._open: _Element | None = None
        self._waiting = 0
        self.longest_wait = 0
        self.deepest = FLAT
        self.records = 0
        self.xml_bytes = 0
        self.nested = True

    def read(self, pieces: Iterable[bytes]) -> Iterator[_Element]:
        """Yield every ``CertificateResponse`` as it ends; raises ``BadExtract``."""
        tape = Tape(pieces)
        limit = self._limits.leading_bytes
        check_prolog(tape.peek(limit), name=self._name, limit=limit)
        while step := tape.take():
            yield from self._read_step(step)
        root = self._close()
        check_root(root.tag, name=self._name)  # the first look may not have seen it end
        self._check_for_strays(root)

    def _check_for_strays(self, root: _Element) -> None:
        """Refuse certificates without a single record around them: a changed format is no quiet day."""
        if not self.records and next(root.iter(f"{{*}}{BODY}"), None) is not None:
            what = f"it holds certificates, and no {RECORD} around any of them"
            raise self._fault(Fault.NOT_AN_EXTRACT, what)

    def _close(self) -> _Element:
        try:
            return self._parser.close()
        except etree.XMLSyntaxError as exc:
            raise malformed(exc, name=self._name, where=f"{self._where()}, at its end") from exc

    def _read_step(self, step: bytes) -> Iterator[_Element]:
        """Parse some bytes, yield the records that end in them, and let go of what is done with."""
        broken = self._feed(step)
        self.nested = self._root is None or bool(self._beyond_fields(self._root))
        last = None
        for last in self._finished():
            yield last
        if broken:
            raise malformed(broken, name=self._name, where=self._where()) from broken
        if self._root is not None:
            self._names.look(self._root, step)
            if self.nested:
                self._measure_depth(self._root)
        if last is None:
            self._wait(len(step))
        else:
            self._waiting = 0
            self._forget_before(last)

    def _feed(self, step: bytes) -> etree.XMLSyntaxError | None:
        """Parse some bytes; an error is given back, for the records before it are still to be read."""
        self.xml_bytes += len(step)
        try:
            self._parser.feed(step)
        except etree.XMLSyntaxError as exc:
            return exc
        return None

    def _finished(self) -> Iterator[_Element]:
        """Yield the outermost record elements that have ended."""
        events = cast("Iterator[tuple[str, _Element]]", self._parser.read_events())  # for these two kinds
        for event, element in events:
            if event == "start":
                if self._root is None:
                    self._root = element
                elif self._open is None and element.tag.endswith(RECORD):
                    self._open = element
            elif element is self._open:
                self._open = None
                self._count()
                yield element
            elif self._open is None and element.tag.endswith(RESPONSE_CODE):
                self._check_response(element)

    def _count(self) -> None:
        self.records += 1
        if self.records > self._limits.records:
            raise self._fault(Fault.TOO_MANY_RECORDS, f"it has more than {self._limits.records} records")

    def _check_response(self, element: _Element) -> None:
        code = (element.text or "").strip()
        if code != SUCCESS:
            raise self._fault(Fault.RESPONSE_CODE, f"{RESPONSE_CODE} is {code!r:.40}, not {SUCCESS}")

    def _measure_depth(self, root: _Element) -> None:
        while self._reaches[self.deepest + 1](root):
            self.deepest += 1
            if self.deepest > self._limits.depth:
                raise self._fault(Fault.TOO_DEEP, f"elements nest deeper than {self._limits.depth}")

    def _wait(self, size: int) -> None:
        """Bound what is held while no record ends."""
        self._waiting += size
        self.longest_wait = max(self.longest_wait, self._waiting)
        if self._waiting > self._limits.record_bytes:
            raise self._fault(
                Fault.RECORD_TOO_LARGE,
                f"more than {self._limits.record_bytes} bytes without the end of a record",
            )

    def _forget_before(self, record: _Element) -> None:
        """Drop all that stands before ``record``, in its wrappers too.

        The record itself stays until the next has ended: libxml2 may still be writing its tail.
        """
        element, parent = record, record.getparent()
        while parent is not None:
            del parent[: parent.index(element)]
            element, parent = parent, parent.getparent()

    def _where(self) -> str:
        return f"after record {self.records}, by byte {self.xml_bytes} of the XML"

    def _fault(self, fault: Fault, what: str) -> BadExtract:
        return bad_extract(fault, self._name, f"{self._where()}: {what}")
