"""How far one file may move the mirror before somebody has to say that this is right.

For: files that are sound and say what cannot be: a full of half the certificates, a delta that takes
all of them out of use, either kind under the name of the other. Other mirrors have served such files
for days. Refuses: to count; the mirror does, and asks inside the transaction, before it commits.

The figures are numbers of certificates, so that one rule serves a full and a delta. Shares alone would
stop small mirrors, so each comes with an allowance.
"""

from dataclasses import dataclass

from smki_sync.model.faults import Fault, bad_extract


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one file may do. A file at a bound is applied; one beyond it raises ``BadExtract``.

    ``shrink_share``: of the certificates In-Use that a file may cost, from 0 to 1, those that it brings
    counted against those that it takes. Devices are replaced by the percent and their number grows; it
    does not fall by a tenth.
    ``shrink_allowance``: certificates In-Use that may go whatever their share.
    ``repeat_share``: of the certificates In-Use that a delta may name only to say what is known already,
    from 0 to 1. A delta holds what has changed (Appendix O 2.3.3); who repeats half of the mirror is a full.
    ``not_in_use_share``: of a full's certificates that may have another status than In-Use, from 0 to 1.
    A full holds what is In-Use (Appendix O 2.3.3); a tenth of others is a delta. With 1 nothing is asked,
    for a test environment that begins empty.
    ``not_in_use_allowance``: such certificates that a full may hold whatever their share.
    ``accept_shrink``: an operator has said that the loss is right, for this run.
    """

    shrink_share: float = 0.10
    shrink_allowance: int = 20
    repeat_share: float = 0.50
    not_in_use_share: float = 0.10
    not_in_use_allowance: int = 5
    accept_shrink: bool = False

    def check_shrink(self, name: str, *, before: int, after: int) -> None:
        """Raise ``BadExtract`` where a file takes too many certificates; both are numbers In-Use."""
        lost = before - after
        if self.accept_shrink or lost <= max(self.shrink_allowance, self.shrink_share * before):
            return
        raise bad_extract(
            Fault.SHRINKS_MIRROR,
            name,
            f"it would leave {after:,} certificates In-Use of {before:,}, a loss of {lost / before:.0%};"
            f" `policy.max_shrink_share` allows {self.shrink_share:.0%}",
        )

    def check_delta(self, name: str, *, repeated: int, held: int) -> None:
        """Raise ``BadExtract`` for a full under a delta's name.

        ``repeated``: records that said nothing new. ``held``: certificates In-Use before the file.
        """
        if repeated <= max(self.shrink_allowance, self.repeat_share * held):
            return
        raise bad_extract(
            Fault.NOT_A_DELTA,
            name,
            f"{repeated:,} of its records say what the mirror of {held:,} certificates In-Use holds already;"
            " a delta says what has changed",
        )

    def check_full(self, name: str, *, certificates: int, in_use: int) -> None:
        """Raise ``BadExtract`` for a delta under a full's name, and for a full without a certificate."""
        others = certificates - in_use
        few = others <= max(self.not_in_use_allowance, self.not_in_use_share * certificates)
        if (in_use and few) or self.not_in_use_share >= 1:
            return
        raise bad_extract(
            Fault.NOT_A_FULL,
            name,
            f"of its {certificates:,} certificates {in_use:,} are In-Use; a full holds those that are",
        )
