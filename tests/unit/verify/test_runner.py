"""The deed: a whole mirror against itself and its anchors, what is remembered, and what damage is found."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from support.defects import BY_ITSELF, KA, NOW, ORGANISATION, PKI, Plan, flipped, made, signer
from support.trust_mirrors import FULL_DAY, added, mirror_of, tampered

from smki_sync.errors import MirrorDamaged, MirrorError, OutputError, UsageError
from smki_sync.events import Checking, Detail, Event, Verifying
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.integrity import CheckedPart
from smki_sync.mirror.schema import PAGE_BYTES
from smki_sync.mirror.signature_cache import empty_signature_cache, last_verification, open_signature_cache
from smki_sync.model.certificate import eui_of
from smki_sync.simulator import pki
from smki_sync.verify import Scope, Verification, VerifyJob, verify
from smki_sync.verify.inspector import EXAMPLES
from smki_sync.x509 import read_facts


def device(number: int) -> bytes:
    profile = pki.device(eui_of(b"\x00\xdb\x12" + number.to_bytes(5)), KA, NOW - timedelta(days=90))
    return made(Plan(profile=profile), PKI.dca)


DEVICES = [device(number) for number in range(12)]
ORGANISATIONS = [made(Plan(profile=ORGANISATION), PKI.oca)]
SOUND = [*PKI.authorities, *ORGANISATIONS, *DEVICES]
INDEX_LEAF = 0x0A  # first octet of such a page (SQLite's file format, 1.6)
NEXT = FULL_DAY + timedelta(days=1)


@pytest.fixture
def directory(tmp_path: Path) -> MirrorDirectory:
    return mirror_of(tmp_path / "mirror", SOUND)


def job(directory: MirrorDirectory, **others: object) -> VerifyJob:
    plain = VerifyJob(directory=directory, at=NOW, anchors=PKI.trusted, clock=lambda: NOW, threads=2)
    return replace(plain, **others)  # type: ignore[arg-type] # by name


def run(directory: MirrorDirectory, **scope: object) -> Verification:
    return verify(job(directory, scope=Scope(**scope)))  # type: ignore[arg-type] # by name


def counts(done: Verification) -> dict[str, int]:
    return {code.value: count for code, count in done.tally.counts.items()}


def aspects(done: Verification) -> set[CheckedPart]:
    return {damage.aspect for damage in done.damages}


def test_a_mirror_in_order_is_sound_and_anchored(directory: MirrorDirectory) -> None:
    done = run(directory)
    assert done.is_sound
    assert counts(done) == {}
    assert done.aspects == tuple(CheckedPart)
    assert (done.tally.checked, done.tally.anchored, done.anchors) == (len(SOUND), len(SOUND), 2)


def test_what_was_proven_is_remembered_and_only_what_is_new_is_proven(directory: MirrorDirectory) -> None:
    first = run(directory)
    signatures = len(SOUND) - len(PKI.trusted)  # an anchor needs none
    assert (first.tally.proven, first.tally.remembered) == (signatures, 0)
    again = run(directory)
    assert (again.tally.proven, again.tally.remembered) == (0, signatures)
    assert again.is_sound
    added(directory, NEXT, [device(100)])
    later = run(directory)
    assert (later.tally.proven, later.tally.remembered) == (1, signatures)
    afresh = run(directory, afresh=True)
    assert (afresh.tally.proven, afresh.tally.remembered) == (signatures + 1, 0)


def test_proofs_hold_in_another_generation(directory: MirrorDirectory, tmp_path: Path) -> None:
    run(directory)
    other = mirror_of(tmp_path / "other", reversed(SOUND))
    directory.signature_cache.replace(other.signature_cache)
    assert run(other).tally.proven == 0


def test_what_is_remembered_says_nothing_of_another_certificate_or_key(directory: MirrorDirectory) -> None:
    with open_signature_cache(directory.signature_cache) as proofs:
        mark = proofs.marker(b"key")
        proofs.add([mark(b"certificate")])
        others = [mark(b"certificatf"), proofs.marker(b"kez")(b"certificate")]
        assert proofs.known([mark(b"certificate"), *others]) == {mark(b"certificate")}
    with empty_signature_cache() as proofs:
        assert proofs.marker(b"key")(b"certificate") != mark(b"certificate")


def test_a_false_signature_is_proven_again_each_time(directory: MirrorDirectory) -> None:
    added(directory, NEXT, [flipped(device(100), -1)])
    for _ in range(2):
        done = run(directory)
        assert counts(done) == {"signature-false": 1}
        assert not done.is_sound


def test_a_memory_that_cannot_be_read_is_made_anew(directory: MirrorDirectory) -> None:
    for noise in (b"noise" * 1000, b""):
        directory.signature_cache.write_bytes(noise)
        assert run(directory).tally.remembered == 0
        assert run(directory).tally.proven == 0
    with closing(sqlite3.connect(directory.signature_cache)) as db, db:
        db.execute("PRAGMA user_version = 99")
    assert run(directory).tally.remembered == 0


@pytest.mark.parametrize("table", ["proof", "verification"])
def test_a_memory_that_turns_out_damaged_while_it_is_used_is_made_anew(
    directory: MirrorDirectory, table: str
) -> None:
    run(directory)
    with closing(sqlite3.connect(directory.signature_cache)) as db:
        (page,) = db.execute("PRAGMA page_size").fetchone()
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    with directory.signature_cache.open("r+b") as file:
        file.seek((root - 1) * page)
        file.write(b"\xff" * page)
    assert run(directory).is_sound
    assert run(directory).is_sound
    assert run(directory).tally.proven == 0


def test_the_secret_of_the_memory_is_its_owners_alone(directory: MirrorDirectory) -> None:
    run(directory)
    assert directory.signature_cache.stat().st_mode & 0o077 == 0


def test_where_nothing_can_be_remembered_it_is_said_and_verified_all_the_same(
    directory: MirrorDirectory,
) -> None:
    directory.signature_cache.mkdir()
    heard: list[Event] = []
    done = verify(job(directory, events=Ear(heard)))
    assert done.is_sound
    assert not done.kept
    assert any(isinstance(event, Detail) and "not cached" in event.text for event in heard)
    assert last_verification(directory.signature_cache) is None


class Ear:
    def __init__(self, heard: list[Event]) -> None:
        self.heard = heard

    def emit(self, event: Event) -> None:
        self.heard.append(event)


def test_progress_is_told_to_its_end(directory: MirrorDirectory) -> None:
    heard: list[Event] = []
    verify(job(directory, events=Ear(heard)))
    steps = [event for event in heard if isinstance(event, Checking)]
    assert len(steps) == 2
    *_, last = [event for event in heard if isinstance(event, Verifying)]
    assert last.done == last.size == len(SOUND)


def test_the_last_whole_verification_is_remembered_for_status(directory: MirrorDirectory) -> None:
    assert last_verification(directory.signature_cache) is None
    run(directory, sample=3)
    assert last_verification(directory.signature_cache) is None
    run(directory)
    last = last_verification(directory.signature_cache)
    assert last is not None
    assert (last.certificates, last.errors, last.anchored) == (len(SOUND), 0, True)
    assert last.position == FULL_DAY.isoformat()


def test_without_anchors_the_report_says_that_nothing_is_anchored(directory: MirrorDirectory) -> None:
    done = verify(job(directory, anchors=()))
    assert done.is_sound
    assert (done.anchors, done.tally.anchored) == (0, 0)


# How much.


def test_only_what_is_in_use_needs_to_be_proven_unless_more_is_asked_for(tmp_path: Path) -> None:
    forged = flipped(device(100), -1)
    directory = mirror_of(tmp_path / "mirror", SOUND, others={"N": [forged], "R": [device(101)]})
    done = run(directory)
    assert done.is_sound
    assert done.tally.checked == len(SOUND)
    more = run(directory, any_status=True)
    assert counts(more) == {"signature-false": 1}
    assert more.tally.checked == len(SOUND) + 2


def test_an_authority_out_of_use_still_proves_what_it_has_issued(tmp_path: Path) -> None:
    rest = [der for der in SOUND if der != PKI.issuing[1]]
    directory = mirror_of(tmp_path / "mirror", rest, others={"N": [PKI.issuing[1]]})
    done = run(directory)
    assert done.is_sound
    assert counts(done) == {"issuer-not-in-use": len(DEVICES)}
    assert done.tally.odd == len(DEVICES)
    revoked = mirror_of(tmp_path / "revoked", rest, others={"R": [PKI.issuing[1]]})
    assert counts(run(revoked)) == {"issuer-revoked": len(DEVICES)}


def test_a_sample_is_as_large_as_asked_and_another_one_each_time(directory: MirrorDirectory) -> None:
    seen: Counter[int] = Counter()
    for seed in range(20):
        done = verify(job(directory, scope=Scope(sample=5), chance=Random(seed)))
        assert done.tally.checked == 5
        assert done.aspects == ()
        seen[done.tally.remembered] += 1
    assert len(seen) > 1
    assert run(directory, sample=1000).tally.checked == len(SOUND)


def test_a_sample_holds_what_is_in_use_alone_unless_more_is_asked_for(tmp_path: Path) -> None:
    spent = [device(number) for number in range(100, 110)]
    directory = mirror_of(tmp_path / "mirror", PKI.authorities, others={"N": spent})
    assert run(directory, sample=1000).tally.checked == len(PKI.authorities)
    assert run(directory, sample=1000, any_status=True).tally.checked == len(PKI.authorities) + len(spent)


# Findings.


def test_every_finding_is_counted_a_few_are_shown_and_all_are_written_where_asked(tmp_path: Path) -> None:
    forged = [flipped(device(number), -1) for number in range(EXAMPLES + 5)]
    directory = mirror_of(tmp_path / "mirror", [*SOUND, *forged])
    complete = tmp_path / "findings.jsonl"
    done = verify(job(directory, complete=complete))
    assert counts(done) == {"signature-false": len(forged)}
    assert done.tally.faulty == len(forged)
    assert len(done.tally.found) == EXAMPLES
    lines = [json.loads(line) for line in complete.read_text().splitlines()]
    assert len(lines) == len(forged)
    assert {line["code"] for line in lines} == {"signature-false"}
    assert len({line["serial"] for line in lines}) == len(forged)


def test_a_list_that_cannot_be_written_is_said_before_anything_is_verified(
    directory: MirrorDirectory, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        verify(job(directory, complete=tmp_path / "nowhere" / "list.jsonl"))
    assert last_verification(directory.signature_cache) is None


def test_a_list_is_whole_or_not_there(directory: MirrorDirectory, tmp_path: Path) -> None:
    class Full:
        def emit(self, event: Event) -> None:
            if isinstance(event, Verifying):
                raise OSError("no more")

    with pytest.raises(OutputError, match=r"list\.jsonl cannot be written: no more\."):
        verify(job(directory, complete=tmp_path / "list.jsonl", events=Full()))
    assert [path.name for path in tmp_path.iterdir()] == ["mirror"]


def test_defects_of_all_sorts_are_told_apart_in_one_pass(tmp_path: Path) -> None:
    titles = [title for title in BY_ITSELF if "authority that" not in title]
    directory = mirror_of(tmp_path / "mirror", [*PKI.authorities, *(BY_ITSELF[title][0] for title in titles)])
    expected = Counter(code for title in titles for code in BY_ITSELF[title][1])
    assert counts(run(directory)).keys() == expected.keys()


def test_an_issuer_that_is_an_end_entity_of_the_mirror_is_told(tmp_path: Path) -> None:
    owner = signer(ORGANISATION.subject)
    certificate = made(Plan(profile=ORGANISATION, key=owner.key), PKI.oca)
    directory = mirror_of(tmp_path / "mirror", [*PKI.authorities, certificate, made(Plan(), owner)])
    for _ in range(2):
        assert counts(run(directory)) == {"issuer-not-a-ca": 1}


def test_an_authority_that_a_list_revokes_proves_nothing(directory: MirrorDirectory) -> None:
    subject = "CN=E357"
    tampered(directory, f"UPDATE certificate SET revoked = 1790000000 WHERE subject = '{subject}'")
    assert counts(run(directory)) == {"issuer-revoked": len(DEVICES)}


# Damage.


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE certificate SET eui = '00-DB-12-34-56-78-90-A5' WHERE id = 9", "row-differs"),
        ("UPDATE certificate SET serial = '00FF' WHERE id = 9", "row-differs"),
        ("UPDATE certificate SET not_after = not_after - 1 WHERE id = 9", "row-differs"),
        ("UPDATE certificate SET ski = NULL WHERE id = 9", "row-differs"),
        ("UPDATE certificate SET kind = 1 WHERE id = 9", "row-differs"),
        ("UPDATE certificate SET usage = 'DS' WHERE id = 9", "row-differs"),
        ("UPDATE issuer SET name = 'CN=E35' WHERE name = 'CN=E357'", "row-differs"),
        ("UPDATE certificate SET der = x'3000' WHERE id = 9", "not-a-certificate"),
        ("UPDATE certificate SET der = substr(der, 1, 60) || x'00' || substr(der, 62) WHERE id = 9", ""),
        ("UPDATE certificate SET eui = CAST(x'3030FF' AS TEXT) WHERE id = 9", ""),
    ],
)
def test_a_row_that_no_longer_says_what_its_certificate_says_is_found(
    directory: MirrorDirectory, statement: str, code: str
) -> None:
    run(directory)  # what is remembered must not hide it
    tampered(directory, statement)
    done = run(directory)
    assert not done.is_sound
    assert code in counts(done) or not code


def test_a_certificate_that_lost_a_bit_is_found_by_signature_and_by_digest(
    directory: MirrorDirectory,
) -> None:
    run(directory)
    with closing(sqlite3.connect(directory.link)) as db, db:
        ((der,),) = db.execute("SELECT der FROM certificate WHERE id = 9").fetchall()
        db.execute("UPDATE certificate SET der = ? WHERE id = 9", (flipped(der, -3),))
    done = run(directory)
    assert counts(done) == {"signature-false": 1}
    assert aspects(done) == {CheckedPart.DIGEST}


def test_a_status_that_has_changed_behind_its_back_is_found_by_counts_and_digest(
    directory: MirrorDirectory,
) -> None:
    tampered(directory, "UPDATE certificate SET status = 'N' WHERE id = 9")
    assert aspects(run(directory)) == {CheckedPart.COUNTS, CheckedPart.DIGEST}


def test_a_row_that_is_gone_is_found(directory: MirrorDirectory) -> None:
    tampered(directory, "DELETE FROM certificate WHERE id = 9")
    assert aspects(run(directory)) == {CheckedPart.COUNTS, CheckedPart.DIGEST}


@pytest.mark.parametrize(
    ("entry", "index"),
    [
        (str(eui_of(b"\x00\xdb\x12" + (3).to_bytes(5))), "certificate_eui"),
        (read_facts(DEVICES[4]).serial, "certificate_identity"),
        (str(read_facts(ORGANISATIONS[0]).ski), "certificate_others"),
    ],
)
def test_an_index_that_leads_elsewhere_is_found(directory: MirrorDirectory, entry: str, index: str) -> None:
    generation = directory.current()
    assert generation is not None
    octets = generation.read_bytes()
    places = [at for at in range(len(octets)) if octets.startswith(entry.encode(), at)]
    (at,) = [at for at in places if octets[at // PAGE_BYTES * PAGE_BYTES] == INDEX_LEAF]
    generation.write_bytes(octets[:at] + bytes((octets[at] ^ 4,)) + octets[at + 1 :])
    done = run(directory)
    assert CheckedPart.INDEXES in aspects(done)
    assert [d.detail.split()[0] for d in done.damages if d.aspect is CheckedPart.INDEXES] == [index]


def test_a_flipped_bit_anywhere_in_the_rows_is_found(tmp_path: Path) -> None:
    directory = mirror_of(tmp_path / "mirror", SOUND)
    generation = directory.current()
    assert generation is not None
    whole = generation.read_bytes()
    chance = Random(5)
    first = whole.rindex(DEVICES[0])  # a page that was divided keeps what it held, to no purpose
    for _ in range(25):
        at = first + chance.randrange(len(DEVICES[0]))
        generation.write_bytes(whole[:at] + bytes((whole[at] ^ 1 << chance.randrange(8),)) + whole[at + 1 :])
        assert not run(directory).is_sound
    generation.write_bytes(whole)
    assert run(directory).is_sound


def test_pages_that_are_overwritten_with_noise_are_found(tmp_path: Path) -> None:
    directory = mirror_of(tmp_path / "mirror", [*SOUND, *(device(n) for n in range(200, 400))])
    generation = directory.current()
    assert generation is not None
    whole = generation.read_bytes()
    for certificate, find in ((DEVICES[0], whole.index), (DEVICES[-1], whole.rindex)):
        at = find(certificate) // PAGE_BYTES * PAGE_BYTES  # the root of the table; a leaf of it
        generation.write_bytes(whole[:at] + Random(1).randbytes(PAGE_BYTES) + whole[at + PAGE_BYTES :])
        assert CheckedPart.PAGES in aspects(run(directory))


def test_what_reading_does_not_get_to_behind_a_damaged_page_is_not_called_sound(tmp_path: Path) -> None:
    directory = mirror_of(tmp_path / "mirror", [*SOUND, *(device(n) for n in range(200, 400))])
    generation = directory.current()
    assert generation is not None
    whole = generation.read_bytes()
    at = whole.index(DEVICES[0]) // PAGE_BYTES * PAGE_BYTES  # the root of the table
    generation.write_bytes(whole[:at] + bytes(PAGE_BYTES) + whole[at + PAGE_BYTES :])
    done = run(directory)
    assert aspects(done) == {CheckedPart.PAGES}
    assert done.aspects == (CheckedPart.PAGES,)
    assert done.tally.checked == 0


def test_a_file_that_is_no_mirror_is_an_error(directory: MirrorDirectory) -> None:
    generation = directory.current()
    assert generation is not None
    generation.write_bytes(b"noise" * 10_000)
    with pytest.raises(MirrorDamaged):
        run(directory)


def test_where_there_is_no_mirror_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match="no mirror"):
        run(MirrorDirectory(tmp_path))


def test_a_sync_may_go_on_while_a_mirror_is_verified(directory: MirrorDirectory) -> None:
    class Publisher:
        done = False

        def emit(self, event: Event) -> None:
            if isinstance(event, Checking) and not self.done:
                self.done = True
                added(directory, NEXT, [device(100), flipped(device(101), -1)])

    done = verify(job(directory, events=Publisher()))
    assert done.is_sound
    assert done.tally.checked == len(SOUND)
    assert counts(run(directory)) == {"signature-false": 1}
