"""Everything that can be wrong with an extract, each with its stable code and its advice.

For: one closed list, so that codes and hints stand in one place and the docs can be made from it.
Refuses: to find faults; reader, rules and mirror do. Used as ``raise bad_extract(Fault.X, name, "what")``.
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
    OTHER_SHA256 = "other-sha256"
    INNER_NAME = "inner-name"
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
    TOO_MANY_NAMES = "too-many-names"
    TOO_MANY_REJECTED = "too-many-rejected"
    NOT_A_FULL = "not-a-full"
    NOT_A_DELTA = "not-a-delta"
    SHRINKS_MIRROR = "shrinks-mirror"

    @property
    def hint(self) -> str:
        """What an operator does next."""
        return _HINTS[self]


_CUT = "the published file is incomplete: tell the DCC, and run again once it is replaced"
_DAMAGED = "the published file is damaged: tell the DCC, and run again once it is replaced"
_FOREIGN = "this is not what Appendix O 2.3.3 describes: check the repository path, then tell the DCC"
_HOSTILE = "no honest extract looks like this: keep the file and tell the DCC"


def _raise(key: str) -> str:
    return f"if the file is honest, raise `{key}` and run again; otherwise keep it and tell the DCC"


def _mistaken(kind: str, key: str) -> str:
    return f"ask the DCC whether it has published a {kind} under this name; if all is well, raise `{key}`"


_HINTS = {
    Fault.EMPTY_FILE: _CUT,
    Fault.NOT_GZIP: _FOREIGN,
    Fault.TRUNCATED: _CUT,
    Fault.GZIP_DAMAGED: _DAMAGED,
    Fault.TRAILING_GARBAGE: _DAMAGED,
    Fault.OTHER_SHA256: "the archive is damaged there: take the file from elsewhere",
    Fault.INNER_NAME: "tell the DCC; if it says that the file is right, `policy.check_inner_names = false`",
    Fault.TOO_LARGE: _raise("limits.decompressed_bytes"),
    Fault.RATIO_EXCEEDED: _raise("limits.ratio"),
    Fault.NOT_XML: _FOREIGN,
    Fault.DOCTYPE: _HOSTILE,
    Fault.NOT_WELL_FORMED: _DAMAGED,
    Fault.NOT_AN_EXTRACT: _FOREIGN,
    Fault.RESPONSE_CODE: "the Repository wrote an error in place of an extract: wait, or tell the DCC",
    Fault.LEADING_TOO_LONG: _raise("limits.leading_bytes"),
    Fault.TOO_DEEP: _raise("limits.depth"),
    Fault.FIELD_TOO_LONG: _raise("limits.field_bytes"),
    Fault.RECORD_TOO_LARGE: _raise("limits.record_bytes"),
    Fault.TOO_MANY_RECORDS: _raise("limits.records"),
    Fault.TOO_MANY_NAMES: _raise("limits.names"),
    Fault.TOO_MANY_REJECTED: "the file, or the format, has changed: look at the details, then tell the DCC",
    Fault.NOT_A_FULL: _mistaken("delta", "policy.max_not_in_use_share"),
    Fault.NOT_A_DELTA: _mistaken("full", "policy.max_repeat_share"),
    Fault.SHRINKS_MIRROR: "ask the DCC whether this is right; if it is, run again with `--accept-shrink`,"
    " which takes the file as it lies there, this once",
}


def bad_extract(fault: Fault, name: str, what: str) -> BadExtract:
    """Make the error: ``name`` is the file, ``what`` says where in it and what was found."""
    return BadExtract(f"{name}: {what}", hint=fault.hint, code=fault.value)
