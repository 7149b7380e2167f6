"""After a disaster, or to see whether one would be survived: a mirror made anew from its files.

For: ``restore`` and ``drill``. A new generation is built beside whatever is there, looked through, and takes
over in one step. Refuses: to need anything of the old mirror, and to remove it.

* :mod:`.checks` what a new generation must pass
* :mod:`.way` which files, and to which day
* :mod:`.deed` the restore
* :mod:`.told` what it says of itself
* :mod:`.drill` a restore into a scratch place, held against the live mirror
"""

from smki_sync.recovery.drill import RehearsalFailed, RehearsalResult, rehearse_restore
from smki_sync.recovery.restore import ExpectedDigest, Phase, RestoreCheck, RestoreResult, restore

__all__ = [
    "ExpectedDigest",
    "Phase",
    "RehearsalFailed",
    "RehearsalResult",
    "RestoreCheck",
    "RestoreResult",
    "rehearse_restore",
    "restore",
]
