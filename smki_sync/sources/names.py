"""Names that a source may speak of, and text from a server that a person may be shown.

For: one rule for every source on what a plain file name is. Refuses: to repair a name; what is not
plain is left out of a listing and cannot be fetched.
"""

from smki_sync.errors import SourceMissing

SHOWN_TEXT = 200
"""Characters of a server's own words in a message: enough for a sentence, no room for a flood."""


def is_plain(name: str, *, longest: int) -> bool:
    """Whether ``name`` is one file name of at most ``longest`` characters, valid as UTF-8.

    Not plain: empty, ``.``, ``..``, with a slash or a NUL, or with octets that were not UTF-8.
    """
    if name in ("", ".", "..") or len(name) > longest or "/" in name or "\0" in name:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def check_plain(name: str, *, longest: int) -> None:
    """Raise ``SourceMissing`` where ``name`` could not have come from a listing."""
    if not is_plain(name, longest=longest):
        raise SourceMissing(
            f"{printable(name)!r} is no plain file name, so no source offers it",
            code="not-a-plain-name",
            hint="Name a file of the listing, without a directory.",
        )


def printable(text: str) -> str:
    """Cut a server's words to a safe length and replace what a terminal could act on."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:SHOWN_TEXT])
