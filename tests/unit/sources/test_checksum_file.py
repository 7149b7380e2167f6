"""Checksum files in the notations of GNU coreutils, BSD and OpenSSL."""

from pathlib import Path

import pytest

from smki_sync.model.extract import UnrecognisedReason
from smki_sync.sources.base import Limits
from smki_sync.sources.checksum_file import LONGEST_CHECKSUM_FILE, read_checksum
from smki_sync.sources.directory import DirectorySource

NAME = "SMKIKR_FULL_2026-11-15.xml.gz"
DIGEST = "0123456789abcdef" * 4
OTHER = "f" * 64

NOTATIONS = {
    "GNU text": f"{DIGEST}  {NAME}\n",
    "GNU binary": f"{DIGEST} *{NAME}\n",
    "GNU with directory": f"{DIGEST}  ./out/{NAME}\n",
    "GNU with escape": f"\\{DIGEST}  {NAME}\n",
    "bare": f"{DIGEST}\n",
    "bare without line end": DIGEST,
    "from standard input": f"{DIGEST}  -\n",
    "BSD": f"SHA256 ({NAME}) = {DIGEST}\n",
    "OpenSSL 1": f"SHA256({NAME})= {DIGEST}\n",
    "OpenSSL 3": f"SHA2-256({NAME})= {DIGEST}\n",
    "OpenSSL from standard input": f"SHA2-256(stdin)= {DIGEST}\n",
    "upper case": f"{DIGEST.upper()}  {NAME}\n",
    "upper case BSD": f"SHA256 ({NAME}) = {DIGEST.upper()}\n",
    "byte order mark": f"\ufeff{DIGEST}  {NAME}\n",
    "CRLF": f"{DIGEST}  {NAME}\r\n",
    "trailing blanks": f"{DIGEST}  {NAME} \t\n\n",
    "several lines": f"# checksums\n{OTHER}  other.gz\n{DIGEST}  {NAME}\n{OTHER}  another.gz\n",
    "several lines BSD": f"SHA256 (other.gz) = {OTHER}\nSHA256 ({NAME}) = {DIGEST}\n",
    "twice the same": f"{DIGEST}  {NAME}\n{DIGEST} *{NAME}\n",
}

UNREADABLE = {
    "empty": b"",
    "only a comment": b"# nothing\n",
    "63 digits": DIGEST[1:].encode(),
    "65 digits": (DIGEST + "0").encode(),
    "other algorithm": f"SHA512 ({NAME}) = {DIGEST}{DIGEST}\n".encode(),
    "another file": f"{DIGEST}  other.gz\n".encode(),
    "several bare lines": f"{DIGEST}\n{OTHER}\n".encode(),
    "contradiction": f"{DIGEST}  {NAME}\n{OTHER}  {NAME}\n".encode(),
    "not UTF-8": b"\xff" + DIGEST.encode(),
    "too long": (f"{DIGEST}  {NAME}\n" * 1000).encode(),
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("text", NOTATIONS.values(), ids=NOTATIONS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_read_checksum_reads_every_notation(text: str, encoding: str) -> None:
    content = text.removeprefix("\ufeff").encode(encoding) if encoding == "utf-16" else text.encode()
    assert read_checksum(content, NAME) == DIGEST


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_read_checksum_returns_none_when_nothing_is_stated(content: bytes) -> None:
    assert read_checksum(content, NAME) is None


def test_read_checksum_unescapes_file_names() -> None:
    assert read_checksum(f"\\{DIGEST}  a\\nb\n".encode(), "a\nb") == DIGEST


def test_listing_states_checksum_of_each_file(tmp_path: Path) -> None:
    for name, text in (("a.gz", f"{DIGEST}  a.gz\n"), ("b.gz", f"SHA256 (b.gz) = {OTHER}\n"), ("c.gz", "")):
        (tmp_path / name).write_bytes(b"x")
        (tmp_path / f"{name}.sha256").write_text(text)
    (tmp_path / "d.gz").write_bytes(b"x")
    (tmp_path / "e.sha256").write_bytes(b"without its file")
    listed = DirectorySource(tmp_path, limits=Limits()).fetch_listing()
    assert {(file.name, file.sha256, file.unusable) for file in listed} == {
        ("a.gz", DIGEST, None),
        ("b.gz", OTHER, None),
        ("c.gz", None, None),
        ("c.gz.sha256", None, UnrecognisedReason.CHECKSUM_UNREADABLE),
        ("d.gz", None, None),
        ("e.sha256", None, None),
    }


@pytest.mark.parametrize("kind", ["directory", "link", "long"])
def test_checksum_file_is_unreadable_when_it_is_not_a_short_regular_file(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.gz").write_bytes(b"x")
    sidecar = tmp_path / "a.gz.sha256"
    match kind:
        case "directory":
            sidecar.mkdir()
        case "link":
            (tmp_path / "target").write_text(f"{DIGEST}  a.gz\n")
            sidecar.symlink_to(tmp_path / "target")
        case _:
            sidecar.write_text(f"{DIGEST}  a.gz\n".ljust(LONGEST_CHECKSUM_FILE + 1))
    listed = {file.name: file for file in DirectorySource(tmp_path, limits=Limits()).fetch_listing()}
    assert (listed["a.gz"].sha256, listed["a.gz"].unusable) == (None, None)
    assert listed["a.gz.sha256"].unusable is UnrecognisedReason.CHECKSUM_UNREADABLE
