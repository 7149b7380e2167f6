"""What was odd about files that were read all the same, collected over a run.

For: :class:`Oddities`, which grows as files are read, and :func:`tell_of`, the notes in the report. Refuses:
to decide whether a record is odd.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from smki_sync.model.certificate import Flag
from smki_sync.model.report import Attention, AttentionCode, NearLimit
from smki_sync.verify.report import Verification


@dataclass(slots=True)
class Oddities:
    """How many of the records read were kept in spite of something odd, and which limits came near.

    ``unproven``: new certificates whose issuer is not known. ``verification``: of the whole mirror after
    the run, where that is asked for. ``near``: by the limit's key, the file that came nearest to it and how
    near that was.
    """

    strict_parser_refuses: int = 0
    claims_differ: int = 0
    contradicted: int = 0
    unproven: int = 0
    verification: Verification | None = None
    near: dict[str, tuple[str, NearLimit]] = field(default_factory=dict)

    def note(self, flags: Flag) -> None:
        """Count one record."""
        self.strict_parser_refuses += Flag.STRICT_PARSER_REFUSES in flags
        self.claims_differ += bool(flags & ~Flag.STRICT_PARSER_REFUSES)

    def note_limit(self, file: str, near: NearLimit) -> None:
        """Keep the file that came nearest."""
        known = self.near.get(near.key)
        if known is None or known[1].share < near.share:
            self.near[near.key] = file, near

    def add(self, other: "Oddities") -> None:
        """Count in what was odd about a file that was read apart from the others."""
        self.strict_parser_refuses += other.strict_parser_refuses
        self.claims_differ += other.claims_differ
        for file, near in other.near.values():
            self.note_limit(file, near)


def tell_of(oddities: Oddities) -> Iterator[Attention]:
    """What an operator should know of the files that were read."""
    yield from _odd(oddities)
    yield from _contradicted(oddities)
    yield from _near(oddities)
    yield from _unproven(oddities)
    yield from _unsound(oddities)


def _odd(oddities: Oddities) -> Iterator[Attention]:
    if oddities.claims_differ:
        yield Attention(
            code=AttentionCode.CLAIMS_DIFFER,
            message=f"{oddities.claims_differ} of the records read claim another serial number, EUI-64,"
            " usage or role than the certificate in them; the certificate's own are served.",
            hint="They carry a flag in `certificates.flags`. Tell the DCC.",
        )
    if oddities.strict_parser_refuses:
        yield Attention(
            code=AttentionCode.STRICT_PARSER_REFUSES,
            message=f"{oddities.strict_parser_refuses} of the certificates read are refused by strict X.509 "
            "parsers; they are kept and served.",
            hint="They carry a flag in `certificates.flags`.",
        )


def _contradicted(oddities: Oddities) -> Iterator[Attention]:
    if oddities.contradicted:
        yield Attention(
            code=AttentionCode.RECORDS_CONTRADICT,
            message=f"{oddities.contradicted} of the records read say of a certificate otherwise than an"
            " earlier record of the same file; the last one counts.",
            hint="Tell the DCC; after a delta, the journal (`changes`) has both.",
        )


def _near(oddities: Oddities) -> Iterator[Attention]:
    for file, near in oddities.near.values():
        yield Attention(
            code=AttentionCode.LIMIT_NEAR,
            message=f"{file} took {near.figure:,} of the {near.limit:,} that `{near.key}` allows,"
            f" {near.share:.0%}.",
            hint=f"A file beyond the limit is refused. If this is honest growth, raise `{near.key}` in time.",
        )


def _unproven(oddities: Oddities) -> Iterator[Attention]:
    if oddities.unproven:
        yield Attention(
            code=AttentionCode.ISSUER_UNKNOWN,
            message=f"{oddities.unproven} new certificates are served whose issuer is not known yet, so that"
            " nothing proves them.",
            hint="`smki-sync verify` names them. Tell the DCC if the issuer does not follow.",
        )


def _unsound(oddities: Oddities) -> Iterator[Attention]:
    done = oddities.verification
    if done and not done.is_sound:
        what = f"{done.errors} findings against certificates, {len(done.damages)} against the mirror itself"
        yield Attention(
            code=AttentionCode.VERIFICATION_FAILED,
            message=f"The mirror was verified after this run: {what}.",
            hint="`smki-sync verify` shows them.",
        )
