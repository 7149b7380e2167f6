"""Input recognition of `check`: notations, columns, headers, delimiters, and certificate files."""

import io
from base64 import b64encode, encodebytes
from hashlib import sha1, sha256

import pytest
from support.x509_builders import DEVICE, ORGANISATION, REAL

from smki_sync.errors import UsageError
from smki_sync.lookup.identity import FileCertificate, Reading
from smki_sync.lookup.inputs import LINE_SIZE, CheckInput, InputLine, open_input
from smki_sync.mirror.queries import EuiIs, Fingerprint, Identity, SerialIs, SkiIs
from smki_sync.model.certificate import Eui, KeyId, Serial
from smki_sync.x509.der import to_pem

EUI = "00-DB-12-34-56-78-90-A4"
SERIAL = "3641B2225809FFBBA81B3E8E320AA6CF"


def read(content: str | bytes, column: str | None = None) -> tuple[CheckInput, list[InputLine]]:
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    found = open_input("list", stream, column)
    return found, list(found.lines)


def identities(line: InputLine) -> list[Identity]:
    return [one.identity for one in line.readings if isinstance(one, Reading)]


def bodies(lines: list[InputLine]) -> list[bytes]:
    return [one.der for line in lines for one in line.readings if isinstance(one, FileCertificate)]


def the_identity(text: str) -> Identity:
    _, (line,) = read(text)
    (found,) = identities(line)
    return found


@pytest.mark.parametrize(
    "text",
    [
        EUI,
        EUI.lower(),
        EUI.replace("-", ""),
        EUI.replace("-", ":"),
        EUI.replace("-", " "),
        f"'{EUI}",
        f'"{EUI}"',
    ],
)
def test_line_is_an_eui_in_every_notation(text: str) -> None:
    assert the_identity(text) == EuiIs(eui=Eui(EUI))


SHA_1, SHA_256 = sha1(b"x", usedforsecurity=False).digest(), sha256(b"x").digest()
DECIMAL = str(int(SERIAL, 16))
IS_SERIAL = SerialIs(serials=(Serial(SERIAL),))
IS_SHA_1 = Fingerprint(algorithm="sha1", digest=SHA_1)
IS_SHA_256 = Fingerprint(algorithm="sha256", digest=SHA_256)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SERIAL, [IS_SERIAL]),
        (SERIAL.lower(), [IS_SERIAL]),
        (f"serial:{SERIAL}", [IS_SERIAL]),
        (DECIMAL, [SerialIs(serials=(Serial(SERIAL), Serial(DECIMAL)))]),  # digits alone can also be hex
        ("ski:431C98CE3F707B03", [SkiIs(ski=KeyId("431C98CE3F707B03"))]),
        (SHA_1.hex(), [IS_SHA_1, SerialIs(serials=(Serial(SHA_1.hex().upper()),))]),  # both have 20 bytes
        (b64encode(SHA_1).decode(), [IS_SHA_1]),
        (SHA_256.hex(), [IS_SHA_256]),
        (b64encode(SHA_256).decode(), [IS_SHA_256]),
    ],
)
def test_line_is_recognised_by_its_length(text: str, expected: list[Identity]) -> None:
    _, (line,) = read(text)
    assert identities(line) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("00-DB-12-34-56-78-90", "An EUI-64 has 16 hex digits, this has 14."),
        ("7.21194E+37", "A spreadsheet has rounded this number: format the column as text."),
        ("serial:xyz", "A serial number is hex digits, not 'xyz'."),
        ("9" * (LINE_SIZE + 5), "An EUI-64 has 16 hex digits"),
        ("00-DB-12-34-56-78-90-A\xe4", "An EUI-64 has only hex digits"),
    ],
)
def test_line_is_unreadable_with_the_reason(text: str, reason: str) -> None:
    _, lines = read(f"{EUI}\n{text}\n{EUI}\n")
    assert [bool(line.error) for line in lines] == [False, True, False]
    assert lines[1].error.startswith(reason)
    assert lines[1].cells[0][:20] == text[:20]


def test_blank_lines_and_comments_are_skipped_in_text() -> None:
    found, lines = read(f"# devices\n\n{EUI}\n\n{EUI}\n")
    assert [line.number for line in lines] == [3, 5]
    assert found.columns == ("input",)


def test_byte_order_mark_and_utf_16_are_read() -> None:
    for content in (b"\xef\xbb\xbf" + EUI.encode(), f"{EUI}\r\n".encode("utf-16")):
        _, (line,) = read(content)
        assert identities(line) == [EuiIs(eui=Eui(EUI))]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_column_is_recognised_by_its_header(delimiter: str) -> None:
    rows = [["MPAN", "Device ID", "Serial Number"], ["1200012345678", EUI, SERIAL]]
    found, lines = read("\n".join(delimiter.join(row) for row in rows))
    assert found.columns == ("MPAN", "Device ID", "Serial Number")
    assert [identities(line) for line in lines] == [[EuiIs(eui=Eui(EUI))]]
    assert lines[0].cells == ("1200012345678", EUI, SERIAL)
    assert "'Device ID' read as EUI-64" in found.remark


def test_column_is_recognised_by_its_content() -> None:
    found, lines = read(f"site,meter\n1 High Street,{EUI}\n2 High Street,{EUI}\n")
    assert found.columns == ("site", "meter")
    assert len(lines) == 2


def test_first_line_is_data_when_it_has_no_header() -> None:
    found, lines = read(f"x,{EUI}\ny,{EUI}\n")
    assert found.columns == ("column1", "column2")
    assert [line.number for line in lines] == [1, 2]


def test_unknown_word_in_the_first_line_is_not_skipped() -> None:
    _, lines = read(f"nonsense\n{EUI}\n")
    assert [bool(line.error) for line in lines] == [True, False]
    found, lines = read(f"Meter\n{EUI}\n", "meter")
    assert (found.columns, len(lines)) == (("Meter",), 1)
    assert found.remark.endswith("; the first line is the header")


def test_header_chooses_the_notation_of_a_column() -> None:
    _, (line,) = read("ski\n431C98CE3F707B03\n")
    assert identities(line) == [SkiIs(ski=KeyId("431C98CE3F707B03"))]


@pytest.mark.parametrize("column", ["old", "OLD", "2"])
def test_named_column_is_read(column: str) -> None:
    _, (line,) = read(f"new,old\n{EUI},{SERIAL}\n", column)
    assert identities(line) == [SerialIs(serials=(Serial(SERIAL),))]


def test_named_column_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(UsageError, match="there is no column 'serail'") as caught:
        read(f"eui,serial\n{EUI},{SERIAL}\n", "serail")
    assert "eui, serial" in caught.value.hint


def test_table_without_any_identity_is_an_error() -> None:
    with pytest.raises(UsageError, match="no column contains"):
        read("a,b\nc,d\n")


def test_line_with_too_many_cells_is_unreadable() -> None:
    _, lines = read(f"eui,site\n{EUI},Cardiff, Wales\n{EUI}\n")
    assert lines[0].error == "The line has 3 cells, the first line has 2."
    assert lines[1].cells == (EUI, "")


def test_quoted_cells_keep_delimiters_and_line_numbers() -> None:
    found, lines = read(f'site,eui\n"Cardiff,\nWales",{EUI}\nx,{EUI}\n')
    assert [line.cells[0] for line in lines] == ["Cardiff,\nWales", "x"]
    assert [line.number for line in lines] == [3, 4]
    assert found.columns == ("site", "eui")


def test_damaged_csv_costs_one_line_only() -> None:
    text = f"eui,x\n{EUI},{'y' * 40_000}\n" + f'{EUI},"{chr(10).join(["z" * 40_000] * 4)}"\n' + f"{EUI},end\n"
    _, lines = read(text)
    assert "not valid CSV" in lines[1].error
    assert not lines[-1].error


def test_headers_are_made_unique() -> None:
    found, _ = read(f"eui,site,site,\n{EUI},a,b,c\n")
    assert found.columns == ("eui", "site", "site_3", "column4")


def test_empty_input_has_no_line() -> None:
    found, lines = read("")
    assert (lines, found.remark) == ([], "list: empty")


def test_pem_bundle_is_read_certificate_by_certificate() -> None:
    text = "subject=first\n" + "".join(to_pem(der) for der in REAL[:60])
    found, lines = read(text)
    assert bodies(lines) == REAL[:60]
    assert found.columns == ("file", "number")
    assert lines[1].cells == ("list", "2")


def test_damaged_pem_blocks_are_unreadable_one_by_one() -> None:
    good = to_pem(DEVICE)
    key = good.replace("CERTIFICATE", "PRIVATE KEY")
    cut = good.rsplit("-----END", 1)[0]
    odd = good.replace("MII", "M*I", 1)
    none = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    _, lines = read(good + key + cut + odd + none + good + cut)
    assert [line.error[:26] for line in lines] == [
        "",
        "The PEM block is not a cer",
        "A PEM block has no END lin",
        "The PEM block is not Base6",
        "It is not a certificate: i",
        "",
        "A PEM block has no END lin",
    ]
    assert bodies(lines) == [DEVICE, DEVICE]


def test_der_file_is_one_certificate() -> None:
    _, lines = read(DEVICE)
    assert bodies(lines) == [DEVICE]
    _, lines = read(DEVICE + b"\0")
    assert "not a certificate" in lines[0].error


@pytest.mark.parametrize("wrap", [False, True])
def test_base64_without_pem_lines_is_a_certificate(wrap: bool) -> None:
    text = encodebytes(DEVICE) if wrap else b64encode(DEVICE)
    _, lines = read(text)
    assert bodies(lines) == [DEVICE]


def test_each_line_of_base64_is_a_certificate() -> None:
    _, lines = read(b"\n".join(map(b64encode, (DEVICE, ORGANISATION))))
    assert bodies(lines) == [DEVICE, ORGANISATION]


def test_csv_cell_can_be_a_certificate() -> None:
    _, lines = read("site,certificate\nx," + b64encode(DEVICE).decode())
    assert bodies(lines) == [DEVICE]
