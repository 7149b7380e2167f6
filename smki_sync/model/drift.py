"""What is done about drift without anybody asking.

For: the policy that an operator sets. Refuses: to compare.
"""

from enum import StrEnum


class ReconcilePolicy(StrEnum):
    """``NEVER``: only `reconcile` compares. ``REPORT``: each new full is held against the mirror once.

    ``REPAIR``: the same, and what differs is made good.
    """

    NEVER = "never"
    REPORT = "report"
    REPAIR = "repair"
