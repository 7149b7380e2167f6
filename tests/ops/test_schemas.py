"""Every ``--json`` document has its schema in docs/schemas, and real documents keep to it."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.cli import Ran, Shell

ROOT = Path(__file__).parents[2]
SCHEMAS = {path.stem: path for path in sorted((ROOT / "docs" / "schemas").glob("*.json"))}

Json = dict[str, Any]


def schema(name: str) -> Json:
    read: Json = json.loads(SCHEMAS[name].read_text("utf-8"))
    return read


def faults(name: str, document: Json) -> list[str]:
    """What is wrong with a document; a field that its schema does not know is a fault here."""
    validator = Draft202012Validator(closed(schema(name)))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def closed(node: Json) -> Json:
    """The same schema without room for more."""
    made = dict(node)
    if "properties" in made:
        made["additionalProperties"] = False
        made["properties"] = {name: closed(one) for name, one in made["properties"].items()}
    if "items" in made:
        made["items"] = closed(made["items"])
    return made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, original: Path) -> Path:
    """A directory with a mirror, made over a plain directory."""
    place = tmp_path_factory.mktemp("schemas")
    (place / "smki-sync.toml").write_text(
        f'[repository]\nurl = "{original.as_uri()}"\n[mirror]\npath = "mirror"\n'
    )
    return place


@pytest.fixture(scope="module")
def documents(place: Path) -> dict[str, list[Json]]:
    """What the commands really say, in order: before the first sync, after it, and of an old mirror."""
    smki = Shell(place=place, today=None)

    def say(*words: str, today: str = "2026-11-12") -> Json:
        ran: Ran = smki(*words, "--json", SMKI_SYNC_TODAY=today)
        return ran.document

    empty, doctored = say("status"), say("doctor")
    rehearsed, synced = say("sync", "--dry-run"), say("sync")
    late = say("sync", today="2026-11-20")
    verified = say("verify")
    found = say("find", "--any-status")
    device = next(c["eui"] for c in found["certificates"] if c["kind"] == "device")
    exported = say("export", "--format", "pem", "--output", "made")
    return {
        "status": [empty, say("status")],
        "doctor": [doctored, say("doctor", "--source", "sftp://party@no-such-host.invalid/")],
        "sync": [rehearsed, synced, late],
        "verify": [verified, say("verify", "--sample", "2", "--at", "2001-01-01")],
        "find": [found],
        "show": [say("show", device), say("show", "serial:00"), say("show", device, "--explain")],
        "export": [exported],
        "quarantine": [say("quarantine")],
        "reconcile": [say("reconcile"), say("reconcile", "--repair")],
        "prove": [say("prove"), say("prove", "--shards")],
        "init": [say("init", "--source", place.as_uri(), "--mirror", "m", "--output", "other.toml")],
        "failure": [say("sync", "--source", "file:///nowhere"), say("nonsense")],
    }


CHECKED = (
    *("status", "doctor", "sync", "verify", "find", "show", "export", "quarantine", "reconcile"),
    *("prove", "init", "failure"),
)


@pytest.mark.parametrize("name", CHECKED)
def test_real_documents_keep_to_their_schema(name: str, documents: dict[str, list[Json]]) -> None:
    assert documents[name]
    for document in documents[name]:
        assert faults(name, document) == []


def test_a_document_that_breaks_its_schema_would_be_noticed(documents: dict[str, list[Json]]) -> None:
    (broken, *_) = documents["status"]
    assert faults("status", broken | {"bytes": "many"})
    assert faults("status", broken | {"surprise": 1})
    assert faults("status", {key: value for key, value in broken.items() if key != "state"})
