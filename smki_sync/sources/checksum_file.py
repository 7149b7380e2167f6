"""Checksum files ``NAME.sha256``: GNU, BSD and OpenSSL notation."""

import re
from typing import Final

SIDECAR: Final = ".sha256"
"""Suffix of a checksum file, after the name of its file."""

LONGEST_CHECKSUM_FILE: Final = 64 * 1024
"""Bytes; some tools write one line for each file of a directory."""

_DIGEST: Final = r"(?P<digest>[0-9a-fA-F]{64})"
_FORMS: Final = (
    re.compile(rf"(?P<escaped>\\?){_DIGEST}(?:[ \t]+\*?(?P<name>.+))?"),  # GNU; without a name: bare
    re.compile(
        rf"(?P<escaped>\\?)SHA(?:2-)?256 ?\((?P<name>.+)\) ?= ?{_DIGEST}", re.IGNORECASE
    ),  # BSD, OpenSSL
)
_ESCAPES: Final = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}
_STANDARD_INPUT: Final = {None, "-", "stdin"}
_BYTE_ORDER_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def read_checksum(content: bytes, name: str) -> str | None:
    """Return the SHA-256 of the file ``name`` as 64 lower-case hex digits; ``None`` if it is not stated.

    A line without a file name counts if it is the only one. Lines that contradict each other state nothing.
    """
    lines = _lines(content)
    if lines is None:
        return None
    stated = [entry for entry in map(_parse, lines) if entry]
    digests = {digest for file, digest in stated if file == name}
    if not digests and len(stated) == 1 and stated[0][0] in _STANDARD_INPUT:
        digests = {stated[0][1]}
    return digests.pop() if len(digests) == 1 else None


def _lines(content: bytes) -> list[str] | None:
    """Decode a checksum file; ``None`` if it is too long or not text."""
    if len(content) > LONGEST_CHECKSUM_FILE:
        return None
    encodings = (encoding for mark, encoding in _BYTE_ORDER_MARKS if content.startswith(mark))
    try:
        text = content.decode(next(encodings, "utf-8"))
    except UnicodeDecodeError:
        return None
    return [line.strip(" \t\r") for line in text.split("\n")]


def _parse(line: str) -> tuple[str | None, str] | None:
    """Return file name (without directories) and digest of a line; ``None`` for any other line."""
    for form in _FORMS:
        if found := form.fullmatch(line):
            name = found["name"]
            if name and found["escaped"]:
                name = re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], name)
            return re.split(r"[/\\]", name)[-1] if name else None, found["digest"].lower()
    return None
