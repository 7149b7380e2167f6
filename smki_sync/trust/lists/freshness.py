"""Whether a list in force is fresh, and which have to be.

For: one answer a list, by a date that comes from outside. Refuses: to read a list.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from smki_sync.model.lists import HeldList
from smki_sync.timestamps import text_of

_DAY_SECONDS: Final = int(timedelta(days=1).total_seconds())


def why_stale(held: HeldList, *, today: date, max_age_days: int | None) -> str | None:
    """Say why a list in force is not fresh today, ``None`` where it is.

    ``max_age_days``: the operator's own limit on its age; ``None`` leaves it to the list's nextUpdate.
    """
    midnight = int(datetime.combine(today, time(), UTC).timestamp())
    if held.next_update is not None and held.next_update < midnight:
        return f"the next was due by {text_of(held.next_update)}"
    oldest = midnight - (max_age_days or 0) * _DAY_SECONDS
    if max_age_days is not None and held.this_update < oldest:
        return f"it is of {text_of(held.this_update)}, more than {max_age_days} days old"
    return None


def expected(held: Sequence[HeldList]) -> list[HeldList]:
    """The lists in force that must be fresh: those whose authority is In-Use.

    An authority that is not any more signs no newer list; what its last one revokes stays revoked.
    """
    return [one for one in held if one.signer_in_use]
