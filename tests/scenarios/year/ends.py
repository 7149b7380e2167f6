"""How runs end while something is wrong at the repository, worked out without the program."""

from smki_sync.cli.exit_codes import Exit
from smki_sync.simulator.faults import Fault

Codes = tuple[Exit, ...]
DAMAGED: Codes = (Exit.BAD_EXTRACT, Exit.BAD_EXTRACT)
TOLD: Codes = (Exit.ATTENTION,)
FINE: Codes = (Exit.OK,)

ENDS: dict[Fault, Codes] = {
    Fault.TRUNCATE: DAMAGED,
    Fault.CORRUPT: DAMAGED,
    Fault.MISMATCHED_TAG: DAMAGED,
    Fault.EMPTY_FILE: TOLD,
    Fault.POISON_RECORD: (Exit.ATTENTION, Exit.ATTENTION),
    Fault.WITHHOLD_DELTA: (Exit.ATTENTION, Exit.ATTENTION),
    Fault.LATE_DELTA: TOLD,
    Fault.CHANGE_AFTER_PUBLICATION: FINE,
    Fault.SAME_SIZE_CHANGE: FINE,
    Fault.STRANGE_NAME: FINE,
    Fault.IMPOSSIBLE_DATE: FINE,
    Fault.HALF_WRITTEN: FINE,
    Fault.FUTURE_FULL: FINE,
    Fault.CORRUPT_FULL: FINE,
    Fault.OLDER_CRL: TOLD,
    Fault.FORGED_CRL: TOLD,
    Fault.STRANGER_CRL: TOLD,
    Fault.CORRUPT_CRL: TOLD,
    Fault.WITHHOLD_LISTS: TOLD,
    Fault.SLOTS_DIFFER: TOLD,
}
"""How each run ends from the one that first meets a fault until somebody mends it."""
