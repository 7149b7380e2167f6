"""After an outage: what docs/runbook.md says of three, seven and thirty days."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from support.cli import Shell

from operations.conftest import TODAY
from smki_sync.cli.exit_codes import Exit
from smki_sync.simulator.repository import Repository

PAGE = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text("utf-8")
ROWS = re.findall(r"^\| (\d+) days \|.*\| `([a-z-]+)` \|$", PAGE, re.MULTILINE)


def test_the_page_has_its_three_outages() -> None:
    assert [int(days) for days, _ in ROWS] == [3, 7, 30]


@pytest.mark.parametrize(("days", "reason"), ROWS)
def test_the_next_sync_catches_up_in_the_documented_way(
    smki: Shell, repository: Path, days: str, reason: str
) -> None:
    words = ("sync", "--mirror", "mirror", "--source", repository.as_uri(), "--json")
    assert smki(*words).code == Exit.OK
    Repository.open(repository).advance(int(days))
    back = Shell(place=smki.place, today=TODAY + timedelta(days=int(days)))
    lineage = back("manifest", "--mirror", "mirror", "--json").document["lineage"]
    # The few devices of the test change faster than the limit on one file allows.
    ran = back(*words, *(["--accept-shrink"] if reason == "gap-beyond-window" else []))
    assert (ran.code, ran.document["plan"]["reason"]) == (Exit.OK, reason), ran.err
    assert back("manifest", "--mirror", "mirror", "--json").document["lineage"] == lineage
