"""What is asked of certificates before they come into a mirror.

For: the policy that an operator sets, and the word that it stands for. Refuses: to verify.
"""

from enum import StrEnum


class VerifyPolicy(StrEnum):
    """``OFF``: nothing. ``NEW``: a certificate that is new has to be signed by whom it names.

    ``ALL``: the same, and after each run the whole mirror is verified.
    """

    OFF = "off"
    NEW = "new"
    ALL = "all"
