"""After a run: metrics, the hook, agreed days for fulls, stored times."""

import json
import os
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.cli import Shell, wait_until

from smki_sync.cli.exit_codes import Exit
from smki_sync.monitoring import call_hook

Metrics = dict[str, float]


@pytest.fixture
def toml(smki: Shell, repository: Path) -> Path:
    """A configuration over a directory."""
    file = smki.place / "smki-sync.toml"
    file.write_text(f'[repository]\nurl = "{repository.as_uri()}"\n[mirror]\npath = "mirror"\n')
    return file


def add(toml: Path, text: str) -> None:
    toml.write_text(toml.read_text() + text)


def metrics(path: Path) -> Metrics:
    families = text_string_to_metric_families(path.read_text())
    samples = [sample for family in families for sample in family.samples]
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


def test_every_run_replaces_the_metrics_file(smki: Shell, toml: Path, repository: Path) -> None:
    add(toml, '[metrics]\ntextfile = "smki.prom"\n')
    assert smki("sync").code == Exit.OK
    first = metrics(smki.place / "smki.prom")
    assert first["smki_sync_run_exit_code"] == 0
    assert first["smki_sync_run_applied_files full"] == 1
    assert first["smki_sync_certificates"] >= first["smki_sync_certificates_in_use"] > 0
    assert first["smki_sync_days_left"] == 7
    repository.rename(repository.with_name("gone"))
    assert smki("sync").code == Exit.UNREACHABLE
    second = metrics(smki.place / "smki.prom")
    assert second["smki_sync_run_exit_code"] == Exit.UNREACHABLE
    assert second["smki_sync_certificates"] == first["smki_sync_certificates"]
    assert second["smki_sync_success_timestamp_seconds"] == first["smki_sync_run_start_timestamp_seconds"]
    assert sorted(path.name for path in smki.place.glob("smki.prom*")) == ["smki.prom"]


def test_exactly_the_documented_metrics_exist(smki: Shell, toml: Path) -> None:
    add(toml, '[metrics]\ntextfile = "smki.prom"\n')
    smki("sync")
    smki("sync", SMKI_SYNC_TODAY="2026-11-15")
    families = text_string_to_metric_families((smki.place / "smki.prom").read_text())
    page = (Path(__file__).parents[2] / "docs" / "scheduling-and-monitoring.md").read_text()
    written = re.findall(r"^\| `(smki_sync_\w+)`", page, re.MULTILINE)
    assert sorted(written) == sorted(family.name for family in families)


def test_run_succeeds_with_a_notice_when_metrics_cannot_be_written(smki: Shell, toml: Path) -> None:
    add(toml, '[metrics]\ntextfile = "nowhere/smki.prom"\n')
    ran = smki("sync", "--json")
    assert ran.code == Exit.OK
    assert [note["code"] for note in ran.document["attention"]] == ["metrics-not-written"]


def test_hook_gets_the_document_of_every_run(smki: Shell, toml: Path, repository: Path) -> None:
    add(toml, '[hooks]\nafter_run = ["sh", "-c", "cat > run.json"]\n')
    ran = smki("sync", "--json", SMKI_SYNC_TODAY="2026-11-15")
    assert (ran.code, ran.document["outcome"]) == (Exit.ATTENTION, "behind")
    assert json.loads((smki.place / "run.json").read_text()) == ran.document
    again = smki("sync", "--json", SMKI_SYNC_TODAY="2026-11-12")
    assert (again.code, again.document["applied"]) == (Exit.OK, [])
    assert json.loads((smki.place / "run.json").read_text()) == again.document
    repository.rename(repository.with_name("gone"))
    failed = smki("sync", "--json")
    assert failed.error["code"] == "source-missing"
    assert json.loads((smki.place / "run.json").read_text()) == failed.document


def test_run_succeeds_with_a_notice_when_the_hook_fails(smki: Shell, toml: Path) -> None:
    add(toml, '[hooks]\nafter_run = ["sh", "-c", "echo no room >&2; exit 7"]\n')
    ran = smki("sync", "--json")
    assert ran.code == Exit.OK
    (note,) = ran.document["attention"]
    assert note["code"] == "hook-failed"
    assert "ended with 7: no room" in note["message"]


def test_hook_gets_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SMKI_SYNC_PASSWORD", "correct horse")
    assert call_hook(["sh", "-c", f"env > {tmp_path}/env"], "{}", seconds=30) is None
    assert "correct horse" not in (tmp_path / "env").read_text()


def test_hook_ends_with_its_process_and_its_background_jobs_keep_running(tmp_path: Path) -> None:
    script = f"(echo ready >&2; sleep 600) & echo $! > {tmp_path}/pid"
    assert call_hook(["sh", "-c", script], "{}", seconds=30) is None
    child = int((tmp_path / "pid").read_text())
    try:
        os.kill(child, 0)
    finally:
        os.killpg(os.getpgid(child), signal.SIGKILL)


def test_background_job_can_write_to_stderr_after_the_run(tmp_path: Path) -> None:
    done = tmp_path / "done"
    script = (
        f"(trap '' HUP; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done; echo late >&2 && touch {done}) &"
    )
    assert call_hook(["sh", "-c", script], "{}", seconds=30) is None
    (tmp_path / "go").touch()
    wait_until(done.exists)


def test_failed_hook_is_reported_with_the_last_line_of_stderr() -> None:
    fault = call_hook(["sh", "-c", "seq 100000 >&2; echo no room >&2; exit 7"], "{}", seconds=30)
    assert fault == "sh ended with 7: no room"


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_metrics_file_is_readable_for_others_whatever_the_umask(smki: Shell, toml: Path, umask: int) -> None:
    add(toml, '[metrics]\ntextfile = "smki.prom"\n')
    before = os.umask(umask)
    try:
        assert smki.cold("sync").code == Exit.OK
    finally:
        os.umask(before)
    assert (smki.place / "smki.prom").stat().st_mode & 0o777 == 0o644


def test_metrics_file_replaces_a_link_without_following_it(smki: Shell, toml: Path) -> None:
    add(toml, '[metrics]\ntextfile = "smki.prom"\n')
    (smki.place / "victim").write_text("unchanged")
    (smki.place / "smki.prom").symlink_to("victim")
    assert smki("sync").code == Exit.OK
    assert (smki.place / "victim").read_text() == "unchanged"
    assert metrics(smki.place / "smki.prom")["smki_sync_run_exit_code"] == 0


def test_hook_is_stopped_with_its_children_after_the_time_limit(tmp_path: Path) -> None:
    fault = call_hook(["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait"], "{}", seconds=1.5)
    assert fault == "sh was stopped after 1.5 s"
    child = int((tmp_path / "pid").read_text())
    state = Path(f"/proc/{child}/stat")
    wait_until(lambda: not state.exists() or state.read_text().split()[2] == "Z")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["no-such-program"], "could not be started"),
        (["sh", "-c", f"kill -{signal.SIGKILL} $$"], "ended with -9"),
    ],
)
def test_fault_of_a_hook_is_described(words: list[str], fault: str) -> None:
    assert fault in (call_hook(words, "{}", seconds=30) or "")


def test_hook_may_ignore_its_stdin() -> None:
    assert call_hook(["true"], "x" * (os.sysconf("SC_PAGESIZE") * 100), seconds=30) is None


# What was agreed on fulls. 12 November 2026 is a Thursday.


def test_full_on_another_day_is_loaded_with_a_notice(smki: Shell, toml: Path) -> None:
    add(toml, '[policy]\nfull_download_day = "sunday"\n')
    ran = smki("sync", "--json")
    assert ran.code == Exit.OK
    assert [note["code"] for note in ran.document["attention"]] == ["full-outside-agreed"]


def test_full_on_the_agreed_day_has_no_notice(smki: Shell, toml: Path) -> None:
    add(toml, '[policy]\nfull_download_day = "thursday"\n')
    assert smki("sync", "--json").document["attention"] == []


def test_full_waits_for_the_agreed_day_unless_requested(smki: Shell, toml: Path) -> None:
    add(toml, '[policy]\nfull_download_day = "sunday"\nfull_download_outside = "wait"\n')
    waits = smki("sync", "--json")
    assert waits.code == Exit.ATTENTION
    assert waits.document["plan"]["reason"] == "waiting-for-agreed-day"
    assert waits.document["applied"] == []
    asked = smki("sync", "--full", "--json")
    assert asked.code == Exit.OK
    assert asked.document["plan"]["action"] == "full"


def test_deltas_do_not_wait_for_the_day_agreed_on_fulls(smki: Shell, toml: Path, repository: Path) -> None:
    held = {path: path.read_bytes() for path in repository.glob("SMKIKR_DELT_2026-11-11*")}
    for path in held:
        path.unlink()
    assert smki("sync", SMKI_SYNC_TODAY="2026-11-11").code == Exit.OK
    for path, octets in held.items():
        path.write_bytes(octets)
    add(toml, '[policy]\nfull_download_day = "sunday"\nfull_download_outside = "wait"\n')
    ran = smki("sync", "--json")
    assert ran.document["plan"]["reason"] == "deltas-available"
    assert ran.document["position"] == "2026-11-11"


def test_invalid_download_hours_are_a_configuration_error(smki: Shell, toml: Path) -> None:
    add(toml, '[policy]\nfull_download_hours = "8pm"\n')
    ran = smki("sync", "--json")
    assert ran.code == Exit.CONFIG
    assert "policy.full_download_hours" in ran.error["message"]


# Freshness.


def test_status_shows_the_deadline_and_the_duration_of_a_full(smki: Shell, toml: Path) -> None:
    assert toml.exists()
    smki("sync")
    with closing(sqlite3.connect(smki.place / "mirror" / "mirror.db")) as db:
        db.execute("UPDATE extract SET seconds = 2")  # the clock of a rehearsal stands still
        db.commit()
    fresh = smki("status", "--json").document
    assert fresh["looked"].startswith("20")
    assert fresh["cliff"] == {"next_delta": "2026-11-12", "leaves": "2026-11-19", "days_left": 7}
    assert fresh["forecast"]["full_bytes"] > 0
    assert fresh["forecast"]["full_seconds"] > 0


def test_times_from_the_future_do_not_count_in_status(smki: Shell, toml: Path) -> None:
    assert toml.exists()
    smki("sync")
    with closing(sqlite3.connect(smki.place / "mirror" / "history.db")) as db:
        db.execute("UPDATE run SET at = '2036-01-01T00:00:00Z'")
        db.execute("UPDATE offer SET at = '2036-01-01T00:00:00Z'")
        db.commit()
    status = smki("status", "--json").document
    assert status["last_run"] is status["last_success"] is status["looked"] is None


def test_status_has_no_forecast_before_the_first_sync(smki: Shell, toml: Path) -> None:
    assert toml.exists()
    fresh = smki("status", "--json").document
    assert fresh["looked"] is None
    assert set(fresh["cliff"].values()) == set(fresh["forecast"].values()) == {None}
