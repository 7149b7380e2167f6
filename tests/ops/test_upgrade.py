"""A mirror of an earlier schema, kept as the version of that time wrote it, is made anew by the next sync.

``kept/schema-N.db.gz``: a generation that the code of that schema made from ``sample_data/``.
"""

import gzip
import shutil
from datetime import date
from pathlib import Path

import pytest
from support.cli import Shell

from smki_sync import __version__
from smki_sync.cli.exits import Exit
from smki_sync.mirror.schema import SCHEMA_VERSION

SAMPLE = Path(__file__).parents[2] / "sample_data"
KEPT = sorted((Path(__file__).parent / "kept").glob("schema-*.db.gz"))


@pytest.fixture(params=KEPT, ids=lambda path: path.name)
def smki(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    """Somebody at a prompt beside the old mirror, on the day on which it was made."""
    generations = tmp_path / "mirror" / "generations"
    generations.mkdir(parents=True)
    (generations / "000001.db").write_bytes(gzip.decompress(request.param.read_bytes()))
    (tmp_path / "mirror" / "mirror.db").symlink_to("generations/000001.db")
    shutil.copytree(SAMPLE, tmp_path / "repository")
    (tmp_path / "smki-sync.toml").write_text(
        f'[repository]\nurl = "{(tmp_path / "repository").as_uri()}"\n[mirror]\npath = "mirror"\n'
    )
    return Shell(place=tmp_path, today=date(2026, 11, 12))


def test_the_next_sync_makes_the_mirror_anew_and_says_why(smki: Shell) -> None:
    ran = smki("sync", "--json")
    assert ran.code == Exit.OK, ran.err
    assert ran.document["plan"]["reason"] == "schema-changed"
    assert ran.document["position"] == "2026-11-11"
    assert smki("reconcile").code == Exit.OK
    again = smki("sync", "--json").document
    assert again["plan"]["reason"] == "up-to-date"


def test_the_old_generation_stands_while_no_full_is_on_offer(smki: Shell) -> None:
    for full in (smki.place / "repository").glob("SMKIKR_FULL_*"):
        full.unlink()
    before = (smki.place / "mirror" / "generations" / "000001.db").read_bytes()
    ran = smki("sync", "--json")
    assert ran.code == Exit.ATTENTION
    assert ran.document["plan"]["reason"] == "no-full-available"
    assert (smki.place / "mirror" / "generations" / "000001.db").read_bytes() == before


def test_a_question_to_it_says_what_to_do(smki: Shell) -> None:
    error = smki("find", "--json").error
    assert error["hint"]
    assert error["exit"] in {Exit.MIRROR, Exit.ATTENTION}


def test_doctor_says_that_the_next_sync_makes_it_anew(smki: Shell) -> None:
    ran = smki("doctor", "--json")
    assert ran.code == Exit.ATTENTION
    (mirror,) = [check for check in ran.document["checks"] if check["check"] == "mirror"]
    assert mirror["verdict"] == "warn"


def test_the_version_names_the_schema() -> None:
    ran = Shell(place=Path.cwd())("--version")
    assert ran.out == f"smki-sync {__version__}, schema {SCHEMA_VERSION} of the mirror\n"
