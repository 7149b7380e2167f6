"""Every ``--json`` document has its schema in docs/schemas, and real documents keep to it, failures too."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.cli import Json, Shell
from support.mirror_copies import copy_mirror
from support.party import LOAD_CONTROLLER, party_mirror
from support.party import shell as party_shell
from support.schemas import SCHEMAS, faults

from smki_sync.simulator.faults import Fault
from smki_sync.simulator.repository import Repository


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, original: Path) -> Path:
    """A directory with a configuration over a plain directory."""
    place = tmp_path_factory.mktemp("schemas")
    (place / "smki-sync.toml").write_text(
        f'[repository]\nurl = "{original.as_uri()}"\n[mirror]\npath = "mirror"\n'
    )
    return place


class Speaker:
    """Somebody who wants every answer as JSON."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._shell = Shell(place=place)

    def __call__(self, *words: object, today: str = "2026-11-12") -> Json:
        return self._shell(*words, "--json", SMKI_SYNC_TODAY=today).document

    def odd(self, original: Path) -> Json:
        """Make ``odd``, the mirror of a repository of which there is much to say; what its sync said."""
        repository = Repository.open(Path(shutil.copytree(original, self.place / "repository")))
        repository.advance(faults=[Fault.POISON_RECORD, Fault.SLOTS_DIFFER, Fault.FORGED_CRL])
        return self("sync", "--source", repository.path.as_uri(), "--mirror", "odd", today="2026-11-13")

    def drifted(self) -> str:
        """Make ``drifted``, a mirror that somebody has changed."""
        copy_mirror(self.place / "mirror", self.place / "drifted")
        with closing(sqlite3.connect(self.place / "drifted" / "mirror.db")) as db, db:
            db.execute("UPDATE certificate SET status = 'R' WHERE id = 2")
        return "drifted"


@pytest.fixture(scope="module")
def documents(place: Path, original: Path) -> dict[str, list[Json]]:
    """What the commands really say, in order: before the first sync, after it, and of an old mirror."""
    say = Speaker(place)
    empty, doctored = say("status"), say("doctor")
    synced = [say("sync", "--dry-run"), say("sync"), say("sync", today="2026-11-20"), say.odd(original)]
    verified = say("verify")
    found = say("find", "--any-status")
    device = next(c["eui"] for c in found["certificates"] if c["kind"] == "device")
    return {
        "status": [empty, say("status")],
        "doctor": [doctored, say("doctor", "--source", "sftp://party@no-such-host.invalid/")],
        "sync": synced,
        "verify": [verified, say("verify", "--sample", "2", "--at", "2001-01-01")],
        "find": [found, say("find", "--limit", "1")],
        "show": [say("show", device), say("show", "serial:00"), say("show", device, "--explain")],
        "check": [
            say("check", *_listed(place, device)),
            say("check", *_listed(place, device), "--need", "DS"),
        ],
        "bundle": [say("bundle", device, "--role", "2", "--for", "6.15.1"), _bundled(place)],
        "resolve": [say("resolve", *_listed(place, device))],
        "watch": [say("watch", "--config", _with_party(place, days)) for days in (0, 3650)],
        "evidence": [
            say("show", device, "--as-of", "2026-11-11"),
            say("show", device, "--as-of", "2020-11-11"),
            say("show", _changed(place), "--as-of", "2026-11-10", "--mirror", "odd"),
        ],
        "export": [say("export", "--format", "pem", "--output", "made")],
        "quarantine": [say("quarantine"), say("quarantine", "--mirror", "odd")],
        "reconcile": [say("reconcile"), *_repaired(say)],
        "backup": [say("backup", "copy.db")],
        "manifest": [
            *(say("manifest"), say("manifest", "--shards"), say("manifest", "--members", "all")),
            *(say("manifest", "mirror", "--compare", other) for other in ("copy.db", "odd")),
        ],
        "anchors": [say("anchors"), say("anchors", "--mirror", "odd")],
        "rehearsal": [
            say("restore", "--rehearse"),
            say("restore", "--rehearse", "--mirror", "odd"),
            say("restore", "--rehearse", "--source", "file:///nowhere"),
        ],
        "restore": [say("restore", "--mirror", "other"), say("restore", "--to", "2026-11-10")],
        "prune": [say("prune", "--mirror", "odd"), say("prune")],
        "init": [say("init", "--source", place.as_uri(), "--mirror", "m", "--config", "new.toml")],
        "schedule": [say("schedule", "--print"), *(say("schedule", "--into", ".") for _ in range(2))],
        "failure": [say("nonsense"), *_failed(say)],
    }


def _listed(place: Path, device: str) -> tuple[str, ...]:
    """A list with a device, one that is unknown, and a line that is no identity."""
    (place / "devices.txt").write_text(f"{device}\n00-DB-12-FF-FF-FF-FF-FF\nnonsense\n")
    return ("devices.txt",)


def _with_party(place: Path, days: int) -> str:
    """A configuration of which some certificate ends within ``days``; more days give more notices."""
    with closing(sqlite3.connect(place / "mirror" / "mirror.db")) as db:
        sql = "SELECT eui FROM certificates WHERE kind = 'organisation' AND in_use ORDER BY not_after LIMIT 1"
        (eui,) = db.execute(sql).fetchone()
    text = (place / "smki-sync.toml").read_text()
    (place / "party.toml").write_text(f'{text}[party]\neuis = ["{eui}"]\nwarn_days = {days}\n')
    return "party.toml"


def _changed(place: Path) -> str:
    """A certificate with a line in the journal."""
    with closing(sqlite3.connect(place / "odd" / "mirror.db")) as db:
        (serial,) = db.execute("SELECT serial FROM changes ORDER BY sequence DESC LIMIT 1").fetchone()
    return f"serial:{serial}"


def _bundled(place: Path) -> Json:
    """The bundle of a party of the public test certificates, with a path to its issuing authority."""
    own = place / "party"
    own.mkdir()
    party_mirror(own / "mirror")
    return party_shell(own)("bundle", LOAD_CONTROLLER, "--role", "8", "--for", "6.15.1", "--json").document


def _repaired(say: Speaker) -> list[Json]:
    drifted = say.drifted()
    return [say("reconcile", "--mirror", drifted, *more) for more in ([], ["--repair"])]


FAILING: dict[str, tuple[str, ...]] = {
    "sync": ("--source", "file:///nowhere"),
    "status": ("--mirror", ""),
    "doctor": ("--nonsense",),
    "verify": ("--mirror", "none"),
    "find": ("--mirror", "none"),
    "show": ("serial:00", "--mirror", "none"),
    "check": ("devices.txt", "--mirror", "none"),
    "bundle": ("00-DB-12-34-56-78-90-A4", "--role", "2", "--for", "pem", "--mirror", "none"),
    "resolve": ("devices.txt", "--mirror", "none"),
    "watch": ("--mirror", "none"),
    "export": ("--mirror", "none", "--format", "pem", "--output", "nothing"),
    "quarantine": ("--mirror", "none"),
    "reconcile": ("--source", "file:///nowhere"),
    "manifest": ("--mirror", "none"),
    "backup": ("copy.db",),
    "anchors": ("--mirror", "none"),
    "restore": ("--to", "2020-01-01"),
    "prune": ("--mirror", "none"),
    "init": ("--source", "file:///nowhere", "--mirror", "m", "--config", "new.toml"),
    "schedule": ("--config", "none"),
}
"""What each command that has a document is asked so that it fails."""


def _failed(say: Speaker) -> list[Json]:
    failed = [say(command, *words) for command, words in FAILING.items()]
    assert [one["schema"] for one in failed] == [f"smki-sync/{command}/1" for command in FAILING]
    return failed


def test_every_document_is_made_here_and_each_command_fails_here_too(
    documents: dict[str, list[Json]],
) -> None:
    assert set(documents) == set(SCHEMAS)
    assert set(FAILING) == set(SCHEMAS) - {"failure", "rehearsal", "evidence"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_real_documents_keep_to_their_schema(name: str, documents: dict[str, list[Json]]) -> None:
    assert documents[name]
    for document in documents[name]:
        assert faults(name, document) == []


def test_what_is_in_those_documents_is_no_empty_list(documents: dict[str, list[Json]]) -> None:
    """Else a schema of what stands in a list would hold nothing."""
    for name, key in (
        *(("sync", "attention"), ("sync", "applied"), ("sync", "lists"), ("find", "certificates")),
        *(
            ("quarantine", "records"),
            ("reconcile", "examples"),
            ("manifest", "members"),
            ("manifest", "shards"),
        ),
        *(("anchors", "differences"), ("anchors", "regions"), ("rehearsal", "files")),
        *(("rehearsal", "attention"), ("restore", "applied"), ("restore", "checks")),
        *(("prune", "removed"), ("verify", "examples"), ("verify", "codes")),
        *(("schedule", "files"), ("schedule", "steps")),
    ):
        assert any(document[key] for document in documents[name]), (name, key)
    comparisons = [document["comparison"] for document in documents["manifest"]]
    assert any(one and one["only_other"] for one in comparisons)


def test_a_document_that_breaks_its_schema_would_be_noticed(documents: dict[str, list[Json]]) -> None:
    (broken, *_) = documents["status"]
    assert faults("status", broken | {"bytes": "many"})
    assert faults("status", broken | {"surprise": 1})
    assert faults("status", {key: value for key, value in broken.items() if key != "state"})
    (found, *_) = documents["find"]
    assert faults("find", found | {"certificates": [found["certificates"][0] | {"eui": "00-DB"}]})
