"""Everything that can be wrong with an extract, each with its stable code and its advice.

For: one closed list, so that codes and hints stand in one place and the docs can be made from it.
Refuses: to find faults; its neighbours do. Used as ``raise bad_extract(Fault.X, name, "what")``.
"""

from enum import StrEnum

from smki_sync.errors import BadExtract


class Fault(StrEnum):
    """Why a file is no good extract. The codes are a promise: extend, never rename."""

    EMPTY_FILE = "empty-file"
    NOT_GZIP = "not-gzip"
    TRUNCATED = "truncated"
    GZIP_DAMAGED = "gzip-damaged"
    TRAILING_GARBAGE = "trailing-garbage"
    TOO_LARGE = "too-large"
    RATIO_EXCEEDED = "ratio-exceeded"
    NOT_XML = "not-xml"
    DOCTYPE = "doctype"
    NOT_WELL_FORMED = "not-well-formed"
    NOT_AN_EXTRACT = "not-an-extract"
    RESPONSE_CODE = "response-code"
    LEADING_TOO_LONG = "leading-too-long"
    TOO_DEEP = "too-deep"
    FIELD_TOO_LONG = "field-too-long"
    RECORD_TOO_LARGE = "record-too-large"
    TOO_MANY_RECORDS = "too-many-records"
    TOO_MANY_REJECTED = "too-many-rejected"

    @property
    def hint(self) -> str:
        """What an operator does next."""
        return _HINTS[self]


_CUT = "the published file is incomplete: tell the DCC, and run again once it is replaced"
_DAMAGED = "the published file is damaged: tell the DCC, and run again once it is replaced"
_FOREIGN = "this is not what Appendix O 2.3.3 describes: check the repository path, then tell the DCC"
_HOSTILE = "no honest extract looks like this: keep the file and tell the DCC"
_LIMIT = "if the file is honest, raise the reader's limit of that name; otherwise tell the DCC"

_HINTS = {
    Fault.EMPTY_FILE: _CUT,
    Fault.NOT_GZIP: _FOREIGN,
    Fault.TRUNCATED: _CUT,
    Fault.GZIP_DAMAGED: _DAMAGED,
    Fault.TRAILING_GARBAGE: _DAMAGED,
    Fault.TOO_LARGE: _LIMIT,
    Fault.RATIO_EXCEEDED: _LIMIT,
    Fault.NOT_XML: _FOREIGN,
    Fault.DOCTYPE: _HOSTILE,
    Fault.NOT_WELL_FORMED: _DAMAGED,
    Fault.NOT_AN_EXTRACT: _FOREIGN,
    Fault.RESPONSE_CODE: "the Repository wrote an error in place of an extract: wait, or tell the DCC",
    Fault.LEADING_TOO_LONG: _LIMIT,
    Fault.TOO_DEEP: _LIMIT,
    Fault.FIELD_TOO_LONG: _LIMIT,
    Fault.RECORD_TOO_LARGE: _LIMIT,
    Fault.TOO_MANY_RECORDS: _LIMIT,
    Fault.TOO_MANY_REJECTED: "the file, or the format, has changed: look at the details, then tell the DCC",
}


def bad_extract(fault: Fault, name: str, what: str) -> BadExtract:
    """Make the error: ``name`` is the file, ``what`` says where in it and what was found."""
    return BadExtract(f"{name}: {what}", hint=fault.hint, code=fault.value)
