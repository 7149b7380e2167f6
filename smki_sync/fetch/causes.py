"""What is done about each fault of the repository: tried again, waited for, or reported at once.

For: the one table of causes, which retries, tests and docs/downloads.md read. Refuses: to know exit codes
(the doors have those), and to try a refusal again: five wrong logins in an hour lock an account (Appendix
P).
"""

from dataclasses import dataclass
from enum import StrEnum

from smki_sync.errors import SourceError, SourceMissing, SourceRefused, SourceUnreachable


class Treatment(StrEnum):
    """``AGAIN``: connect anew and go on. ``WAIT``: let the file settle. ``NEVER``: report it at once."""

    AGAIN = "again"
    WAIT = "wait"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One fault by its error code, the class that carries it, and why it is treated so."""

    code: str
    kind: type[SourceError]
    treatment: Treatment
    why: str


def _again(code: str, why: str) -> Cause:
    return Cause(code=code, kind=SourceUnreachable, treatment=Treatment.AGAIN, why=why)


def _wait(code: str, why: str) -> Cause:
    return Cause(code=code, kind=SourceUnreachable, treatment=Treatment.WAIT, why=why)


def _never(code: str, why: str, kind: type[SourceError] = SourceUnreachable) -> Cause:
    return Cause(code=code, kind=kind, treatment=Treatment.NEVER, why=why)


CAUSES = (
    _again("source-unreachable", "no closer word, and the class says that it may pass"),
    _again("host-unknown", "a name service may be down for a moment"),
    _again("connection-refused", "a server that is started again refuses for a while"),
    _again("connect-timeout", "a line comes back"),
    _again("banner-timeout", "a busy server names itself late"),
    _again("login-timeout", "no answer is no refusal"),
    _again("handshake-failed", "cut in the middle, or a server that is starting"),
    _again("no-sftp", "a server that is being set up says so too"),
    _again("server-busy", "a server with too many callers has room later"),
    _again("too-slow", "a line that drips may be better on another connection"),
    _again("stalled", "a server or a line hangs, and another connection may not"),
    _again("connection-lost", "reset, cut, or ended in the middle"),
    _again("server-failed", "the server reports a failure of its own"),
    _again("read-failed", "a share or a medium comes back"),
    _wait("ended-early", "the file is shorter than it was: it is being replaced"),
    _wait("changed-while-fetched", "the file is still being written, or was replaced"),
    _never("total-timeout", "the operator's own limit; the next run goes on from here"),
    _never("no-common-algorithm", "the same server offers the same"),
    _never("protocol-broken", "the same server would answer alike"),
    _never("listing-too-long", "the same directory has as many names"),
    _never("source-refused", "a refusal stands", SourceRefused),
    _never("host-key-unknown", "somebody has to compare the key", SourceRefused),
    _never("host-key-changed", "somebody has to ask the DCC", SourceRefused),
    _never("host-key-revoked", "somebody has to ask the DCC", SourceRefused),
    _never("login-refused", "refused logins lock the account (Appendix P)", SourceRefused),
    _never("host-key-differs", "somebody has to ask the DCC", SourceRefused),
    _never("refused-recently", "one more wrong login may lock the account (Appendix P)", SourceRefused),
    _never("permission-denied", "rights do not come by asking", SourceRefused),
    _never("source-missing", "what is not there is not there a moment later", SourceMissing),
    _never("nothing-to-restore-from", "a full that fits comes with a later listing", SourceMissing),
    _never("no-full-to-compare", "a full that fits comes with a later listing", SourceMissing),
    _never("not-a-file", "it is something else", SourceMissing),
    _never("not-a-plain-name", "no such name is asked for", SourceMissing),
)
"""Every cause that a source can name."""

_BY_CODE = {cause.code: cause for cause in CAUSES}


def treatment_of(error: SourceError) -> Treatment:
    """Say what is done about an error; one without a row is treated as its class says."""
    if not isinstance(error, SourceUnreachable):
        return Treatment.NEVER
    known = _BY_CODE.get(error.reason)
    return known.treatment if known else Treatment.AGAIN
