"""The password file: text as editors save it, and content that cannot be a password."""

from pathlib import Path

import pytest

from smki_sync.config.file import MAX_PASSWORD_BYTES, read_password
from smki_sync.errors import ConfigError


def password_file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"correct horse", "correct horse"),
        (b"correct horse\n", "correct horse"),
        (b"correct horse\r\n", "correct horse"),
        (b"\xef\xbb\xbfcorrect horse\r\n", "correct horse"),
        (b" blanks stay \n", " blanks stay "),
        ("pässwörd €\n".encode(), "pässwörd €"),
    ],
)
def test_read_password_returns_one_line_without_mark_and_line_end(
    tmp_path: Path, content: bytes, password: str
) -> None:
    assert read_password(password_file(tmp_path, content)) == password


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\n",
        b"two\nlines\n",
        b"two\rlines",
        b"a\0b",
        b"tab\tinside",
        b"escape\x1b[A",
        "line\u2028separator".encode(),
        "\ufeff\ufefftwo marks".encode(),
        "utf-16".encode("utf-16"),
        "utf-16".encode("utf-16-le"),
        b"\xff\xfe",
        b"latin-1 \xe9",
        b"x" * (MAX_PASSWORD_BYTES + 1),
    ],
)
def test_read_password_rejects_impossible_content_without_repeating_it(
    tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_password(password_file(tmp_path, content))
    assert caught.value.reason == "password-file"
    assert "horse" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
