"""What operators and their scripts rely on, as tables: nothing here may be removed or renamed.

A field may be added; so each table names what must be there, and the second column of
:data:`ADDED` what has been added since and must stay for the same reason.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import pytest
from support.cli import Json, Ran, Shell

from smki_sync.model.plan import Action, Reason
from smki_sync.model.report import Outcome
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.repository import Repository

PROMISED: dict[str, set[str]] = {
    "sync": {
        *("schema", "outcome", "plan", "position", "applied", "certificates", "quarantined", "digest"),
        "attention",
    },
    "sync.plan": {"action", "reason", "full", "deltas", "missing"},
    "sync.applied[]": {
        *("file", "kind", "records", "inserted", "updated", "unchanged", "withdrawn", "quarantined"),
        *("bytes", "seconds"),
    },
    "sync.certificates": {"total", "in_use"},
    "sync.attention[]": {"code", "message", "hint"},
    "sync.lists[]": set(),
    "status": {
        *("schema", "state", "position", "age_hours", "last_full", "last_run", "last_success"),
        *("certificates", "quarantined", "digest", "bytes"),
    },
    "status.last_run": {"at", "outcome", "exit"},
    "status.certificates": {"total", "in_use", "by_kind", "by_status"},
    "show": {"schema", "certificates"},
    "show.certificates[]": {
        *("eui", "kind", "role", "role_name", "usage", "status", "status_name", "in_use", "serial"),
        *("serial_decimal", "issuer", "subject", "not_before", "not_after", "ski", "aki", "sha1", "sha256"),
        *("manufacturing", "first_seen", "last_changed", "withdrawn", "file", "pem"),
    },
    "failed": {"schema", "outcome", "error"},
    "failed.error": {"code", "exit", "message", "hint"},
}
"""The keys of each object of each document, by its path."""

ADDED: dict[str, set[str]] = {
    "sync": {"dry_run", "lists", "unproven"},
    "sync.lists[]": {
        *("file", "kind", "state", "code", "issuer", "number", "this_update", "next_update", "entries"),
        *("revoked", "unrevoked"),
    },
    "sync.plan": {"overlap", "sources", "uncovered"},
    "sync.applied[]": {"sha256"},
    "sync.attention[]": {"level"},
    "status": {"message", "anchored", "anchors", "last_verified", "looked", "cliff", "forecast", "unproven"},
    "status.last_run": {"reason"},
    "show": {"position", "hidden", "inputs"},
    "show.certificates[]": {
        *("flags", "revoked", "revoked_by", "revocation_reason", "unproven", "revocation"),
        *("revocation_until", "issuer_revoked", "revoked_authority", "usable", "unusable"),
    },
}

OPTIONS: dict[str, set[str]] = {
    "sync": {
        *("--dry-run", "--full", "--json", "--mirror", "--source", "--identity-file", "--known-hosts"),
        *("--config", "--quiet", "--verbose", "--log-format"),
    },
    "status": {"--max-age", "--json", "--mirror", "--config"},
    "show": {"--json", "--pem", "--der", "--usage", "--role", "--any-status", "--mirror", "--config"},
    "find": {
        *("--kind", "--status", "--any-status", "--usage", "--role", "--issuer", "--changed-since"),
        *("--expiring-within", "--limit", "--format", "--json", "--mirror", "--config"),
    },
    "export": {"--format", "--output", "--changed-since", "--kind", "--any-status", "--json", "--mirror"},
    "changes": {"--since", "--format", "--mirror", "--config"},
    "simulate create": {"--devices", "--days", "--start", "--seed"},
    "simulate advance": {"--days", "--fault"},
    "simulate serve": {"--port"},
    "demo": set(),
}

ACTIONS = {"none", "deltas", "full", "blocked"}
REASONS = {
    *("up-to-date", "deltas-available", "no-mirror", "gap-beyond-window", "hole-in-deltas"),
    *("delta-changed", "mirror-damaged", "schema-changed", "requested", "no-full-available"),
    *("full-too-old", "waiting-for-agreed-day"),
}
OUTCOMES = {"current", "behind", "failed"}

COLUMNS = (
    *("eui", "kind", "role", "usage", "status", "in_use", "serial", "issuer", "subject", "not_before"),
    *("not_after", "ski", "manufacturing", "first_seen", "last_changed", "withdrawn", "der"),
)
"""Of ``certificates`` in mirror.db, the view made for people."""

START, TODAY = date(2026, 11, 2), date(2026, 11, 9)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    place = tmp_path_factory.mktemp("contract")
    return Shell(place=place, today=TODAY, variables={"SMKI_SYNC_MIRROR": str(place / "mirror")})


@pytest.fixture(scope="module")
def synced(shell: Shell) -> Ran:
    """A sync whose document has something in every list: a full, deltas, something to know."""
    repository = Repository.create(shell.place / "repository", devices=3, days=7, start=START, seed=3)
    repository.advance(faults=[Fault.POISON_RECORD])
    ran = shell("sync", "--source", repository.path.as_uri(), "--json")
    assert ran.code == 3
    return ran


@pytest.fixture(scope="module")
def status(shell: Shell, synced: Ran) -> Json:
    assert synced.document["position"]
    return shell("status", "--json").document


@pytest.fixture(scope="module")
def rows(shell: Shell, synced: Ran) -> list[sqlite3.Row]:
    assert synced.document["position"]
    with closing(sqlite3.connect(shell.place / "mirror" / "mirror.db")) as db:
        db.row_factory = sqlite3.Row
        return db.execute("SELECT * FROM certificates").fetchall()


@pytest.fixture(scope="module")
def shown(shell: Shell, rows: list[sqlite3.Row]) -> Json:
    device = next(row for row in rows if row["kind"] == "device" and row["in_use"])
    return shell("show", device["eui"], "--json").document


@pytest.fixture(scope="module")
def failed(shell: Shell) -> Json:
    return shell("sync", "--source", "file:///no/such/place", "--json").document


def objects(value: object, path: str) -> Iterator[tuple[str, Json]]:
    """Every object in a document that the table knows, by its path."""
    if isinstance(value, dict):
        if path in PROMISED:
            yield path, value
        for name, inner in value.items():
            yield from objects(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner, f"{path}[]")


@pytest.mark.parametrize("path", PROMISED)
def test_every_object_of_every_document_has_exactly_these_keys(
    path: str, synced: Ran, status: Json, shown: Json, failed: Json
) -> None:
    documents = {"sync": synced.document, "status": status, "show": shown, "failed": failed}
    made = [
        keys for at, keys in objects(documents[path.partition(".")[0]], path.partition(".")[0]) if at == path
    ]
    assert made
    for one in made:
        assert one.keys() == PROMISED[path] | ADDED.get(path, set())


def test_every_document_names_its_schema(synced: Ran, status: Json, shown: Json, failed: Json) -> None:
    schemas = [document["schema"] for document in (synced.document, status, shown, failed)]
    assert schemas == ["smki-sync/sync/1", "smki-sync/status/1", "smki-sync/show/1", "smki-sync/sync/1"]


def test_a_failure_says_its_outcome_and_its_exit_code(failed: Json) -> None:
    assert failed["outcome"] == "failed"
    assert failed["error"]["exit"] == 4


def test_words_are_the_promised_ones(synced: Ran) -> None:
    assert {str(action) for action in Action} == ACTIONS
    assert {str(reason) for reason in Reason} >= REASONS
    assert {str(outcome) for outcome in Outcome} == OUTCOMES
    assert synced.document["plan"]["reason"] in REASONS
    assert {one["kind"] for one in synced.document["applied"]} == {"full", "delta"}


def test_values_of_a_sync_are_of_the_promised_form(synced: Ran) -> None:
    made = synced.document
    assert made["position"] == TODAY.isoformat()
    assert made["plan"]["full"] == "SMKIKR_FULL_2026-11-09.xml.gz"
    assert all(name.startswith("SMKIKR_DELT_") for name in made["plan"]["deltas"])
    assert len(bytes.fromhex(made["digest"])) == 32
    assert made["certificates"]["total"] >= made["certificates"]["in_use"] > 0
    for one in made["applied"]:
        understood = one["inserted"] + one["updated"] + one["unchanged"] + one["quarantined"]
        assert one["records"] == understood
        assert one["bytes"] > 0
        assert isinstance(one["seconds"], float)


def test_times_are_utc_with_z_and_dates_are_iso(status: Json, shown: Json) -> None:
    assert date.fromisoformat(status["position"]) == TODAY
    assert date.fromisoformat(status["last_full"]) == TODAY
    times = [status["last_run"]["at"]] + [
        one[name] for one in shown["certificates"] for name in ("not_before", "not_after")
    ]
    for text in times:
        assert text.endswith("Z")
        datetime.fromisoformat(text)
    for one in shown["certificates"]:
        assert date.fromisoformat(one["first_seen"]) <= TODAY


def test_the_census_of_a_status_adds_up(status: Json, synced: Ran) -> None:
    counts = status["certificates"]
    assert sum(counts["by_kind"].values()) == sum(counts["by_status"].values()) == counts["total"]
    assert counts["by_kind"].keys() == {"device", "organisation", "oca", "dca"}
    assert counts["in_use"] == synced.document["certificates"]["in_use"]
    assert status["digest"] == synced.document["digest"]
    assert status["bytes"] > 0


@pytest.mark.parametrize("command", OPTIONS)
def test_every_option_stands_after_its_verb_and_in_its_help(shell: Shell, command: str) -> None:
    shown_options = {word.strip("│ ,") for word in shell(*command.split(), "--help").out.split()}
    assert OPTIONS[command] <= shown_options


@pytest.mark.parametrize("option", ["--mirror", "--source", "--config", "--json", "--quiet"])
def test_no_option_but_version_and_help_stands_before_the_verb(shell: Shell, option: str) -> None:
    assert shell(option, "x", "status").code == 2


def test_the_view_for_people_has_its_columns_in_the_promised_notation(rows: list[sqlite3.Row]) -> None:
    assert set(COLUMNS) <= set(rows[0].keys())
    for row in rows:
        assert row["eui"] is None or len(row["eui"].split("-")) == 8
        assert row["serial"] == row["serial"].upper()
        assert int(row["serial"], 16) > 0
        datetime.fromisoformat(row["not_before"])
        date.fromisoformat(row["first_seen"])
        assert row["in_use"] in (0, 1)
        assert isinstance(row["der"], bytes)


@pytest.mark.parametrize("column", ["eui", "serial"])
def test_looking_up_by_eui_or_serial_uses_an_index(shell: Shell, synced: Ran, column: str) -> None:
    assert synced.document["position"]
    with closing(sqlite3.connect(shell.place / "mirror" / "mirror.db")) as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM certificates WHERE {column} = 'x'").fetchall()
    steps = [str(step[-1]) for step in plan]
    assert any("USING INDEX" in step and f"{column}=?" in step for step in steps)
    assert not any(step.startswith("SCAN") for step in steps)


def test_mirror_db_stands_where_it_was_promised(shell: Shell, synced: Ran) -> None:
    assert synced.document["position"]
    assert Path(shell.place / "mirror" / "mirror.db").exists()
