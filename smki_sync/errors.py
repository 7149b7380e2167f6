"""Exception hierarchy by who must act; error codes of a bad extract."""

from enum import StrEnum
from typing import ClassVar


class SmkiSyncError(Exception):
    """Base of all named failures.

    ``message``: what happened, to what. ``hint``: what to do next, may be empty.
    ``code``: a stable word in kebab case, one per class unless given. ``next_step``: the hint where none
    is given.
    """

    code: ClassVar[str] = "error"
    next_step: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        """Keep the facts; ``code`` overrides the class's own where one class has several causes."""
        super().__init__(message)
        self.message = message
        self.hint = hint or self.next_step
        self.reason = code or type(self).code


class UsageError(SmkiSyncError):
    """The command line is wrong: the caller is to blame."""

    code = "usage"


class ConfigError(SmkiSyncError):
    """The configuration is invalid: whoever wrote the file is to blame."""

    code = "config-invalid"


class SourceError(SmkiSyncError):
    """Something about the repository's side; never raised itself."""

    code = "source"


class SourceUnreachable(SourceError):
    """The repository could not be reached or dropped out: the network or the DCC; may pass."""

    code = "source-unreachable"


class SourceRefused(SourceError):
    """Host key or login refused: never retried by itself (Appendix P: five wrong logins lock)."""

    code = "source-refused"


class SourceMissing(SourceError):
    """A file or directory that the listing or the configuration names is not there."""

    code = "source-missing"


class BadExtract(SmkiSyncError):
    """A file is damaged or not what it claims; nothing of it was applied."""

    code = "bad-extract"


class MirrorError(SmkiSyncError):
    """The mirror's own disk or database: damaged, full, not writable."""

    code = "mirror"


class MirrorDamaged(MirrorError):
    """The mirror cannot be read as one, or contradicts itself."""

    code = "mirror-damaged"
    next_step = "Run `smki-sync sync`: it rebuilds a damaged mirror from a full."


class OtherSchema(MirrorError):
    """The mirror is sound, and another version of this program has written it."""

    code = "schema-older"


class MirrorNotWritable(MirrorError):
    """No space, no permission, read-only, or the directory has vanished."""

    code = "mirror-not-writable"


class OutOfMemory(MirrorError):
    """This machine gives the program no more memory."""

    code = "out-of-memory"
    next_step = (
        "See whether this machine, or the MemoryMax of the service, was short of memory (the kernel's log"
        " says so), make room, and run again."
    )


class Locked(SmkiSyncError):
    """Another run holds the mirror."""

    code = "locked"


class Interrupted(SmkiSyncError):
    """Ctrl-C, SIGTERM or a closed terminal; nothing is half done."""

    code = "interrupted"


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
