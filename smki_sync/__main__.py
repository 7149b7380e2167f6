"""Entry point of ``smki-sync`` and ``python -m smki_sync``.

Handles Ctrl-C, SIGTERM and SIGHUP while the modules of :mod:`smki_sync.cli` are imported, and then exits
with 130.
"""

import gc
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run one command and exit with its code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    gc.disable()  # no module is garbage: the collector takes a tenth of the start
    try:
        from smki_sync.cli import main as run  # noqa: PLC0415 - takes 0.3 s, and signals must be handled meanwhile

        run()
    except KeyboardInterrupt:
        sys.exit(130)  # nothing was started, or the interruption is already reported


if __name__ == "__main__":
    main()
