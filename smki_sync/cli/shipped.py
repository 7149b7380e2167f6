"""What lies in the checkout and is made from the code: units, the cron file, the manual page, docs/cli.md.

For: ``make generate``, and the test that what was committed is what would be made now. Refuses: to decide
what stands in them.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from smki_sync.cli.manual import manual
from smki_sync.cli.reference import reference
from smki_sync.cli.scheduling import DRILL, SYNC, Place, Scheduler, files
from smki_sync.cli.scheduling.files import SERVICE_USER
from smki_sync.config.file import SYSTEM_FILE

USUAL: Final = Place(
    program=("/opt/smki-sync/bin/smki-sync",),
    user=SERVICE_USER,
    config=SYSTEM_FILE,
    own=(Path("/var/lib/smki-sync"),),
)
"""Where things are on a server that is set up as docs/scheduling.md says."""


def shipped() -> Mapping[str, str]:
    """The files, by their path in the checkout."""
    jobs = (SYNC, DRILL)
    return {
        **{f"packaging/systemd/{one.name}": one.text for one in files(Scheduler.SYSTEMD, USUAL, jobs)},
        **{f"packaging/cron/{one.name}": one.text for one in files(Scheduler.CRON, USUAL, [SYNC])},
        "packaging/man/smki-sync.1": manual(),
        "docs/cli.md": reference(),
    }


def main(checkout: Path) -> None:
    """Write them all."""
    for name, text in shipped().items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
