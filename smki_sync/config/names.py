"""Names in a configuration file that nobody knows, each with the known name that is most like it.

For: a slip of the pen. Refuses: to judge values (:mod:`.keys` does).
"""

from collections.abc import Iterable, Iterator, Mapping

from smki_sync.config.file import File
from smki_sync.config.schema import KEYS, SECTIONS

_LIKE = 0.6
"""How like two names are that are taken for a slip of the pen, from 0 to 1: difflib's own measure."""


def nearest_section(name: str) -> str:
    """Give the known section whose name is most like ``name``."""
    return _close(name, SECTIONS, 0.0)[0]


def nearest_key(section: str, name: str) -> str:
    """Give the known key most like ``name``: in its own section, else in any, else the least unlike.

    ``section`` is empty for a key that stands outside every section.
    """
    every = {key.partition(".")[2]: key for key in KEYS}
    own = {key.partition(".")[2]: key for key in KEYS if key.startswith(f"{section}.")}
    for words, likeness in ((own, _LIKE), (every, _LIKE), (own or every, 0.0)):
        if near := _close(name, words, likeness):
            break
    return words[near[0]]


def _close(name: str, words: Iterable[str], likeness: float) -> list[str]:
    """The word most like a name, if one is like enough."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    return difflib.get_close_matches(name, list(words), n=1, cutoff=likeness)


def strange_names(file: File) -> Iterator[str]:
    """Name each section and key of the file that does not exist, with its nearest known neighbour."""
    for name, content in file.tree.items():
        if name not in SECTIONS:
            near = f"[{nearest_section(name)}]" if isinstance(content, dict) else nearest_key("", name)
            yield f"{name!r} is unknown ({file.origin}); did you mean {near}?"
        elif not isinstance(content, dict):
            yield f"{name} wants to be a section, [{name}] ({file.origin})"
        else:
            yield from _strange_keys(name, content, file.origin)


def _strange_keys(section: str, content: Mapping[str, object], origin: str) -> Iterator[str]:
    for name in content:
        if f"{section}.{name}" not in KEYS:
            near = nearest_key(section, name)
            yield f"{f'{section}.{name}'!r} is unknown ({origin}); did you mean {near}?"
