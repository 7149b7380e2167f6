"""What every document of ``--json`` begins with.

For: all commands. Refuses: to know what any of them says.
"""

Json = dict[str, object]
"""One JSON object: text, numbers, booleans, ``None``, lists and objects of these."""


def schema_of(command: str) -> str:
    """Name the schema of a command's document; the number grows only if a field goes or changes."""
    return f"smki-sync/{command}/1"
