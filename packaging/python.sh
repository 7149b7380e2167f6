#!/bin/sh
# Print the first of the named interpreters that is Python 3.11 or later with venv.
usable='import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))'
for python in "$@"; do
  # It is run, not only looked up: a shim of pyenv exists for versions that are not active.
  if "$python" -c "$usable" 2>/dev/null; then
    echo "$python"
    exit 0
  fi
done
echo "Python 3.11 or later with venv was not found. Install it on Debian or Ubuntu: apt install python3-venv" \
  "(Ubuntu 22.04: python3.11-venv)" >&2
exit 1
