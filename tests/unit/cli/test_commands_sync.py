"""``sync`` as cron meets it: what it does, what it leaves alone, and the code that it ends with."""

import os
import shutil
import socket
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.cli import Ran, Shell
from support.openssh import make_key
from support.paramiko_server import PASSWORD, Behaviour, paramiko_server

from smki_sync.simulator.faults import Fault
from smki_sync.simulator.repository import Repository
from smki_sync.simulator.sftp_server import Service

TODAY = date(2026, 11, 11)


def held(mirror: Path) -> set[bytes]:
    with closing(sqlite3.connect(f"{(mirror / 'mirror.db').as_uri()}?mode=ro", uri=True)) as db:
        return {der for (der,) in db.execute("SELECT der FROM certificates WHERE in_use")}


def files_of(directory: Path) -> dict[Path, tuple[int, int]]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def known_hosts_of(service: Service) -> tuple[str, Path, str, Path]:
    return "--identity-file", service.client_key, "--known-hosts", service.known_hosts


def test_the_first_sync_builds_a_mirror_that_equals_the_repository(
    first_sync: tuple[Path, Ran], original: Repository
) -> None:
    mirror, ran = first_sync
    assert ran.code == 0
    assert ran.document["plan"]["reason"] == "no-mirror"
    assert ran.document["position"] == "2026-11-11"
    assert held(mirror) == original.in_use()
    assert ran.document["certificates"]["in_use"] == len(original.in_use())


def test_a_sync_over_sftp_takes_the_next_delta_and_nothing_else(
    smki: Shell, own_mirror: Path, repository: Repository, service: Service
) -> None:
    repository.advance()
    ran = smki(
        "sync",
        *("--mirror", own_mirror, "--source", service.url, "--json"),
        *known_hosts_of(service),
        SMKI_SYNC_TODAY="2026-11-12",
    )
    assert ran.code == 0
    assert [one["file"] for one in ran.document["applied"]] == ["SMKIKR_DELT_2026-11-12.xml.gz"]
    assert ran.document["position"] == "2026-11-12"
    assert held(own_mirror) == repository.in_use()


def test_a_second_sync_reads_nothing_and_says_the_same_digest(
    smki: Shell, own_mirror: Path, original: Repository, first_sync: tuple[Path, Ran]
) -> None:
    ran = smki("sync", "--mirror", own_mirror, "--source", original.path.as_uri(), "--json")
    assert ran.code == 0
    assert ran.document["plan"]["reason"] == "up-to-date"
    assert ran.document["applied"] == []
    assert ran.document["digest"] == first_sync[1].document["digest"]


def test_a_dry_run_says_the_plan_and_changes_and_fetches_nothing(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    repository.advance(9)
    before = files_of(own_mirror)
    ran = smki(
        "sync",
        "--dry-run",
        *("--mirror", own_mirror, "--source", repository.path.as_uri(), "--json"),
        SMKI_SYNC_TODAY="2026-11-20",
    )
    assert ran.code == 3  # a gap is open: never 0 while behind
    assert ran.document["plan"]["action"] == "full"
    assert ran.document["plan"]["reason"] == "gap-beyond-window"
    assert ran.document["applied"] == []
    assert ran.document["position"] == "2026-11-11"
    changed = {path for path, facts in files_of(own_mirror).items() if before.get(path) != facts}
    assert {path.name for path in changed} <= {"000001.db-shm"}  # SQLite's own, for readers


def test_a_dry_run_makes_no_mirror_directory(smki: Shell, original: Repository) -> None:
    smki("sync", "--dry-run", "--mirror", "new", "--source", original.path.as_uri())
    assert not (smki.place / "new").exists()


def test_full_takes_the_newest_full_although_nothing_is_missing(
    smki: Shell, own_mirror: Path, original: Repository
) -> None:
    ran = smki("sync", "--full", "--mirror", own_mirror, "--source", original.path.as_uri(), "--json")
    assert ran.code == 0
    assert ran.document["plan"]["reason"] == "requested"
    assert ran.document["applied"][0]["file"] == "SMKIKR_FULL_2026-11-09.xml.gz"
    assert held(own_mirror) == original.in_use()


def test_a_hole_in_the_deltas_ends_with_three_and_names_the_day(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    repository.advance(faults=[Fault.WITHHOLD_DELTA])
    repository.advance()
    sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri())
    ran = smki(*sync, "--json", SMKI_SYNC_TODAY="2026-11-13")
    assert ran.code == 3
    assert ran.document["outcome"] == "behind"
    assert ran.document["plan"]["missing"] == ["2026-11-12"]
    assert ran.document["position"] == "2026-11-11"
    said = smki(*sync, SMKI_SYNC_TODAY="2026-11-13").out
    assert "2026-11-12" in said
    assert "NOT up to date" in said


def test_a_late_repository_ends_with_three_although_all_is_applied(
    smki: Shell, own_mirror: Path, original: Repository
) -> None:
    ran = smki(
        "sync",
        *("--mirror", own_mirror, "--source", original.path.as_uri(), "--json"),
        SMKI_SYNC_TODAY="2026-11-14",
    )
    assert ran.code == 3
    assert ran.document["plan"]["action"] == "none"
    assert [found["code"] for found in ran.document["attention"]] == ["repository-late"]


def test_an_empty_repository_ends_with_three_and_makes_no_mirror(smki: Shell) -> None:
    (smki.place / "empty").mkdir()
    ran = smki("sync", "--mirror", "mirror", "--source", (smki.place / "empty").as_uri(), "--json")
    assert ran.code == 3
    assert ran.document["plan"] | {"action": "blocked", "reason": "no-full-available"} == ran.document["plan"]
    assert ran.document["position"] is None
    assert "listing-empty" in [notice["code"] for notice in ran.document["attention"]]
    assert not (smki.place / "mirror" / "mirror.db").exists()


def test_sync_exits_3_when_listing_becomes_empty(smki: Shell, own_mirror: Path, original: Repository) -> None:
    words = ("sync", "--mirror", own_mirror, "--json", "--source")
    (smki.place / "unmounted").mkdir()
    ran = smki(*words, (smki.place / "unmounted").as_uri(), SMKI_SYNC_TODAY="2026-11-13")
    assert ran.code == 3
    assert "listing-empty" in [notice["code"] for notice in ran.document["attention"]]
    again = smki(*words, original.path.as_uri(), SMKI_SYNC_TODAY="2026-11-13")
    assert "listing-empty" not in [notice["code"] for notice in again.document["attention"]]


def test_sync_reports_links_and_unreadable_checksum_files(smki: Shell, original: Repository) -> None:
    place = smki.place / "archive"
    place.mkdir()
    files = sorted(path for path in original.path.glob("SMKIKR_*.xml.gz"))
    for path in files:
        (place / path.name).symlink_to(path)
    linked = max(path.name for path in files if "DELT" in path.name)
    for path in files:
        if path.name != linked:
            (place / path.name).unlink()
            (place / path.name).write_bytes(path.read_bytes())
    (place / f"{files[0].name}.sha256").write_text("not a checksum\n")
    ran = smki(
        "sync", "--mirror", "linked", "--json", "--source", place.as_uri(), SMKI_SYNC_TODAY="2026-11-13"
    )
    assert ran.code in {0, 3}
    (strange,) = [one for one in ran.document["attention"] if one["code"] == "strange-names"]
    assert f"{linked} (symbolic-link)" in strange["message"]
    assert f"{files[0].name}.sha256 (checksum-unreadable)" in strange["message"]
    assert linked not in [one["file"] for one in ran.document["applied"]]
    assert ran.document["applied"]


def test_a_repository_that_does_not_answer_ends_with_four(smki: Shell, own_mirror: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        port = closed.getsockname()[1]
        (smki.place / "known_hosts").write_text("")
        (smki.place / "smki-sync.toml").write_text("[retry]\nattempts = 2\nfirst_pause_seconds = 0\n")
        ran = smki(
            "sync",
            *("--mirror", own_mirror, "--source", f"sftp://party@127.0.0.1:{port}/"),
            *("--known-hosts", "known_hosts", "--identity-file", make_and_name_key(smki.place), "--json"),
        )
    assert ran.code == 4
    assert str(port) in ran.error["message"]
    assert "gave up after 2 attempts" in ran.error["message"]
    assert "Next attempt in 0.0 s" in ran.err


def make_and_name_key(place: Path) -> Path:
    make_key(place / "key")
    return place / "key"


def test_a_directory_that_is_not_there_ends_with_four_and_names_it(smki: Shell) -> None:
    ran = smki("sync", "--mirror", "mirror", "--source", "file:///no/such/place", "--json")
    assert ran.code == 4
    assert "/no/such/place" in ran.error["message"]


def test_another_host_key_ends_with_five_and_nothing_is_applied(
    smki: Shell, own_mirror: Path, repository: Repository, service: Service
) -> None:
    repository.advance()
    other = make_key(smki.place / "other")
    (smki.place / "pinned").write_text(f"[127.0.0.1]:{service.port} {other}\n")
    before = held(own_mirror)
    ran = smki(
        "sync",
        *("--mirror", own_mirror, "--source", service.url, "--json"),
        *("--identity-file", service.client_key, "--known-hosts", "pinned"),
        SMKI_SYNC_TODAY="2026-11-12",
    )
    assert ran.code == 5
    assert ran.error["code"] == "host-key-changed"
    assert held(own_mirror) == before


def test_a_refused_key_ends_with_five(smki: Shell, service: Service) -> None:
    ran = smki(
        "sync",
        *("--mirror", "mirror", "--source", service.url, "--json"),
        *("--identity-file", make_and_name_key(smki.place), "--known-hosts", service.known_hosts),
    )
    assert ran.code == 5
    assert ran.error["hint"]


def test_a_refused_password_ends_with_five_is_sent_once_and_never_shown(
    smki: Shell, original: Repository
) -> None:
    with paramiko_server(original.path, Behaviour(password=PASSWORD)) as server:
        ran = smki(
            "sync",
            "--verbose",
            *("--mirror", "mirror", "--source", server.url, "--json"),
            *("--known-hosts", server.known_hosts(smki.place / "known_hosts")),
            SMKI_SYNC_PASSWORD="wrong horse",
        )
    assert ran.code == 5
    assert server.seen.passwords == ["wrong horse"]
    assert "wrong horse" not in ran.out + ran.err


def test_a_right_password_from_the_environment_is_never_shown(smki: Shell, original: Repository) -> None:
    with paramiko_server(original.path, Behaviour(password=PASSWORD)) as server:
        ran = smki(
            "sync",
            "--verbose",
            *("--mirror", "mirror", "--source", server.url, "--log-format", "json"),
            *("--known-hosts", server.known_hosts(smki.place / "known_hosts")),
            SMKI_SYNC_PASSWORD=PASSWORD,
        )
    assert ran.code == 0, ran.err
    assert server.seen.passwords == [PASSWORD]
    assert PASSWORD not in ran.out + ran.err
    left = [path for path in (smki.place / "mirror").rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in path.read_bytes() for path in left)


def test_a_wrong_passphrase_is_named_as_such_and_never_shown(smki: Shell, service: Service) -> None:
    make_key(smki.place / "locked", passphrase="open sesame")
    ran = smki(
        "sync",
        *("--mirror", "mirror", "--source", service.url, "--json"),
        *("--identity-file", "locked", "--known-hosts", service.known_hosts),
        SMKI_SYNC_KEY_PASSPHRASE="open barley",
    )
    assert ran.code == 8  # ours to mend: the repository was not asked
    assert "passphrase" in ran.error["message"]
    assert "open barley" not in ran.out + ran.err


def test_a_damaged_delta_ends_with_six_and_nothing_of_it_is_applied(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    before = held(own_mirror)
    repository.advance(faults=[Fault.TRUNCATE, Fault.OLDER_CRL])
    ran = smki(
        "sync",
        *("--mirror", own_mirror, "--source", repository.path.as_uri(), "--json"),
        SMKI_SYNC_TODAY="2026-11-12",
    )
    assert ran.code == 6
    assert "SMKIKR_DELT_2026-11-12.xml.gz" in ran.error["message"]
    assert held(own_mirror) == before


def test_a_sound_delta_before_a_damaged_one_is_kept_and_the_republished_one_follows(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    repository.advance()
    good = repository.in_use()
    repository.advance(faults=[Fault.CORRUPT])
    sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri(), "--json")
    assert smki(*sync, SMKI_SYNC_TODAY="2026-11-13").code == 6
    assert held(own_mirror) == good
    os.utime(repository.path / repository.publish_delta(date(2026, 11, 13)))
    mended = smki(*sync, SMKI_SYNC_TODAY="2026-11-13")
    assert mended.code == 0
    assert [one["file"] for one in mended.document["applied"]] == ["SMKIKR_DELT_2026-11-13.xml.gz"]


def test_a_delta_that_was_damaged_is_fetched_anew_although_size_and_time_are_the_same(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    repository.advance(faults=[Fault.CORRUPT])
    sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri(), "--json")
    assert smki(*sync, SMKI_SYNC_TODAY="2026-11-12").code == 6
    bad = (repository.path / "SMKIKR_DELT_2026-11-12.xml.gz").stat()
    good = (repository.path / repository.publish_delta(date(2026, 11, 12))).stat()
    assert (good.st_size, good.st_mtime_ns) == (bad.st_size, bad.st_mtime_ns)  # as after a bad transfer
    assert smki(*sync, SMKI_SYNC_TODAY="2026-11-12").code == 0
    assert held(own_mirror) == repository.in_use()


def test_sync_exits_11_when_the_mirror_cannot_be_written(smki: Shell, original: Repository) -> None:
    (smki.place / "a file").write_text("")
    ran = smki("sync", "--mirror", "a file/mirror", "--source", original.path.as_uri(), "--json")
    assert ran.code == 11
    assert "a file" in ran.error["message"]


def test_a_damaged_mirror_is_rebuilt(smki: Shell, own_mirror: Path, original: Repository) -> None:
    overwrite(own_mirror / "mirror.db")
    ran = smki("sync", "--mirror", own_mirror, "--source", original.path.as_uri(), "--json")
    assert ran.code == 0
    assert ran.document["plan"]["reason"] == "mirror-damaged"
    assert held(own_mirror) == original.in_use()


def overwrite(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(os.urandom(1 << 16))


@pytest.mark.parametrize("name", ["mirror with blanks", "mïrror", "100%3F#?&", "it's\t[red]new[/]"])
def test_a_mirror_may_have_any_name(smki: Shell, original: Repository, name: str) -> None:
    ran = smki("sync", "--mirror", name, "--source", original.path.as_uri(), "--json")
    assert ran.code == 0, ran.err
    assert held_at(smki.place / name) == len(original.in_use())
    assert smki("status", "--mirror", name, "--max-age", "1e9").code == 0


def held_at(mirror: Path) -> int:
    with closing(sqlite3.connect(mirror / "mirror.db")) as db:
        (count,) = db.execute("SELECT count(*) FROM certificates WHERE in_use").fetchone()
        return int(count)


def test_a_source_may_have_any_name(smki: Shell, original: Repository) -> None:
    odd = smki.place / "extracts of 100% #1?"
    shutil.copytree(original.path, odd)
    assert smki("sync", "--mirror", "mirror", "--source", odd.as_uri()).code == 0


def test_names_from_outside_are_shown_escaped(smki: Shell, repository: Repository) -> None:
    evil = "\x1b]0;owned\x07SMKIKR_\x1b[31m\nsmki-sync: all is well"
    (repository.path / evil).write_text("x")
    sync = ("sync", "--verbose", "--mirror", "mirror", "--source", repository.path.as_uri())
    ran = smki(*sync)
    assert ran.code == 0
    assert "strange-names" in ran.out
    for text in (ran.out, ran.err):
        assert all(line.isprintable() for line in text.splitlines())
        assert not any(line.startswith("smki-sync: all is well") for line in text.splitlines())


def test_nothing_is_left_of_the_files_that_were_applied(first_sync: tuple[Path, Ran]) -> None:
    assert list((first_sync[0] / "downloads").iterdir()) == []


def test_a_week_away_is_made_good_and_two_weeks_need_a_full(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri(), "--json")
    for days, action in ((7, "deltas"), (14, "full")):
        repository.advance(days)
        ran = smki(*sync, SMKI_SYNC_TODAY=repository.today.isoformat())
        assert ran.code == 0
        assert ran.document["plan"]["action"] == action
        assert held(own_mirror) == repository.in_use()
    assert repository.today == TODAY + timedelta(days=21)


def test_forget_list_applies_the_available_list_again(
    smki: Shell, repository: Repository, own_mirror: Path
) -> None:
    words = ("sync", "--mirror", str(own_mirror), "--source", repository.path.as_uri(), "--json")
    (crl,) = [one for one in smki(*words).document["lists"] if one["kind"] == "crl"]
    assert crl["state"] == "in-force"
    ran = smki(*words, "--forget-list", crl["issuer"])
    assert ran.code == 0, ran.err
    (again,) = [one for one in ran.document["lists"] if one["kind"] == "crl"]
    assert (again["issuer"], again["number"], again["state"]) == (crl["issuer"], crl["number"], "applied")


def test_forget_list_fails_when_the_issuer_has_no_list(
    smki: Shell, repository: Repository, own_mirror: Path
) -> None:
    words = ("sync", "--mirror", str(own_mirror), "--source", repository.path.as_uri(), "--json")
    ran = smki(*words, "--forget-list", "CN=unknown")
    assert ran.code == 2
    assert "CN=unknown" in ran.error["message"]
