"""Once a day, by itself: the units of systemd and the lines of cron, made for this machine.

For: ``smki-sync schedule`` and the offer of ``init``. The texts stand in ``templates/``, each once, and
``packaging/`` is made from them. Refuses: to enable anything, to make users, to change who owns a file; it
says which commands do.
"""

from smki_sync.cli.scheduler_units import Place, place_of
from smki_sync.cli.scheduling.asking import Scheduling, may_replace, offered
from smki_sync.cli.scheduling.files import Scheduler, files
from smki_sync.cli.scheduling.jobs import DRILL, SYNC, Job
from smki_sync.cli.scheduling.writing import Schedule, State, prepare, schedule_of, write

__all__ = [
    "DRILL",
    "SYNC",
    "Job",
    "Place",
    "Schedule",
    "Scheduler",
    "Scheduling",
    "State",
    "files",
    "may_replace",
    "offered",
    "place_of",
    "prepare",
    "schedule_of",
    "write",
]
