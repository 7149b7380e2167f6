"""Gaps, holes, an old full, nobody there, the wrong key: the command line, over SFTP, and its exit code."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.mirror_copies import copy_mirror
from support.openssh import make_key, openssh_server
from support.plain_reader import in_use, opened, read

from scenarios.operator import call
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.repository import Repository
from smki_sync.simulator.sftp_server import Service, serve

START = date(2026, 3, 2)
DAY = timedelta(days=1)
FULLS = [START + 7 * n * DAY for n in range(4)]

Document = dict[str, Any]


def full(day: date) -> str:
    return f"SMKIKR_FULL_{day}.xml.gz"


def deltas(first: date, last: date) -> list[str]:
    return [f"SMKIKR_DELT_{first + n * DAY}.xml.gz" for n in range((last - first).days + 1)]


def sync_words(mirror: Path, url: str, key: Path, known_hosts: Path) -> list[str]:
    options = {"mirror": mirror, "source": url, "identity-file": key, "known-hosts": known_hosts}
    return ["sync", *(f"--{name}={value}" for name, value in options.items())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One mirror directory and the repository that it is kept from over SFTP."""

    repository: Repository
    service: Service
    mirror: Path

    def sync(self, *words: str, late: int = 0) -> tuple[int, Document]:
        """Run ``sync`` so many days after the repository's last."""
        return call(
            *sync_words(self.mirror, self.service.url, self.service.client_key, self.service.known_hosts),
            *words,
            today=self.repository.today + late * DAY,
        )

    def equals_the_repository(self) -> bool:
        with opened(self.mirror) as db:
            return in_use(db) == self.repository.in_use()


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven days of life, three days after the second full, and a mirror of them; tests copy it."""
    place = tmp_path_factory.mktemp("synced")
    repository = Repository.create(place / "repository", devices=40, days=11, start=START, seed=3)
    with serve(repository.path) as service:
        code, said = Party(repository=repository, service=service, mirror=place / "mirror").sync()
    assert (code, said["outcome"], said["plan"]["reason"]) == (0, "current", "no-mirror")
    assert said["plan"]["full"] == full(FULLS[1])
    assert said["plan"]["deltas"] == deltas(FULLS[1] - 2 * DAY, FULLS[1] + 3 * DAY)
    return place


@pytest.fixture
def party(synced: Path, tmp_path: Path) -> Iterator[Party]:
    place = tmp_path / "place"
    copy_mirror(synced, place)
    repository = Repository.open(place / "repository")
    with serve(repository.path) as service:
        yield Party(repository=repository, service=service, mirror=place / "mirror")


@pytest.mark.parametrize("away", [3, 7])
def test_a_gap_within_the_window_is_closed_with_exactly_its_deltas(party: Party, away: int) -> None:
    before = party.repository.today
    party.repository.advance(away)
    today = party.repository.today
    code, said = party.sync()
    assert (code, said["outcome"]) == (0, "current")
    assert (said["plan"]["action"], said["plan"]["reason"]) == ("deltas", "deltas-available")
    assert said["plan"]["full"] is None
    assert [one["file"] for one in said["applied"]] == deltas(before + DAY, today)
    assert said["position"] == today.isoformat()
    assert party.equals_the_repository()


def test_a_gap_of_eight_days_takes_a_full_with_its_overlap_and_the_deltas_after_it(party: Party) -> None:
    party.repository.advance(8)
    rehearsed = party.sync("--dry-run")[1]
    code, said = party.sync()
    assert said["plan"] == rehearsed["plan"]
    assert (code, said["outcome"]) == (0, "current")
    assert (said["plan"]["action"], said["plan"]["reason"]) == ("full", "gap-beyond-window")
    assert said["plan"]["full"] == full(FULLS[2])
    assert [one["file"] for one in said["applied"]] == [
        full(FULLS[2]),
        *deltas(FULLS[2] - 2 * DAY, party.repository.today),
    ]
    assert said["position"] == party.repository.today.isoformat()
    assert party.equals_the_repository()
    code, again = party.sync()
    assert (code, again["plan"]["action"], again["plan"]["reason"]) == (0, "none", "up-to-date")
    assert again["applied"] == []
    assert again["digest"] == said["digest"]


def test_a_hole_of_one_day_is_named_and_not_jumped_over_and_closes_when_the_delta_comes(
    party: Party,
) -> None:
    reached = party.repository.today
    party.repository.advance(1)
    party.repository.advance(1, faults=[Fault.WITHHOLD_DELTA])
    party.repository.advance(1)
    hole = reached + 2 * DAY
    code, said = party.sync()
    assert (code, said["outcome"]) == (3, "behind")
    assert (said["plan"]["action"], said["plan"]["reason"]) == ("blocked", "hole-in-deltas")
    assert said["plan"]["missing"] == [hole.isoformat()]
    assert said["position"] == (reached + DAY).isoformat()
    assert [one["file"] for one in said["applied"]] == deltas(reached + DAY, reached + DAY)
    assert [one["code"] for one in said["attention"]] == ["deltas-missing"]
    state = read(party.mirror)
    assert state is not None
    assert state.in_use() == party.repository.at(reached + DAY).in_use()
    code, again = party.sync()
    assert (code, again["applied"], read(party.mirror)) == (3, [], state)
    party.repository.publish_delta(hole)
    code, said = party.sync()
    assert (code, said["plan"]["reason"]) == (0, "deltas-available")
    assert party.equals_the_repository()


def test_a_hole_that_a_newer_full_covers_is_closed_with_that_full(party: Party) -> None:
    party.repository.advance(1, faults=[Fault.WITHHOLD_DELTA])
    party.repository.advance(3)
    code, said = party.sync()
    assert (said["plan"]["action"], said["plan"]["reason"]) == ("full", "hole-in-deltas")
    assert said["plan"]["full"] == full(FULLS[2])
    assert (code, said["outcome"]) == (0, "current")
    assert party.equals_the_repository()


def test_new_mirror_is_unproven_when_deltas_after_its_full_left_the_window(
    party: Party, tmp_path: Path
) -> None:
    party.repository.advance(6, faults=[Fault.WITHHOLD_FULL])
    fresh = Party(repository=party.repository, service=party.service, mirror=tmp_path / "fresh")
    code, said = fresh.sync()
    assert (party.repository.today - FULLS[1]).days == 9
    assert (code, said["outcome"]) == (3, "behind")
    assert (said["plan"]["action"], said["plan"]["reason"]) == ("full", "no-mirror")
    assert said["unproven"]["missing"] == [(FULLS[1] + n * DAY).isoformat() for n in range(-2, 3)]
    assert "unproven" in {one["code"] for one in said["attention"]}
    code, said = fresh.sync()
    assert (code, said["outcome"], said["applied"]) == (3, "behind", [])
    code, said = party.sync()
    assert (code, said["plan"]["reason"]) == (0, "deltas-available")


def test_behind_a_full_that_does_not_join_an_old_mirror_stays_as_it_is_and_is_not_current(
    party: Party,
) -> None:
    party.repository.advance(10, faults=[Fault.WITHHOLD_FULL])
    before = read(party.mirror)
    code, said = party.sync()
    assert (code, said["outcome"], said["plan"]["reason"]) == (3, "behind", "full-too-old")
    assert said["applied"] == []
    assert read(party.mirror) == before


def test_a_repository_without_any_file_is_no_reason_for_a_mirror(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with serve(tmp_path / "empty") as service:
        code, said = call(
            *sync_words(tmp_path / "mirror", service.url, service.client_key, service.known_hosts)
        )
    assert (code, said["outcome"]) == (3, "behind")
    assert (said["plan"]["action"], said["plan"]["reason"]) == ("blocked", "no-full-available")
    assert (said["position"], said["applied"], said["certificates"]["total"]) == (None, [], 0)
    assert not (tmp_path / "mirror" / "mirror.db").exists()


def test_a_repository_that_was_emptied_leaves_the_mirror_and_is_late(party: Party) -> None:
    for path in party.repository.path.glob("SMKIKR_*"):
        path.unlink()
    before = read(party.mirror)
    code, said = party.sync()
    assert (code, said["outcome"]) == (3, "behind")
    assert [one["code"] for one in said["attention"]] == ["listing-empty", "list-missing", "list-missing"]
    assert read(party.mirror) == before
    code, said = party.sync(late=5)
    assert (code, said["outcome"]) == (3, "behind")
    assert {one["code"] for one in said["attention"]} == {
        "listing-empty",
        "repository-late",
        "list-missing",
    }
    assert read(party.mirror) == before


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """How a run ends that could not begin."""

    code: int
    reason: str


def assert_failed(
    party: Party,
    expected: Refusal,
    *,
    url: str | None = None,
    key: Path | None = None,
    known_hosts: Path | None = None,
    mend: Callable[[Party], None] | None = None,
) -> None:
    """A run with other options fails as expected, in its document too, and touches nothing."""
    before = read(party.mirror)
    party.repository.advance()
    service = party.service
    words = sync_words(
        party.mirror, url or service.url, key or service.client_key, known_hosts or service.known_hosts
    )
    calm = party.mirror.parent / "calm.toml"
    calm.write_text("[retry]\nattempts = 1\n")
    code, said = call(*words, today=party.repository.today, SMKI_SYNC_CONFIG=str(calm))
    assert (code, said["outcome"]) == (expected.code, "failed")
    assert (said["error"]["code"], said["error"]["exit"]) == (expected.reason, expected.code)
    assert said["error"]["hint"]
    assert read(party.mirror) == before
    if mend:
        mend(party)
    code, said = party.sync()
    assert (code, said["outcome"]) == (0, "current")


def ask_the_doctor(party: Party) -> None:
    """A login that was refused is not repeated by a run; somebody has to look first."""
    code, said = party.sync()
    assert (code, said["error"]["code"]) == (5, "refused-recently")
    assert "smki-sync doctor" in said["error"]["hint"]
    service = party.service
    words = sync_words(party.mirror, service.url, service.client_key, service.known_hosts)
    code, _ = call("doctor", *words[1:], today=party.repository.today)
    assert code in (0, 3)


def test_a_closed_port_is_unreachable(party: Party) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"sftp://party@127.0.0.1:{probe.getsockname()[1]}/"
        pinned = party.mirror.parent / "pinned"
        name, *key = party.service.host_public_key.split(" ")
        pinned.write_text(" ".join([name.rpartition(":")[0] + f":{probe.getsockname()[1]}", *key]) + "\n")
        assert_failed(party, Refusal(code=4, reason="connection-refused"), url=closed, known_hosts=pinned)


def test_another_host_key_is_refused(party: Party) -> None:
    pinned = party.mirror.parent / "pinned"
    name = party.service.host_public_key.split(" ")[0]
    pinned.write_text(f"{name} {make_key(party.mirror.parent / 'other')}\n")
    assert_failed(party, Refusal(code=5, reason="host-key-changed"), known_hosts=pinned)


def test_an_unknown_host_key_is_refused(party: Party) -> None:
    pinned = party.mirror.parent / "pinned"
    pinned.touch()
    assert_failed(party, Refusal(code=5, reason="host-key-unknown"), known_hosts=pinned)


def test_another_key_of_ours_is_refused(party: Party) -> None:
    other = party.mirror.parent / "other"
    make_key(other)
    assert_failed(party, Refusal(code=5, reason="login-refused"), key=other, mend=ask_the_doctor)


def test_login_as_another_user_is_refused(party: Party) -> None:
    url = party.service.url.replace("party@", "nobody@")
    assert_failed(party, Refusal(code=5, reason="login-refused"), url=url)


def test_over_a_real_openssh_server_a_mirror_begins_and_follows(party: Party, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with openssh_server(party.repository.path, scratch) as server:
        for away, reason in ((0, "no-mirror"), (3, "deltas-available"), (8, "gap-beyond-window")):
            if away:
                party.repository.advance(away)
            code, said = call(
                *sync_words(tmp_path / "mirror", server.url, server.identity_file, server.known_hosts),
                today=party.repository.today,
            )
            assert (code, said["outcome"], said["plan"]["reason"]) == (0, "current", reason)
            with opened(tmp_path / "mirror") as db:
                assert in_use(db) == party.repository.in_use()
