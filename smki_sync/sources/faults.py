"""What goes wrong with every kind of source, in one wording.

For: the faults that the contract suite asks of all sources alike. Refuses: faults of one protocol; its
adapter words those.
"""

from smki_sync.errors import SourceUnreachable


def too_long(title: str, entries: int) -> SourceUnreachable:
    """Say that a listing has more entries than ``Limits.entries`` allows."""
    return SourceUnreachable(
        f"the listing of {title} has more than {entries} entries",
        code="listing-too-long",
        hint="Check that the path is the Repository's directory; it offers a few dozen files.",
    )


def ended_early(name: str, *, at: int, size: int, where: str) -> SourceUnreachable:
    """Say that a file stopped before the size that its source stated. Both in bytes."""
    return SourceUnreachable(
        f"{name} from {where} ended at byte {at}, before its stated size of {size} bytes",
        code="ended-early",
        hint="It may be in the middle of being replaced; try again later.",
    )


def shorter(name: str, *, size: int, offset: int, where: str) -> SourceUnreachable:
    """Say that a file is now shorter than where reading was to go on. Both in bytes."""
    return SourceUnreachable(
        f"{name} from {where} has {size} bytes and cannot be read from byte {offset} on",
        code="ended-early",
        hint="It was replaced since; fetch it from its beginning.",
    )
