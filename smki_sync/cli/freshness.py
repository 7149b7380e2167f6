"""The second clock, the cliff and the forecast, as JSON and for people.

For: ``status``. Refuses: to work anything out; :mod:`smki_sync.freshness` does.
"""

from smki_sync.cli.documents import Json
from smki_sync.status import Freshness
from smki_sync.text import in_bytes, in_time


def document(fresh: Freshness) -> Json:
    """As JSON: every field is there, and null where it is not known."""
    return {
        "looked": fresh.looked,
        "cliff": {
            "next_delta": fresh.next_delta.isoformat() if fresh.next_delta else None,
            "leaves": fresh.leaves.isoformat() if fresh.leaves else None,
            "days_left": fresh.days_left,
        },
        "forecast": {"full_bytes": fresh.full_bytes, "full_seconds": fresh.full_seconds},
    }


def lines(fresh: Freshness) -> list[str]:
    """For people, one fact a line; what is not known is not said."""
    looked = [f"last looked   {fresh.looked}"] if fresh.looked else []
    return [*looked, *_cliff(fresh), *_forecast(fresh)]


def _cliff(fresh: Freshness) -> list[str]:
    if fresh.days_left is None:
        return []
    if fresh.days_left == 0:
        return [f"cliff         reached: the delta of {fresh.next_delta} may be gone; then a full is needed"]
    days = f"{fresh.days_left} day{'s' * (fresh.days_left > 1)} left"
    return [f"cliff         {days}: from {fresh.leaves} the delta of {fresh.next_delta} may be gone"]


def _forecast(fresh: Freshness) -> list[str]:
    if fresh.full_bytes is None:
        return []
    time = f", about {in_time(fresh.full_seconds)} at the measured rates" if fresh.full_seconds else ""
    return [f"a full        would be {in_bytes(fresh.full_bytes)}{time}"]
