"""The configuration as documentation: a table of every key, and a commented file.

For: docs/configuration.md (``python -c 'from smki_sync.config.reference import table; print(table())'``,
likewise ``example``) and for ``init``. Refuses: to write a file, and to say what :mod:`.settings` does not.
"""

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

from smki_sync.config.schema import KEYS, SECTIONS, Key

_HEADING = """\
# smki-sync: the local mirror of the SMKI Repository.
# A key that is commented out shows its default, or an example where there is none.
# Relative paths start at the directory of this file; ~ is the home directory.
# Secrets have no key here: SMKI_SYNC_PASSWORD, SMKI_SYNC_KEY_PASSPHRASE, or a password_file."""

EXAMPLE: Mapping[str, object] = {
    "repository.url": "sftp://party@smki.example:22/extracts",
    "repository.identity_file": "id_ed25519",
    "repository.known_hosts": "known_hosts",
    "mirror.path": "/var/lib/smki-sync",
}
"""What the example in docs/configuration.md sets: a Party with a key."""


def table() -> str:
    """Render every key as one Markdown table, without a newline at its end."""
    head = ("| key | what it is | value | default |", "|---|---|---|---|")
    rows = (f"| `{k.name}` | {k.about.meaning} | {k.wanted} | {_default(k)} |" for k in KEYS.values())
    return "\n".join((*head, *rows))


def example(values: Mapping[str, object] = EXAMPLE) -> str:
    """Write a commented configuration file that sets ``values`` (by ``section.key``) and nothing else."""
    return "\n".join((_HEADING, *_lines(values))) + "\n"


def _lines(values: Mapping[str, object]) -> Iterator[str]:
    for section in SECTIONS:
        yield from ("", f"[{section}]")
        for key in KEYS.values():
            if key.name.startswith(f"{section}."):
                yield from _entry(key, values)


def _entry(key: Key, values: Mapping[str, object]) -> Iterator[str]:
    yield f"# {key.about.meaning.replace('`', '')} Wants {key.wanted}."
    shown = key.about.example if key.default is None else key.default
    mark, value = ("", values[key.name]) if key.name in values else ("#", shown)
    yield f"{mark}{key.name.partition('.')[2]} = {toml_value(value)}"


def _default(key: Key) -> str:
    if key.default is not None:
        return f"`{toml_value(key.default)}`"
    return f"the reader's, `{toml_value(key.about.example)}`" if key.name.startswith("limits.") else "none"


def toml_value(value: object) -> str:
    """Write one value as TOML: JSON, but for what TOML wants escaped and JSON does not."""
    plain = list(value) if isinstance(value, tuple) else value.value if isinstance(value, Enum) else value
    text = json.dumps(str(plain) if isinstance(plain, Path) else plain, ensure_ascii=False)
    return text.replace("\x7f", "\\u007f")
