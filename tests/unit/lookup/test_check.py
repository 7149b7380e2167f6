"""`check`: verdicts, outputs and exit codes, for the public test certificates and a small mirror."""

import csv
import io
import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha1, sha256
from pathlib import Path

import pytest
from support.cli import Ran, Shell, command_line
from support.list_builders import arrival, revoke
from support.mirror_builders import OTHER_ISSUER, Record, build, entry, eui_of, november, serial_of
from support.party import OTHER_SUPPLIER, SUPPLIER, ders, party_mirror, shell
from support.x509_builders import DS, ISSUING_OCA, NOBODY, REAL, SKI, issue, with_null_parameters

from smki_sync.lookup.check import BATCH_LINES, CheckOptions, check_lines
from smki_sync.lookup.inputs import open_input
from smki_sync.lookup.verdicts import CheckVerdict
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import open_mirror
from smki_sync.model.certificate import Entry, KeyId, Kind, Usage
from smki_sync.usability import rule_at
from smki_sync.x509 import read_facts
from smki_sync.x509.der import to_pem

KA = Usage.KEY_AGREEMENT
UNKNOWN = "00-DB-12-FF-FF-FF-FF-FF"


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    place = tmp_path_factory.mktemp("check")
    party_mirror(place / "mirror")
    return shell(place)


def written(ask: Shell, name: str, content: str | bytes) -> str:
    (ask.place / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def rows(ran: Ran) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(ran.out))]


def verdicts(ran: Ran) -> list[tuple[str, str]]:
    return [(row["usage"], row["verdict"]) for row in rows(ran)]


def check(ask: Shell, content: str | bytes, *words: object) -> Ran:
    return ask("check", written(ask, "list.csv", content), "--format", "csv", *words)


# Verdicts, on a mirror made of small entries.


def states() -> list[Record]:
    """Devices 1 to 9: ready, DS only, expired, not yet valid, not in use, and so on."""
    pair = [entry(n, eui=eui_of(1), usage=usage) for n, usage in ((1, Usage.DIGITAL_SIGNING), (2, KA))]
    only = entry(3, eui=eui_of(2))
    expired = lived(entry(4, eui=eui_of(3)), "2020-01-01", "2024-12-31")
    early = lived(entry(5, eui=eui_of(4)), "2030-01-01", "2040-01-01")
    unused = [entry(n, status, eui=eui_of(n)) for n, status in ((6, "N"), (7, "P"), (8, "E"), (9, "R"))]
    tie = [entry(n, eui=eui_of(5)) for n in (10, 11)]
    renewed = [lived(entry(12, eui=eui_of(10)), "2020-01-01", "2024-12-31"), entry(13, eui=eui_of(10))]
    bodies = {n: issue(subject=NOBODY, serial=0x1A00 + n, extensions=[SKI, DS]) for n in (20, 21)}
    same_key = [same_ski(entry(n, eui=eui_of(11), body=der), "0000000000000014") for n, der in bodies.items()]
    twins = [entry(30, eui=eui_of(12)), entry(30, number=31, issuer=OTHER_ISSUER, eui=eui_of(13))]
    return [*pair, only, expired, early, *unused, *tie, *renewed, *same_key, *twins]


def lived(one: Entry, start: str, end: str) -> Entry:
    first, last = (int(datetime.fromisoformat(f"{day}T00:00:00Z").timestamp()) for day in (start, end))
    return one._replace(facts=one.facts._replace(not_before=first, not_after=last))


def same_ski(one: Entry, ski: str) -> Entry:
    return one._replace(facts=one.facts._replace(ski=KeyId(ski)))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    place = tmp_path_factory.mktemp("small")
    directory = MirrorDirectory(place / "mirror")
    directory.prepare()
    generation = directory.next_generation()
    build(generation, states())
    directory.publish(generation)
    return shell(place, "2026-11-20")


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (1, "ready"),
        (3, "expired"),
        (4, "not-yet-valid"),
        (6, "not-in-use"),
        (7, "not-in-use"),
        (8, "expired"),
        (9, "revoked"),
        (5, "ambiguous"),
        (10, "ready"),
        (11, "ready"),
        (99, "unknown"),
    ],
)
def test_eui_gets_the_verdict_of_its_newest_usable_certificate(
    small: Shell, device: int, expected: str
) -> None:
    ran = check(small, eui_of(device), "--need", "DS")
    assert verdicts(ran) == [("DS", expected)]
    assert ran.code == (0 if expected == "ready" else 10)
    assert bool(rows(ran)[0]["why"]) == (expected != "ready")


def test_each_needed_usage_has_a_row(small: Shell) -> None:
    assert verdicts(check(small, eui_of(1))) == [("DS", "ready"), ("KA", "ready")]
    ran = check(small, eui_of(2), "--need", "KA,DS")
    assert verdicts(ran) == [("KA", "missing"), ("DS", "ready")]
    assert "key agreement" in rows(ran)[0]["why"]


def test_newest_certificate_is_used_after_a_renewal(small: Shell) -> None:
    (row,) = rows(check(small, eui_of(10), "--need", "DS"))
    assert row["serial"] == serial_of(13)
    (row,) = rows(check(small, eui_of(10), "--need", "DS", "--at", "2023-01-01"))
    assert row["serial"] == serial_of(12)


def test_serial_number_of_two_issuers_is_ambiguous(small: Shell) -> None:
    (row,) = rows(check(small, f"serial:{serial_of(30)}"))
    assert row["verdict"] == "ambiguous"
    assert OTHER_ISSUER in row["why"]


def test_key_identifier_finds_a_device_without_an_index(small: Shell) -> None:
    ran = check(small, "ski\n0000000000000001\n0000000000000014\nFFFFFFFFFFFFFFFF\n")
    assert [row["verdict"] for row in rows(ran)] == ["ready", "ready", "unknown"]
    assert rows(ran)[0]["serial"] == serial_of(1)


def test_role_that_nobody_has_is_missing(ask: Shell) -> None:
    (row,) = rows(check(ask, OTHER_SUPPLIER, "--need", "DS", "--role", "networkOperator"))
    assert (row["verdict"], "only with role supplier (2)" in row["why"]) == ("missing", True)
    assert verdicts(check(ask, OTHER_SUPPLIER, "--need", "DS", "--role", "supplier")) == [("DS", "ready")]


def test_certificates_below_a_revoked_authority_are_issuer_revoked(tmp_path: Path) -> None:
    party_mirror(tmp_path / "mirror", others={"R": [ISSUING_OCA]})
    ran = check(shell(tmp_path), OTHER_SUPPLIER, "--need", "DS")
    assert verdicts(ran) == [("DS", "issuer-revoked")]
    assert "CN=Z1,OU=07" in rows(ran)[0]["why"]


def test_failed_supplier_has_forty_revoked_certificates(tmp_path: Path) -> None:
    directory = MirrorDirectory(tmp_path / "mirror")
    directory.prepare()
    generation = directory.next_generation()
    build(generation, [entry(n, kind=Kind.ORGANISATION, role=2) for n in range(1, 51)])
    revoke(generation, arrival(*range(1, 41), next_update=None))
    directory.publish(generation)
    ran = check(shell(tmp_path, "2026-11-20"), "\n".join(map(eui_of, range(1, 51))), "--need", "DS")
    assert [row["verdict"] for row in rows(ran)] == ["revoked"] * 40 + ["ready"] * 10
    assert all("CRL.gz number 1" in row["why"] for row in rows(ran)[:40])


def test_withdrawn_certificate_is_withdrawn(tmp_path: Path) -> None:
    directory = MirrorDirectory(tmp_path / "mirror")
    directory.prepare()
    first, second = directory.next_generation(), directory.generations / "000002.db"
    build(first, [entry(1), entry(2)])
    build(second, [entry(2)], day=november(16), old=first)
    directory.publish(second)
    ran = check(shell(tmp_path, "2026-11-20"), f"{eui_of(1)}\n{eui_of(2)}", "--need", "DS")
    assert [row["verdict"] for row in rows(ran)] == ["withdrawn", "ready"]


def test_revoked_successor_is_not_hidden_by_an_expired_certificate(tmp_path: Path) -> None:
    directory = MirrorDirectory(tmp_path / "mirror")
    directory.prepare()
    generation = directory.next_generation()
    old = lived(entry(1, eui=eui_of(1)), "2020-01-01", "2024-12-31")
    build(generation, [old, entry(2, "R", eui=eui_of(1))])
    directory.publish(generation)
    (row,) = rows(check(shell(tmp_path, "2026-11-20"), eui_of(1), "--need", "DS"))
    assert (row["verdict"], row["serial"]) == ("revoked", serial_of(2))


def test_unknown_revocation_is_a_remark_or_not_usable(ask: Shell) -> None:
    ran = check(ask, OTHER_SUPPLIER, "--need", "DS")
    assert (ran.code, rows(ran)[0]["why"][:19]) == (0, "Revocation unknown:")
    file = ask.place / "strict.toml"
    file.write_text('[mirror]\npath = "mirror"\n[policy]\nstale_lists = "refuse"\n')
    ran = check(ask, OTHER_SUPPLIER, "--need", "DS", "--config", "strict.toml")
    assert (ran.code, verdicts(ran)) == (10, [("DS", "revocation-unknown")])


# Real certificates.


def test_real_tie_of_two_keys_is_ambiguous(ask: Shell) -> None:
    ran = check(ask, SUPPLIER)
    assert verdicts(ran) == [("DS", "ambiguous"), ("KA", "ambiguous")]
    tied = [read_facts(der).serial for der in ders(SUPPLIER, "DigitalSigningCertificate")]
    assert sum(serial in rows(ran)[0]["why"] for serial in tied) == 2


def test_real_renewal_with_the_same_key_is_ready(ask: Shell) -> None:
    old, new = sorted(
        ders(OTHER_SUPPLIER, "DigitalSigningCertificate"), key=lambda der: read_facts(der).not_before
    )
    assert read_facts(old).ski == read_facts(new).ski
    (row,) = rows(check(ask, f"ski:{read_facts(new).ski}"))
    assert (row["verdict"], row["serial"]) == ("ready", read_facts(new).serial)


@pytest.mark.parametrize("notation", ["serial", "decimal", "sha1", "sha1-base64", "sha256", "body"])
def test_every_real_certificate_is_found_in_every_notation(ask: Shell, notation: str) -> None:
    texts = {
        "serial": lambda der: read_facts(der).serial,
        "decimal": lambda der: str(int(read_facts(der).serial, 16)),
        "sha1": lambda der: sha1(der, usedforsecurity=False).hexdigest(),
        "sha1-base64": lambda der: b64encode(sha1(der, usedforsecurity=False).digest()).decode(),
        "sha256": lambda der: sha256(der).hexdigest(),
        "body": lambda der: b64encode(der).decode(),
    }
    every = [*dict.fromkeys((*REAL, *ders()))]
    found = rows(check(ask, "\n".join(map(texts[notation], every)), "--base64"))
    assert [row["serial"] for row in found] == [read_facts(der).serial for der in every]
    assert {row["verdict"] for row in found} <= {"ready", "expired"}
    for der, row in zip(every, found, strict=True):
        assert (b64decode(row["der"]) == der) if row["verdict"] == "ready" else not row["der"]


def test_certificate_files_are_compared_byte_by_byte(ask: Shell) -> None:
    genuine = ders(OTHER_SUPPLIER, "DigitalSigningCertificate")[0]
    altered = genuine[:-1] + bytes([genuine[-1] ^ 1])
    stranger = with_null_parameters(ders(SUPPLIER)[0])
    (ask.place / "broken.der").write_bytes(genuine[:-9])
    pem = written(ask, "bundle.pem", to_pem(genuine) + to_pem(altered) + to_pem(stranger))
    der = written(ask, "one.der", genuine)
    ran = ask("check", pem, der, "broken.der", "--format", "csv")
    assert ran.code == 10
    assert [(row["file"], row["number"], row["verdict"]) for row in rows(ran)] == [
        ("bundle.pem", "1", "ready"),
        ("bundle.pem", "2", "differs"),
        ("bundle.pem", "3", "differs"),
        ("one.der", "1", "ready"),
        ("broken.der", "1", "unreadable"),
    ]
    assert ask("check", der).code == 0


# Output.


def test_rows_keep_the_input_columns_and_prefix_equal_names(small: Shell) -> None:
    ran = check(small, f"EUI,Serial,why,site\n{eui_of(1)},x,because,1 High Street\n", "--need", "DS")
    (row,) = rows(ran)
    assert [*row] == [
        *("EUI", "Serial", "why", "site", "mirror_eui", "usage", "verdict", "mirror_serial", "not_after"),
        *("issuer", "mirror_why", "position", "unproven"),
    ]
    assert (row["Serial"], row["why"], row["site"]) == ("x", "because", "1 High Street")
    assert (row["mirror_eui"], row["verdict"], row["position"]) == (eui_of(1), "ready", "2026-11-09")
    assert row["unproven"] == "false"


@pytest.mark.parametrize("name", ["answers.csv", "answers.jsonl"])
def test_output_file_has_every_row_and_the_terminal_the_summary(small: Shell, name: str) -> None:
    list_file = written(small, "devices.txt", f"{eui_of(1)}\n{UNKNOWN}\nnonsense\n")
    ran = small("check", list_file, "--output", name, "--force")
    text = (small.place / name).read_text()
    made = (
        [json.loads(line) for line in text.splitlines()]
        if name.endswith("l")
        else [*csv.DictReader(io.StringIO(text))]
    )
    assert [row["verdict"] for row in made] == ["ready", "ready", "unknown", "unknown", "unreadable"]
    assert ran.code == 10
    assert ran.out.startswith("3 of 5 answers are not ready.\n")
    assert "line 3: nonsense unreadable. An EUI-64 has only hex digits" in " ".join(ran.out.split())
    assert "position 2026-11-09" in ran.out


def test_existing_output_is_kept_without_force(small: Shell) -> None:
    list_file = written(small, "devices.txt", eui_of(1))
    kept = written(small, "kept.csv", "mine")
    assert small("check", list_file, "--output", kept).code == 2
    assert (small.place / kept).read_text() == "mine"


def test_columns_of_the_table_are_chosen(small: Shell) -> None:
    list_file = written(small, "sites.csv", f"eui,site\n{UNKNOWN},High Street\n{eui_of(1)},Main Street\n")
    ran = small("check", list_file, "--need", "DS", "--columns", "line,site,verdict,mirror_eui")
    table = [
        line.split("  ") for line in ran.out.splitlines() if "Street" in line or line.startswith("line ")
    ]
    assert [[cell.strip() for cell in line if cell.strip()] for line in table] == [
        ["line", "site", "verdict", "mirror_eui"],
        ["line 2", "High Street", "unknown", UNKNOWN],
    ]
    assert small("check", list_file, "--columns", "town").code == 2
    assert small("check", list_file, "--columns", "site", "--format", "csv").code == 2


def test_remark_about_cut_lines_is_printed_only_when_lines_are_cut(small: Shell) -> None:
    for count, is_cut in ((100, False), (101, True)):
        ran = small("check", written(small, "many.txt", f"{UNKNOWN}\n" * count), "--need", "DS")
        assert ("Only the first 100 lines" in ran.err) == is_cut
        assert ran.out.count("unknown. The EUI-64") == 100


def test_document_has_counts_and_the_answers_that_are_not_ready(small: Shell) -> None:
    list_file = written(small, "devices.txt", f"{eui_of(1)}\n{UNKNOWN}\n")
    document = small("check", list_file, "--need", "DS", "--json").document
    assert document["schema"] == "smki-sync/check/1"
    assert (document["position"], document["unproven"], document["lines"]) == ("2026-11-09", None, 2)
    assert (document["verdicts"], document["outcome"]) == ({"ready": 1, "unknown": 1}, "findings")
    assert [(row["input"], row["verdict"]) for row in document["not_ready"]] == [(UNKNOWN, "unknown")]
    assert small("check", written(small, "one.txt", eui_of(1)), "--json").document["not_ready"] == []


def test_pem_directory_has_each_ready_certificate_once(ask: Shell) -> None:
    list_file = written(ask, "parties.txt", f"{OTHER_SUPPLIER}\n{OTHER_SUPPLIER}\n{SUPPLIER}\n")
    ran = ask("check", list_file, "--pem", "ready")
    assert ran.code == 10
    (path,) = (ask.place / "ready").iterdir()
    assert path.name.startswith(f"{OTHER_SUPPLIER}-DS-")
    assert path.read_text() in {to_pem(der) for der in ders(OTHER_SUPPLIER, "DigitalSigningCertificate")}
    assert "1 PEM files written to ready" in ran.err


def test_several_files_are_one_answer(small: Shell) -> None:
    first = written(small, "a.csv", f"eui,site\n{eui_of(1)},x\n")
    second = written(small, "b.txt", eui_of(10))
    ran = small("check", first, second, "--need", "DS", "--format", "jsonl")
    made = [json.loads(line) for line in ran.out.splitlines()]
    assert [(row["file"], row["eui"], row["input"], row["verdict"]) for row in made] == [
        ("a.csv", eui_of(1), "", "ready"),
        ("b.txt", "", eui_of(10), "ready"),
    ]
    assert ran.code == 0


def piped(shell: Shell, content: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command_line("check", *words),
        input=content,
        cwd=shell.place,
        env=shell.environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("words", [("-",), ()])
def test_standard_input_is_read(small: Shell, words: tuple[str, ...]) -> None:
    ran = piped(small, f"{eui_of(1)}\n", *words)
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (0, "All 2 answers are ready.")


def test_empty_input_is_no_positive_answer(small: Shell) -> None:
    ran = piped(small, "\n\n")
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (10, "There is no line to check.")


@pytest.mark.parametrize(
    "words",
    [
        ("nowhere.csv",),
        ("-", "-"),
        ("list.csv", "--need", "XX"),
        ("list.csv", "--at", "soon"),
        ("list.csv", "--role", "baker"),
        ("list.csv", "--base64"),
        ("list.csv", "--json", "--format", "csv"),
        ("list.csv", "--column", "nothing"),
        ("list.csv", "--output", "mirror/x.csv"),
    ],
)
def test_wrong_command_line_exits_2(small: Shell, words: tuple[str, ...]) -> None:
    written(small, "list.csv", eui_of(1))
    ran = small("check", *words)
    assert ran.code == 2
    assert ran.out == "" or ran.error["code"] == "usage"


def test_check_without_a_mirror_exits_7(small: Shell) -> None:
    assert small("check", written(small, "list.csv", eui_of(1)), "--mirror", "none").code == 7


# Many lines.


def many_lines(count: int) -> Iterable[str]:
    """Lines in every notation, of which each hundredth is invalid."""
    for n in range(count):
        device = n % 13 + 1
        yield ("not an identity", eui_of(device), f"serial:{serial_of(device)}", UNKNOWN)[
            0 if n % 100 == 99 else n % 3 + 1
        ]


def test_answers_keep_the_order_of_the_lines_across_batches(small: Shell) -> None:
    lines = [*many_lines(3 * BATCH_LINES + 7)]
    source = open_input("list", io.BytesIO("\n".join(lines).encode()))
    options = CheckOptions(rule=rule_at(datetime(2026, 11, 20, tzinfo=UTC)), need=(Usage.DIGITAL_SIGNING,))
    with open_mirror(small.place / "mirror" / "mirror.db") as db:
        made = [*check_lines(db, source.lines, options)]
    assert [one.line.cells[0] for one in made] == lines
    assert [one.line.number for one in made] == [*range(1, len(lines) + 1)]
    unreadable = [one.line.number for one in made if one.answers[0].verdict is CheckVerdict.UNREADABLE]
    assert unreadable == [*range(100, len(lines) + 1, 100)]
