"""The one tree of errors, cut by who is to blame.

For: every failure that the program can name. An adapter turns a foreign exception into one of these
at its own door (``raise SourceUnreachable(...) from exc``); a door turns one of these into an exit
code. Refuses: to format for a terminal, to log, to decide. The message says what happened and to
what; the hint says what to do next; ``code`` is stable and stands in JSON, logs and docs.
"""

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
