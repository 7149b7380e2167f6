"""``[trust]``: whom the operator trusts, and how fresh lists must be.

For: verification, ARL and CRL. Refuses: to read a certificate.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from smki_sync.config.settings.about import About


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSettings:
    """``[trust]``: whose signatures count, and how fresh lists must be."""

    anchors: Annotated[
        tuple[Path, ...],
        About(
            meaning="Files of trust anchors, PEM (any number in one) or DER: root OCA, root DCA, or an"
            " issuing authority that is trusted."
        ),
    ] = ()
    arl_max_age_days: Annotated[
        int | None,
        About(
            meaning="An ARL older than this is stale; without it, its own nextUpdate says.",
            unit="days",
            low=1,
            example=400,
        ),
    ] = None
    crl_max_age_days: Annotated[
        int | None,
        About(
            meaning="A CRL older than this is stale; without it, its own nextUpdate says.",
            unit="days",
            low=1,
            example=7,
        ),
    ] = None

    expect_lists: Annotated[
        bool, About(meaning="Whether it is noted that no ARL, or no CRL, is on offer.")
    ] = True

    def read_anchors(self) -> tuple[bytes, ...]:
        """Read the anchors as DER, each once; raises ``ConfigError`` that names the file at fault."""
        if not self.anchors:
            return ()
        from smki_sync.config.anchors import read_anchors  # noqa: PLC0415 - loads what proves signatures

        return read_anchors(self.anchors)
