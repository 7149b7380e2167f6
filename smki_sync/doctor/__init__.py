"""What would stop a sync, found out beforehand, one thing after the other.

For: ``smki-sync doctor`` on the first day and on any bad one. Refuses: to change anything but the memory of
refused logins, and to log in more than once.

* :mod:`.finding` what was seen, how bad it is, how to mend it
* :mod:`.network` from the host's name to a listing, in one connection
* :mod:`.offer` what the listing holds, and what clocks it betrays
* :mod:`.places` fallbacks, archive, metrics, hooks
* :mod:`.local` disk, lock, mirror, age, SQLite
* :mod:`.examine` all of them, in order
"""

from smki_sync.doctor.examine import Patient, examine
from smki_sync.doctor.finding import Finding, Verdict
from smki_sync.doctor.places import Places

__all__ = ["Finding", "Patient", "Places", "Verdict", "examine"]
