"""``show``: every way to name a certificate, every form of the answer, and an honest no."""

import json
import sqlite3
from base64 import b64decode, b64encode, encodebytes
from collections.abc import Mapping
from contextlib import closing
from hashlib import sha1, sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support.cli import Json, Ran, Shell

from smki_sync.model.certificate import serial_from_decimal
from smki_sync.x509.der import to_pem

Row = Mapping[str, object] | sqlite3.Row


def certificates(ran: Ran) -> list[Json]:
    made = ran.document["certificates"]
    assert isinstance(made, list)
    return made


def serials(ran: Ran) -> set[str]:
    return {one["serial"] for one in certificates(ran)}


@pytest.fixture(scope="session")
def device(rows: list[sqlite3.Row]) -> sqlite3.Row:
    """A certificate In-Use of a device, whose EUI-64 has letters in it."""
    return next(row for row in rows if row["kind"] == "device" and row["in_use"] and row["usage"] == "KA")


@pytest.fixture(scope="session")
def supplier(rows: list[sqlite3.Row]) -> sqlite3.Row:
    return next(row for row in rows if row["role"] == 2 and row["in_use"] and row["usage"] == "DS")


def spellings(eui: str) -> list[str]:
    plain = eui.replace("-", "")
    grouped = ".".join(plain[at : at + 4] for at in range(0, 16, 4))
    return [eui, eui.lower(), plain, eui.replace("-", ":").lower(), grouped, eui.replace("-", " ")]


def test_an_eui_is_read_in_every_usual_notation(
    ask: Shell, device: sqlite3.Row, rows: list[sqlite3.Row]
) -> None:
    expected = {row["serial"] for row in rows if row["eui"] == device["eui"] and row["in_use"]}
    for spelling in spellings(device["eui"]):
        ran = ask("show", spelling, "--json")
        assert (ran.code, serials(ran)) == (0, expected), spelling


def test_a_serial_is_read_in_hex_and_in_decimal(ask: Shell, device: sqlite3.Row) -> None:
    hexadecimal = device["serial"]
    for spelling in (hexadecimal, f"00{hexadecimal.lower()}", str(int(hexadecimal, 16))):
        ran = ask("show", f"serial:{spelling}", "--json")
        assert (ran.code, serials(ran)) == (0, {hexadecimal}), spelling
        assert certificates(ran)[0]["serial_decimal"] == str(int(hexadecimal, 16))


def test_a_key_identifier_and_both_hashes_find_the_certificate(ask: Shell, device: sqlite3.Row) -> None:
    der = device["der"]
    for identity in (
        f"ski:{device['ski']}",
        f"ski:{bytes.fromhex(device['ski']).hex(':')}",
        f"sha1:{sha1(der, usedforsecurity=False).hexdigest()}",
        f"sha256:{sha256(der).hexdigest().upper()}",
    ):
        ran = ask("show", identity, "--json")
        assert (ran.code, serials(ran)) == (0, {device["serial"]}), identity


def test_a_certificate_file_is_looked_up_in_pem_and_in_der(ask: Shell, device: sqlite3.Row) -> None:
    identity = f"serial:{device['serial']}"
    der, pem = ask("show", identity, "--der"), ask("show", identity, "--pem")
    assert der.raw == device["der"]
    assert x509.load_pem_x509_certificate(pem.raw).serial_number == int(device["serial"], 16)
    for name, octets in (("one.der", der.raw), ("one.pem", pem.raw)):
        (ask.place / name).write_bytes(octets)
        assert serials(ask("show", name, "--json")) == {device["serial"]}


def test_a_file_that_is_no_certificate_is_named_as_such(ask: Shell) -> None:
    (ask.place / "notes.txt").write_text("buy milk")
    ran = ask("show", "notes.txt", "--json")
    assert ran.code == 2
    assert "notes.txt" in ran.error["message"]


@pytest.mark.parametrize("name", ["one.pem", "elsewhere/one", "ONE.CER"])
def test_a_file_that_is_not_there_is_called_that_and_no_bad_eui(ask: Shell, name: str) -> None:
    ran = ask("show", name, "--json")
    assert (ran.code, ran.error["message"]) == (
        2,
        f"{name!r}: the file cannot be read: No such file or directory",
    )


def test_digits_alone_are_looked_up_as_hex_and_as_decimal(ask: Shell, rows: list[sqlite3.Row]) -> None:
    one = rows[0]["serial"]
    decimal = str(int(one, 16))
    assert int(decimal, 16) != int(one, 16)
    assert serials(ask("show", f"serial:{decimal}", "--any-status", "--json")) == {one}
    assert ask("show", f"serial:0x{decimal}", "--any-status").code == 10  # said to be hex


def test_usage_picks_one_of_the_two_certificates(ask: Shell, device: sqlite3.Row) -> None:
    for usage in ("KA", "ka"):
        ran = ask("show", device["eui"], "--usage", usage, "--json")
        assert {one["usage"] for one in certificates(ran)} == {"KA"}


@pytest.mark.parametrize("role", ["2", "supplier", "SUPPLIER"])
def test_role_is_a_number_or_a_name(ask: Shell, supplier: sqlite3.Row, role: str) -> None:
    ran = ask("show", supplier["eui"], "--role", role, "--json")
    assert ran.code == 0
    assert {(one["role"], one["role_name"]) for one in certificates(ran)} == {(2, "supplier")}


def test_another_role_finds_nothing_and_an_unknown_one_is_a_usage_error(
    ask: Shell, supplier: sqlite3.Row
) -> None:
    assert ask("show", supplier["eui"], "--role", "3", "--json").code == 10
    unknown = ask("show", supplier["eui"], "--role", "king", "--json")
    assert unknown.code == 2
    assert "king" in unknown.error["message"]
    assert "supplier" in unknown.error["hint"]


def test_what_is_not_in_use_is_shown_only_when_asked_for(ask: Shell, rows: list[sqlite3.Row]) -> None:
    gone = next(row for row in rows if not row["in_use"])
    identity = f"serial:{gone['serial']}"
    assert ask("show", identity, "--json").code == 10
    ran = ask("show", identity, "--any-status", "--json")
    assert ran.code == 0
    assert [(one["in_use"], one["status"]) for one in certificates(ran)] == [(False, gone["status"])]
    assert "NOT In-Use" in ask("show", identity, "--any-status").out


def test_people_read_who_it_is_and_whether_it_may_be_used(ask: Shell, supplier: sqlite3.Row) -> None:
    ran = ask("show", f"serial:{supplier['serial']}")
    assert ran.code == 0
    for part in (supplier["eui"], "supplier", "digital signing", "In-Use", supplier["serial"]):
        assert part in ran.out
    assert "NOT In-Use" not in ran.out
    assert ran.err == ""
    assert max(map(len, ran.out.splitlines())) <= 80


def test_pem_holds_every_certificate_that_was_found(ask: Shell, device: sqlite3.Row) -> None:
    ran = ask("show", device["eui"], "--pem")
    loaded = x509.load_pem_x509_certificates(ran.raw)
    asked = certificates(ask("show", device["eui"], "--json"))
    assert [one.serial_number for one in loaded] == [int(one["serial"], 16) for one in asked]
    assert len(loaded) == 2


def test_der_writes_one_certificate_or_says_how_to_name_one(ask: Shell, device: sqlite3.Row) -> None:
    ran = ask("show", device["eui"], "--der")
    assert ran.code == 2
    assert ran.raw == b""
    assert "--usage" in ran.err


def test_der_is_refused_when_stdout_is_a_terminal(ask: Shell, device: sqlite3.Row) -> None:
    ran = ask.on_a_terminal("show", f"serial:{device['serial']}", "--der")
    assert ran.code == 2
    assert device["der"] not in ran.raw
    assert "--der > certificate.der" in ran.out


def test_forms_of_the_answer_exclude_one_another(ask: Shell, device: sqlite3.Row) -> None:
    assert ask("show", device["eui"], "--pem", "--json").code == 2
    assert ask("show", device["eui"], "--pem", "--der").code == 2


@pytest.mark.parametrize("form", [[], ["--pem"], ["--der"]])
def test_a_no_is_ten_says_how_old_the_mirror_is_and_leaves_stdout_empty(ask: Shell, form: list[str]) -> None:
    ran = ask("show", "00-DB-12-34-56-78-90-A4", *form)
    assert ran.code == 10
    assert ran.raw == b""
    assert "2026-11-11" in ran.err
    assert "00-DB-12-34-56-78-90-A4" in ran.err


def test_a_no_says_how_old_the_mirror_is_and_that_others_are_not_in_use(
    ask: Shell, rows: list[sqlite3.Row]
) -> None:
    gone = next(row for row in rows if not row["in_use"])
    ran = ask("show", f"serial:{gone['serial']}", SMKI_SYNC_TODAY="2026-11-23")
    said = " ".join(ran.err.split())
    assert ran.code == 10
    assert "2026-11-11 (12 days old)" in said
    assert "1 not In-Use: pass --any-status to show it." in said


@pytest.mark.parametrize(
    ("today", "word"), [("2026-11-11", "In-Use, unchanged since"), ("2100-01-01", "expired 20")]
)
def test_in_use_is_not_usable_where_the_validity_has_ended(
    ask: Shell, supplier: sqlite3.Row, today: str, word: str
) -> None:
    ran = ask("show", f"serial:{supplier['serial']}", SMKI_SYNC_TODAY=today)
    assert ran.code == 0
    assert word in ran.out
    assert ("NOT usable" in ran.out) == (today == "2100-01-01")


def test_on_a_terminal_the_verdict_alone_is_coloured(ask: Shell, device: sqlite3.Row) -> None:
    identity = f"serial:{device['serial']}"
    shown = ask.on_a_terminal("show", identity).raw.decode()
    coloured = [line for line in shown.splitlines() if "\x1b[" in line]
    assert ["In-Use" in line for line in coloured] == [True]
    assert "\x1b" not in ask.on_a_terminal("show", identity, NO_COLOR="1").raw.decode()
    assert "\x1b" not in ask("show", identity).out


def test_a_no_names_the_filter_that_it_is_due_to(ask: Shell, supplier: sqlite3.Row) -> None:
    ran = ask("show", supplier["eui"], "--role", "3", "--any-status")
    assert ran.code == 10
    assert "networkOperator" in ran.err or "--role" in ran.err  # the mirror does hold others of it


def test_a_no_as_json_is_an_empty_list(ask: Shell) -> None:
    ran = ask("show", "00-DB-12-34-56-78-90-A4", "--json")
    assert ran.code == 10
    assert certificates(ran) == []


@pytest.mark.parametrize(
    ("identity", "fault"),
    [
        ("00DB12345678", "16 hex digits, this has 12"),
        ("00-DB-12-34-56-78-90-XY", "'X' 'Y'"),
        ("serial:", "hex"),
        ("serial:12G4", "12G4"),
        ("sha1:abcd", "20 bytes"),
        ("ski:xyz", "hex"),
        ("", "16 hex digits"),
    ],
)
def test_a_wrong_identity_is_told_what_is_wrong_with_it(ask: Shell, identity: str, fault: str) -> None:
    ran = ask("show", identity, "--json")
    assert ran.code == 2
    assert fault in ran.error["message"]
    assert "serial:" in ran.error["hint"]


def test_an_identity_with_escapes_is_shown_escaped(ask: Shell) -> None:
    ran = ask("show", "\x1b[31mred\x07")
    assert ran.code == 2
    assert all(line.isprintable() for line in ran.err.splitlines())


def test_without_a_mirror_the_answer_is_no_mirror_and_not_no_certificate(smki: Shell) -> None:
    ran = smki("show", "00-DB-12-34-56-78-90-A4", "--mirror", "nowhere", "--json")
    assert ran.code == 7
    assert ran.error["code"] == "no-mirror"
    assert "sync" in ran.error["hint"]
    assert not (smki.place / "nowhere").exists()


def test_a_damaged_mirror_is_no_certificate_either(smki: Shell, own_mirror: Path) -> None:
    (own_mirror / "mirror.db").write_bytes(b"no database" * 1000)
    ran = smki("show", "00-DB-12-34-56-78-90-A4", "--mirror", own_mirror, "--json")
    assert ran.code == 7
    assert ran.error["code"] == "mirror-damaged"


def test_a_mirror_that_may_only_be_read_answers(ask: Shell, own_mirror: Path, device: sqlite3.Row) -> None:
    for path in (own_mirror, own_mirror / "generations", *own_mirror.glob("generations/*")):
        path.chmod(path.stat().st_mode & 0o555)
    ran = ask("show", device["eui"], "--mirror", own_mirror, "--json")
    for path in (own_mirror, own_mirror / "generations"):
        path.chmod(0o755)
    assert ran.code == 0


def test_the_pem_in_the_document_is_the_certificate(ask: Shell, device: sqlite3.Row) -> None:
    (one,) = certificates(ask("show", f"serial:{device['serial']}", "--json"))
    assert one["sha256"] == sha256(device["der"]).hexdigest()
    assert one["sha1"] == sha1(device["der"], usedforsecurity=False).hexdigest()
    loaded = x509.load_pem_x509_certificate(one["pem"].encode())
    assert loaded.serial_number == int(one["serial"], 16)
    assert json.dumps(one["pem"]).count("BEGIN CERTIFICATE") == 1


def forged(device: sqlite3.Row) -> bytes:
    """A self-signed certificate with the issuer and serial number of a genuine one."""
    genuine = x509.load_der_x509_certificate(device["der"])
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(
        issuer_name=genuine.issuer,
        subject_name=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "EVIL")]),
        public_key=key.public_key(),
        serial_number=genuine.serial_number,
        not_valid_before=genuine.not_valid_before_utc,
        not_valid_after=genuine.not_valid_after_utc,
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_show_exits_10_when_a_file_has_a_genuine_serial_but_other_bytes(
    ask: Shell, device: sqlite3.Row
) -> None:
    (ask.place / "forged.der").write_bytes(forged(device))
    for more in ([], ["--explain"], ["--any-status"]):
        ran = ask("show", "forged.der", *more)
        assert (ran.code, ran.out) == (10, "")
        said = " ".join(ran.err.split())
        assert f"serial number {device['serial']} is not in the mirror" in said
        assert "different certificate with this issuer and serial number" in said
        assert device["eui"] in said
        assert "subject" in said
    ran = ask("show", "forged.der", "--json")
    assert (ran.code, certificates(ran)) == (10, [])
    (given,) = ran.document["inputs"]
    assert given["sha256"] == sha256(forged_bytes(ask)).hexdigest()
    assert not given["in_mirror"]
    assert [one["serial"] for one in given["same_serial"]] == [device["serial"]]


def forged_bytes(ask: Shell) -> bytes:
    return (ask.place / "forged.der").read_bytes()


def test_show_answers_for_each_certificate_of_a_pem_file(
    ask: Shell, device: sqlite3.Row, supplier: sqlite3.Row
) -> None:
    bundle = ask.place / "bundle.pem"
    bundle.write_text(to_pem(device["der"]) + to_pem(supplier["der"]))
    ran = ask("show", "bundle.pem", "--json")
    assert (ran.code, serials(ran)) == (0, {device["serial"], supplier["serial"]})
    assert [one["in_mirror"] for one in ran.document["inputs"]] == [True, True]
    bundle.write_text(to_pem(device["der"]) + to_pem(forged(device)))
    ran = ask("show", "bundle.pem", "--json")
    assert (ran.code, serials(ran)) == (10, {device["serial"]})
    assert [one["in_mirror"] for one in ran.document["inputs"]] == [True, False]


def test_show_reads_a_file_of_bare_base64(ask: Shell, device: sqlite3.Row) -> None:
    (ask.place / "body.txt").write_bytes(encodebytes(device["der"]))
    assert serials(ask("show", "body.txt", "--json")) == {device["serial"]}


def test_show_finds_hashes_in_base64_and_without_a_prefix(ask: Shell, device: sqlite3.Row) -> None:
    der = device["der"]
    digests = (sha1(der, usedforsecurity=False).digest(), sha256(der).digest())
    for name, digest in zip(("sha1", "sha256"), digests, strict=True):
        base64 = b64encode(digest).decode()
        for identity in (f"{name}:{base64}", base64, digest.hex()):
            ran = ask("show", identity, "--json")
            assert (ran.code, serials(ran)) == (0, {device["serial"]}), identity


def test_show_finds_a_decimal_serial_number_without_a_prefix(ask: Shell, device: sqlite3.Row) -> None:
    ran = ask("show", str(int(device["serial"], 16)), "--json")
    assert (ran.code, serials(ran)) == (0, {device["serial"]})


def test_show_names_the_prefixes_when_several_readings_match(
    ask: Shell, own_mirror: Path, rows: list[sqlite3.Row]
) -> None:
    first, second = rows[0], rows[1]
    digits = "1" * 40
    with closing(sqlite3.connect((own_mirror / "mirror.db").resolve())) as db, db:
        db.execute(
            "UPDATE certificate SET serial = ? WHERE serial = ?",
            (serial_from_decimal(digits), first["serial"]),
        )
        (identifier,) = db.execute(
            "SELECT id FROM certificate WHERE serial = ?", (second["serial"],)
        ).fetchone()
        db.execute("INSERT INTO fingerprint VALUES (?, ?)", (bytes.fromhex(digits), identifier))
    ran = ask("show", digits, "--any-status", "--mirror", own_mirror)
    assert ran.code == 10
    assert "Write sha1: or serial: before it." in " ".join(ran.err.split())


def test_show_prints_decimal_serial_and_sha1_in_hex_and_base64(ask: Shell, device: sqlite3.Row) -> None:
    said = " ".join(ask("show", f"serial:{device['serial']}").out.split())
    digest = sha1(device["der"], usedforsecurity=False).digest()
    for part in (str(int(device["serial"], 16)), digest.hex(), b64encode(digest).decode()):
        assert part in said


def test_show_prints_bodies_in_base64_one_per_line(ask: Shell, device: sqlite3.Row) -> None:
    lines = ask("show", device["eui"], "--base64").out.splitlines()
    assert device["der"] in [b64decode(line, validate=True) for line in lines]
    assert ask("show", device["eui"], "--base64", "--pem").code == 2


def test_show_says_how_many_certificates_it_hides(ask: Shell, rows: list[sqlite3.Row]) -> None:
    mixed = {row["eui"] for row in rows if row["in_use"]} & {row["eui"] for row in rows if not row["in_use"]}
    eui = min(filter(None, mixed))
    hidden = sum(row["eui"] == eui and not row["in_use"] for row in rows)
    ran = ask("show", eui)
    assert ran.code == 0
    assert f"{hidden} not In-Use: pass --any-status" in ran.err
    assert ask("show", eui, "--json").document["hidden"] == hidden
