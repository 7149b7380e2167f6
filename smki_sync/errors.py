"""Exception hierarchy by who must act; error codes of a bad extract.

Each class has one exit code (:mod:`smki_sync.cli.exit_codes`). The class says who must act:

* :class:`UsageError`, :class:`ConfigError`: the person who wrote the command line or the configuration.
* :class:`SourceError`, :class:`BadExtract`: the network, the Repository or the DCC.
* :class:`MirrorError`: the operator, who restores or rebuilds the mirror.
* :class:`ResourceError`, :class:`OutputError`: the administrator of this machine.
* :class:`InternalError`: the authors of this program.
"""

from enum import StrEnum
from typing import ClassVar


class SmkiSyncError(Exception):
    """Base class of all errors that this program raises on purpose.

    ``message``: what happened, to which object. ``hint``: what to do next; may be empty.
    ``code``: a stable word in kebab case, one per class unless given. ``next_step``: the default hint.
    """

    code: ClassVar[str] = "error"
    next_step: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        """Store the facts; ``code`` replaces the code of the class if one class has several causes."""
        super().__init__(message)
        self.message = message
        self.hint = hint or self.next_step
        self.reason = code or type(self).code


class UsageError(SmkiSyncError):
    """The command line is wrong."""

    code = "usage"


class ConfigError(SmkiSyncError):
    """The configuration is invalid."""

    code = "config-invalid"


class SourceError(SmkiSyncError):
    """Base class of errors of the source of extracts; not raised directly."""

    code = "source"


class SourceUnreachable(SourceError):
    """The source cannot be reached, or the connection was lost; may pass."""

    code = "source-unreachable"


class SourceReadFailed(SourceUnreachable):
    """This machine cannot read a local file of extracts: a damaged medium, or a share that is gone."""

    code = "read-failed"


class LoginInterrupted(SourceUnreachable):
    """The connection ended during the login; the server may have counted a wrong login."""


class SourceRefused(SourceError):
    """The host key or the login was refused; never retried (Appendix P: 5 failed logins lock the account)."""

    code = "source-refused"


class SourceNotReadable(SourceRefused):
    """A local directory of extracts may not be read by the user of this program."""

    code = "permission-denied"


class SourceMissing(SourceError):
    """A file or directory of the listing or the configuration does not exist."""

    code = "source-missing"


class BadExtract(SmkiSyncError):
    """A file is damaged or is not what it claims to be; nothing of it was applied."""

    code = "bad-extract"


class MirrorError(SmkiSyncError):
    """The mirror cannot be used. Base class of everything that can go wrong in the mirror directory."""

    code = "mirror"


class MirrorDamaged(MirrorError):
    """The mirror is damaged, or its parts contradict each other."""

    code = "mirror-damaged"
    next_step = "Run `smki-sync sync`: it rebuilds a damaged mirror from a full extract."


class OtherSchema(MirrorError):
    """The mirror is intact, but another version of this program wrote it."""

    code = "schema-older"


class ResourceError(MirrorError):
    """This machine lacks something: space, permission, memory, or a feature of the file system.

    A subclass of :class:`MirrorError` so that callers can catch every local failure in one place.
    """

    code = "resources"


class MirrorNotWritable(ResourceError):
    """No space, no permission, a read-only file system, or the directory does not exist any more."""

    code = "mirror-not-writable"


class OutOfMemory(ResourceError):
    """The operating system gives the program no more memory."""

    code = "out-of-memory"
    next_step = (
        "Check the kernel log and the MemoryMax of the service. Free memory or raise the limit, then run"
        " again."
    )


class OutputError(SmkiSyncError):
    """An output file, or standard output, cannot be written: no space or no permission."""

    code = "output-not-writable"


class Locked(SmkiSyncError):
    """Another run holds the lock of the mirror."""

    code = "locked"


class Interrupted(SmkiSyncError):
    """Ctrl-C, SIGTERM or a closed terminal; no file is partly applied."""

    code = "interrupted"


class InternalError(SmkiSyncError):
    """A bug in this program."""

    code = "unexpected"
    next_step = "Report this error, with the output of the same command with --verbose."


class Fault(StrEnum):
    """Why a file is not a valid extract. The codes are a promise: add new ones, never rename one."""

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


_INCOMPLETE = "The published file is incomplete. Contact the DCC, and run again after it is replaced."
_DAMAGED = "The published file is damaged. Contact the DCC, and run again after it is replaced."
_OTHER_FORMAT = (
    "The file does not have the format of Appendix O 2.3.3. Check the repository path, then contact the DCC."
)
_HOSTILE = "A genuine extract never contains this. Keep the file and contact the DCC."


_TOO_LARGE = (
    "No genuine extract comes near this limit. Keep the file and contact the DCC. If the file is correct,"
    " report the limit to the developers of smki-sync."
)


def _wrong_kind(kind: str, key: str) -> str:
    return f"Ask the DCC whether it published a {kind} under this name. If the file is right, raise `{key}`."


_HINTS = {
    Fault.EMPTY_FILE: _INCOMPLETE,
    Fault.NOT_GZIP: _OTHER_FORMAT,
    Fault.TRUNCATED: _INCOMPLETE,
    Fault.GZIP_DAMAGED: _DAMAGED,
    Fault.TRAILING_GARBAGE: _DAMAGED,
    Fault.OTHER_SHA256: "The copy in the archive is damaged. Get the file from another source.",
    Fault.INNER_NAME: (
        "Contact the DCC. If it confirms that the file is right, set `policy.check_inner_names = false`."
    ),
    Fault.TOO_LARGE: _TOO_LARGE,
    Fault.RATIO_EXCEEDED: _TOO_LARGE,
    Fault.NOT_XML: _OTHER_FORMAT,
    Fault.DOCTYPE: _HOSTILE,
    Fault.NOT_WELL_FORMED: _DAMAGED,
    Fault.NOT_AN_EXTRACT: _OTHER_FORMAT,
    Fault.RESPONSE_CODE: (
        "The Repository published an error message instead of an extract. Wait, or contact the DCC."
    ),
    Fault.LEADING_TOO_LONG: _TOO_LARGE,
    Fault.TOO_DEEP: _TOO_LARGE,
    Fault.RECORD_TOO_LARGE: _TOO_LARGE,
    Fault.TOO_MANY_RECORDS: _TOO_LARGE,
    Fault.TOO_MANY_NAMES: _TOO_LARGE,
    Fault.TOO_MANY_REJECTED: (
        "The file or its format has changed. Check the quoted records, then contact the DCC."
    ),
    Fault.NOT_A_FULL: _wrong_kind("delta", "policy.max_not_in_use_share"),
    Fault.NOT_A_DELTA: _wrong_kind("full extract", "policy.max_repeat_share"),
    Fault.SHRINKS_MIRROR: (
        "Ask the DCC whether this is right. If it is, run again with `--accept-shrink`, which accepts the"
        " file for this run only."
    ),
}


def bad_extract(fault: Fault, name: str, what: str) -> BadExtract:
    """Return the error: ``name`` is the file, ``what`` says where in it and what was found."""
    return BadExtract(f"{name}: {what}", hint=fault.hint, code=fault.value)
