"""Verify a mirror against itself and its trust anchors, without its lock and without changing it.

* :mod:`.runner` a whole mirror or a sample, in threads
* :mod:`.inspector` rows against their certificates, certificates against their chains; the results
* :mod:`.explanation` one certificate, step by step
* :mod:`.manifest` manifests of mirrors, and their comparison
"""

from smki_sync.verify.inspector import Verification
from smki_sync.verify.runner import Scope, VerifyJob, verify

__all__ = ["Scope", "Verification", "VerifyJob", "verify"]
