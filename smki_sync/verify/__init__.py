"""Verify a mirror and its certificate chains, without locking or changing it.

* :mod:`.runner` verify a whole mirror or a sample, in threads
* :mod:`.inspector` compare rows with their certificates, verify chains; the results
* :mod:`.explanation` explain the checks of one certificate, step by step
* :mod:`.manifest` make and compare manifests of mirrors
"""

from smki_sync.verify.inspector import Verification
from smki_sync.verify.runner import Scope, VerifyJob, verify

__all__ = ["Scope", "Verification", "VerifyJob", "verify"]
