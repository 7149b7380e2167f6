"""The program's entry: ``smki-sync``, and ``python -m smki_sync``.

For: being stoppable from the first moment. Ctrl-C, SIGTERM and a closed terminal end it with 130 while its
modules are still being loaded too. Refuses: everything else; :mod:`smki_sync.cli` is the program.
"""

import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run one command and exit with its code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        from smki_sync.cli import main as run  # noqa: PLC0415 - a third of a second, in which somebody may stop us

        run()
    except KeyboardInterrupt:
        sys.exit(130)  # nothing was begun, or the way it ended is said already


if __name__ == "__main__":
    main()
