"""Recovery: restore from the Repository or an archive, rehearse that, compare with a full."""

from smki_sync.recovery.rehearsal import RehearsalFailed, RehearsalResult, rehearse_restore
from smki_sync.recovery.restore import Phase, RestoreResult, restore
from smki_sync.recovery.restore_checks import ExpectedDigest, RestoreCheck

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
