"""What every test stands on: Ctrl-C works.

A shell that starts a job in the background lets it ignore SIGINT, and whatever the job starts inherits that.
With a handler of its own here, the processes that tests start begin as in a terminal.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
