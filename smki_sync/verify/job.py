"""What a verification is given: which mirror, whom to trust, at what time, how much of it.

For: one frozen value. Refuses: defaults for anything that an operator decides.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from smki_sync.events import Listener, Silence
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.verify.threads import usual_threads


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How much is verified.

    ``sample``: so many certificates, chosen by chance; ``None`` for all, with pages, indexes, counts and
    digest. ``any_status``: also what is not In-Use. ``afresh``: remembered proofs are worked out again.
    """

    sample: int | None = None
    any_status: bool = False
    afresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyJob:
    """One mirror, one set of anchors, one time.

    ``anchors``: trust anchors as DER. ``at``: the time that dates are judged by. ``complete``: where every
    finding is written, one JSON object a line; ``None`` for nowhere. ``chance``: chooses a sample.
    """

    directory: MirrorDirectory
    at: datetime
    anchors: tuple[bytes, ...] = ()
    scope: Scope = field(default_factory=Scope)
    complete: Path | None = None
    hear: Listener = field(default_factory=Silence)
    clock: Callable[[], datetime] = _now
    chance: Random = field(default_factory=Random)
    threads: int = field(default_factory=usual_threads)
