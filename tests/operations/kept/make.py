"""Keep a mirror as this version of the program writes it: ``schema-N.tar.xz`` beside this file.

    make kept                                       with the code of this checkout
    PYTHONPATH=/an/older/checkout python make.py    with that of another

The mirror stands a day before the end of ``sample_data/``, so that a later version has something to apply.
"""

import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
SAMPLE = HERE.parents[2] / "sample_data"
NEWEST, TODAY = "SMKIKR_DELT_2026-11-11.xml.gz", "2026-11-11"


def main() -> None:
    with TemporaryDirectory() as name:
        place = Path(name)
        copytree(SAMPLE, place / "repository", ignore=lambda *_: {NEWEST, "README.md"})
        mirror = place / "mirror"
        smki_sync("sync", "--source", (place / "repository").as_uri(), "--mirror", mirror, code=0)
        smki_sync("verify", "--mirror", mirror)  # the first versions cannot; later ones remember proofs
        with closing(sqlite3.connect(mirror / "mirror.db")) as db:
            (schema,) = db.execute("PRAGMA user_version").fetchone()
        pack(mirror, HERE / f"schema-{schema}.tar.xz")


def smki_sync(*words: object, code: int | None = None) -> None:
    line = [sys.executable, "-m", "smki_sync", *map(str, words)]
    done = subprocess.run(
        line, env={**os.environ, "SMKI_SYNC_TODAY": TODAY}, check=False, capture_output=True
    )
    if code not in {None, done.returncode}:
        raise SystemExit(done.stderr.decode())


def pack(mirror: Path, target: Path) -> None:
    """Everything but what SQLite and the lock make anew."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return None if member.name.endswith(("-shm", "/lock")) else member

    with tarfile.open(target, "w:xz") as archive:
        archive.add(mirror, "mirror", filter=plain)
    sys.stdout.write(f"{target}: {target.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
