"""The mirror against itself and against its trust anchors.

For: :func:`verify`, the deed behind ``smki-sync verify``. Refuses: to change a mirror, to take its lock, to
stop at a finding.

* :mod:`.job` what a verification is given
* :mod:`.report` what it found
* :mod:`.inspect` a few rows: each against its certificate, each certificate against its chain
* :mod:`.run` a whole mirror, in threads
"""

from smki_sync.verify.inspector import Verification
from smki_sync.verify.runner import Scope, VerifyJob, verify

__all__ = ["Scope", "Verification", "VerifyJob", "verify"]
