"""The commands that run by themselves, and when.

For: the daily sync, and the monthly drill. Refuses: to know of a machine.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command that runs by itself.

    ``name``: of its units. ``ending``: what its exit codes mean to systemd. ``calendar``: as systemd writes
    times; ``cron``: as crontab(5) does, without the minute; ``unless``: a shell's test that comes first.
    """

    name: str
    command: str
    about: str
    timing: str
    description: str
    often: str
    calendar: str
    cron: str
    unless: str = ""
    ending: str = ""


SYNC: Final = Job(
    name="smki-sync",
    command="sync",
    about="The daily sync.",
    timing="Once a day, at a time drawn once for this machine; what was missed while it was off is made up"
    " for.",
    description="Bring the mirror of the SMKI Repository up to date",
    often="daily",
    calendar="*-*-* 06:00:00 UTC",
    cron="6 * * *",
    ending="# 3: the mirror can be used and is behind; the report says why. A monitor reads the exit code"
    " from the metrics.\nSuccessExitStatus=3\n",
)
DRILL: Final = Job(
    name="smki-sync-drill",
    command="drill",
    about="The recovery drill: a restore that touches nothing, with a report.",
    timing="Once a month, on its first Saturday, well away from the daily sync.",
    description="Rehearse the recovery of the mirror of the SMKI Repository",
    often="monthly",
    calendar="Sat *-*-01..07 12:00:00 UTC",
    cron="12 1-7 * *",
    unless='[ "$(date +\\%u)" = 6 ] && ',
    ending="# It downloads a full unless --source names an archive: agree the day with the DCC"
    " (Appendix P).\n",
)
