"""ARL, CRL and anchor slots: fetched where they have changed, judged, and put into force.

For: what a run does beside its plan. Lists are applied after the extracts, since a delta may bring the
authority that has signed a list, and all the same where the extracts fail: nothing that is wrong with a
delta holds a revocation up. What could not be judged is judged again by every run, from the octets that
are kept. Refuses: to stop a run: whatever is wrong with a companion is a call for attention.

* :mod:`.gather` what is on offer, and its octets
* :mod:`.lists` ARL and CRL: judged, put into force, or set aside
* :mod:`.slots` anchor slots: taken into the history, compared
* :mod:`.settle` all of it, and what it calls for
* :mod:`.words` what an operator is told
"""

from smki_sync.sync.companions.gather import Gathered, gather
from smki_sync.sync.companions.settle import Settled, look_at_lists, settle

__all__ = ["Gathered", "Settled", "gather", "look_at_lists", "settle"]
