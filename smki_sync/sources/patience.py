"""The limits on time, each with its key in the configuration, its code and its words.

For: one wording of every limit that fires: what was waited for, how long, and which key allows more.
Refuses: to measure; whoever waits does (:mod:`.wire`, :mod:`.dial`, the handshake).
"""

from dataclasses import dataclass

from smki_sync.errors import SourceUnreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimit:
    """One limit. ``key``: what configures it, in seconds. ``code``: of the error when it fires."""

    key: str
    code: str
    hint: str

    def fired(self, what: str, seconds: float) -> SourceUnreachable:
        """Make the error; ``what`` says who did what not within the limit's ``seconds``."""
        return SourceUnreachable(
            f"{what} within {seconds:g} s ({self.key} = {seconds:g})", hint=self.hint, code=self.code
        )


CONNECT = TimeLimit(
    key="limits.connect_seconds",
    code="connect-timeout",
    hint="Check the gateway connection, the firewall and the port.",
)
BANNER = TimeLimit(
    key="limits.banner_seconds",
    code="banner-timeout",
    hint="Check that an SSH server listens on this port; it may be overloaded: try again later.",
)
LOGIN = TimeLimit(
    key="limits.login_seconds",
    code="login-timeout",
    hint="The server may be overloaded: try again later.",
)
STALL = TimeLimit(
    key="limits.stall_seconds",
    code="stalled",
    hint="The server or the line hangs; try again later. What has arrived can be resumed.",
)
TOTAL = TimeLimit(
    key="limits.total_seconds",
    code="total-timeout",
    hint="Try again later, or allow more time; what has arrived can be resumed.",
)
TIME_LIMITS = (CONNECT, BANNER, LOGIN, STALL, TOTAL)
"""In the order in which a connection meets them."""

RATE_KEYS = ("limits.slow_rate", "limits.slow_seconds")
"""What configures the limit on slowness: bytes a second, and the seconds over which they are counted."""


def too_slow(peer: str, octets: int, *, rate: float, seconds: float) -> SourceUnreachable:
    """Make the error for a server that sent ``octets`` in ``seconds`` of waiting, below ``rate`` a second."""
    rate_key, seconds_key = RATE_KEYS
    return SourceUnreachable(
        f"{peer} sent {octets} bytes in {seconds:g} s of waiting, fewer than {rate:g} a second"
        f" ({rate_key} = {rate:g}, {seconds_key} = {seconds:g})",
        code="too-slow",
        hint="The server or the line is all but dead; try again later. What has arrived can be resumed.",
    )
