"""What a mirror is anchored to, and when it was last verified as a whole: one line, one JSON object.

For: ``status``. Refuses: to verify anything.
"""

from contextlib import suppress
from dataclasses import dataclass

from smki_sync.cli.documents import Json
from smki_sync.config.whole import Config
from smki_sync.errors import MirrorError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.signature_cache import LastVerification, last_verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """``anchors``: trust anchors that are configured. ``last``: the last whole verification that is known.

    ``replaced``: another generation has taken the place of the one that was verified.
    """

    anchors: int
    last: LastVerification | None
    replaced: bool = False

    def document(self) -> Json:
        """As JSON."""
        last = self.last
        return {
            "anchored": self.anchors > 0,
            "anchors": self.anchors,
            "last_verified": {
                "at": last.at,
                "position": last.position,
                "certificates": last.certificates,
                "errors": last.errors,
                "warnings": last.warnings,
                "anchored": last.anchored,
                "replaced": self.replaced,
            }
            if last
            else None,
        }

    def lines(self) -> list[str]:
        """For people."""
        few = f"{self.anchors} anchor{'s' * (self.anchors > 1)}"
        held = few if self.anchors else "nothing is anchored: trust.anchors is not configured"
        return [f"trust         {held}", f"verified      {self._verified()}"]

    def _verified(self) -> str:
        if self.last is None:
            return "as a whole not that is known; `smki-sync verify` does"
        end = f"{self.last.errors:,} error{'s' * (self.last.errors > 1)}" if self.last.errors else "sound"
        loose = "" if self.last.anchored else ", not anchored"
        gone = ", replaced since" if self.replaced else ""
        return f"{self.last.at}  {end}{loose}, as of {self.last.position}{gone}"


def trusted_of(settings: Config, directory: MirrorDirectory) -> Trusted:
    """Read the anchors, which fails where one that is named is not there, and what is remembered."""
    anchors = len(settings.trust.read_anchors())
    last = last_verification(directory.proofs)
    return Trusted(anchors=anchors, last=last, replaced=_is_replaced(last, directory))


def _is_replaced(last: LastVerification | None, directory: MirrorDirectory) -> bool:
    """Whether readers see another generation by now; one that cannot be found has said so already."""
    if last is None or not last.generation:
        return False
    with suppress(MirrorError):
        now = directory.linked()
        return now is not None and now.name != last.generation
    return False
