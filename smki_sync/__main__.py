"""``python -m smki_sync``: the same as ``smki-sync``."""

from smki_sync.cli import main

if __name__ == "__main__":
    main()
