"""Notices for the operator, from the run and from the files read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from smki_sync.model.certificate import Flag
from smki_sync.model.extract import Extract, UnrecognisedFile, UnrecognisedReason
from smki_sync.model.plan import Action, Plan, Position, Reason
from smki_sync.model.report import CertificateCounts, NearLimit, Notice, NoticeCode
from smki_sync.planner import dated_in_future, late_days
from smki_sync.policy import is_outside
from smki_sync.sync.decision import Decision
from smki_sync.sync.job import SyncJob
from smki_sync.verify.inspector import Verification


@dataclass(slots=True)
class ReadStatistics:
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

    def add(self, other: "ReadStatistics") -> None:
        """Count in what was odd about a file that was read apart from the others."""
        self.strict_parser_refuses += other.strict_parser_refuses
        self.claims_differ += other.claims_differ
        for file, near in other.near.values():
            self.note_limit(file, near)


def notices_from(oddities: ReadStatistics) -> Iterator[Notice]:
    """What an operator should know of the files that were read."""
    yield from _odd(oddities)
    yield from _contradicted(oddities)
    yield from _near(oddities)
    yield from _unproven(oddities)
    yield from _unsound(oddities)


def _odd(oddities: ReadStatistics) -> Iterator[Notice]:
    if oddities.claims_differ:
        yield Notice(
            code=NoticeCode.CLAIMS_DIFFER,
            message=f"{oddities.claims_differ} of the records read claim another serial number, EUI-64,"
            " usage or role than the certificate in them; the certificate's own are served.",
            hint="They carry a flag in `certificates.flags`. Tell the DCC.",
        )
    if oddities.strict_parser_refuses:
        yield Notice(
            code=NoticeCode.STRICT_PARSER_REFUSES,
            message=f"{oddities.strict_parser_refuses} of the certificates read are refused by strict X.509 "
            "parsers; they are kept and served.",
            hint="They carry a flag in `certificates.flags`.",
        )


def _contradicted(oddities: ReadStatistics) -> Iterator[Notice]:
    if oddities.contradicted:
        yield Notice(
            code=NoticeCode.RECORDS_CONTRADICT,
            message=f"{oddities.contradicted} of the records read say of a certificate otherwise than an"
            " earlier record of the same file; the last one counts.",
            hint="Tell the DCC; after a delta, the journal (`changes`) has both.",
        )


def _near(oddities: ReadStatistics) -> Iterator[Notice]:
    for file, near in oddities.near.values():
        yield Notice(
            code=NoticeCode.LIMIT_NEAR,
            message=f"{file} has {near.figure:,} {near.key}. That is {near.share:.0%} of the limit of"
            f" {near.limit:,}.",
            hint="A file above the limit is rejected. Report the growth to the developers of smki-sync.",
        )


def _unproven(oddities: ReadStatistics) -> Iterator[Notice]:
    if oddities.unproven:
        yield Notice(
            code=NoticeCode.ISSUER_UNKNOWN,
            message=f"{oddities.unproven} new certificates are served whose issuer is not known yet, so that"
            " nothing proves them.",
            hint="`smki-sync verify` names them. Tell the DCC if the issuer does not follow.",
        )


def _unsound(oddities: ReadStatistics) -> Iterator[Notice]:
    done = oddities.verification
    if done and not done.is_sound:
        what = f"{done.errors} findings against certificates, {len(done.damages)} against the mirror itself"
        yield Notice(
            code=NoticeCode.VERIFICATION_FAILED,
            message=f"The mirror was verified after this run: {what}.",
            hint="`smki-sync verify` shows them.",
        )


_NAMED = 5  # so many names or dates are spelled out in a message; the rest is a number


def collect_notices(
    job: SyncJob,
    decision: Decision,
    *,
    position: Position | None,
    census: CertificateCounts,
    oddities: ReadStatistics,
    history_lost: bool = False,
    beside: tuple[Notice, ...] = (),
) -> tuple[Notice, ...]:
    """Every finding, what keeps the mirror from being current first. ``beside``: of lists and slots."""
    found = [
        *_unreached(job),
        *_blocked(decision.plan),
        *_missing(decision.plan),
        *_late(job, decision, position),
        *_quarantined(census),
        *_empty(decision, position),
        *_uncovered(decision.plan),
        *beside,
        *_outside(job, decision.plan),
        *_full_changed(decision, position),
        *(_HISTORY_LOST if history_lost else ()),
        *notices_from(oddities),
        *_ahead(job, decision),
        *_strange(decision.catalogue.strangers),
    ]
    return tuple(sorted(found, key=lambda a: a.code.is_note))


def _unreached(job: SyncJob) -> Iterator[Notice]:
    """Where only an archive was asked, nobody knows what the Repository has published since."""
    for number, error in sorted(job.ring.unreached.items()) if job.ring else ():
        code = NoticeCode.FALLBACK_UNREACHED if number else NoticeCode.SOURCE_UNREACHED
        yield Notice(code=code, message=f"{error.message}.", hint=error.hint)


_WAIT = (
    "The run on the agreed day takes the full. `smki-sync sync --full` takes it now; tell the DCC. What was"
    " agreed: `policy.full_download_day` and `full_download_hours`."
)


def _blocked(plan: Plan) -> Iterator[Notice]:
    waits = plan.reason is Reason.WAITING_FOR_AGREED_DAY
    if plan.action is Action.BLOCKED and plan.reason is not Reason.HOLE_IN_DELTAS:
        yield Notice(
            code=NoticeCode.BLOCKED,
            message=f"The mirror cannot be brought up to date: {plan.reason.words}.",
            hint=_WAIT if waits else "The next weekly full mends this; if none comes, ask the DCC for one.",
        )


def _outside(job: SyncJob, plan: Plan) -> Iterator[Notice]:
    if is_outside(plan, job.agreement, job.now):
        yield Notice(
            code=NoticeCode.FULL_OUTSIDE_AGREED,
            message=f"A full is taken outside what was agreed with the DCC ({job.agreement.words}):"
            f" {plan.reason.words}.",
            hint="Tell the DCC. `policy.full_download_outside` can put it off instead.",
        )


def _missing(plan: Plan) -> Iterator[Notice]:
    if plan.missing:
        yield Notice(
            code=NoticeCode.DELTAS_MISSING,
            message=f"Deltas that should be on offer are not: {_list(d.isoformat() for d in plan.missing)}.",
            hint="Tell the DCC. Once they are there, or a newer full is, the next run goes on.",
        )


def _late(job: SyncJob, decision: Decision, position: Position | None) -> Iterator[Notice]:
    """Either the Repository has published nothing newer, or only a full, to which no delta leads."""
    newest = _newest(job, decision, position)
    reached = max([*_days(decision.plan.extracts), *([position.day] if position else [])], default=None)
    late = late_days(newest, job.policy, job.today) if newest else 0
    explained = decision.plan.missing or decision.plan.action is Action.BLOCKED
    if newest and late:
        yield Notice(
            code=NoticeCode.REPOSITORY_LATE,
            message=f"The Repository is {late} day{'s' * (late > 1)} late;"
            f" its newest extract is of {newest}.",
            hint="Tell the DCC if it lasts.",
        )
    elif reached and late_days(reached, job.policy, job.today) and not explained:
        yield Notice(
            code=NoticeCode.DELTAS_MISSING,
            message=f"No delta after {reached} is on offer, although a full of {newest} is.",
            hint="Tell the DCC. `smki-sync sync --full` takes that full without waiting for them.",
        )


def _days(extracts: Iterable[Extract]) -> list[date]:
    return [extract.day for extract in extracts]


def _newest(job: SyncJob, decision: Decision, position: Position | None) -> date | None:
    """The newest date held or on offer, without those that lie ahead of the clock."""
    doubted = dated_in_future(decision.catalogue, job.today)
    offered = (*decision.catalogue.fulls, *decision.catalogue.deltas)
    days = [x.day for x in offered if x not in doubted] + ([position.day] if position else [])
    return max(days, default=None)


def _quarantined(census: CertificateCounts) -> Iterator[Notice]:
    if census.quarantined:
        yield Notice(
            code=NoticeCode.RECORDS_QUARANTINED,
            message=f"{census.quarantined} record{'s' * (census.quarantined > 1)} could not be understood or"
            " proven: kept in the quarantine, not served.",
            hint="Look at them with `smki-sync quarantine`; tell the DCC; accept them there once noted.",
        )


def _empty(decision: Decision, position: Position | None) -> Iterator[Notice]:
    """An empty file under an extract's name holds a day that the mirror does not have."""
    reached = position.day if position else date.min
    empty = [s for s in decision.catalogue.strangers if s.why is UnrecognisedReason.EMPTY and s.day]
    news = [s.name for s in empty if s.day and s.day > reached]
    if news:
        yield Notice(
            code=NoticeCode.EMPTY_FILE,
            message=f"On offer, but without a single byte: {_list(news)}.",
            hint="Tell the DCC; the next run looks again.",
        )


def _uncovered(plan: Plan) -> Iterator[Notice]:
    if plan.full and plan.uncovered:
        yield Notice(
            code=NoticeCode.OVERLAP_NOT_COVERED,
            message=f"{plan.full.name} took more than a day to produce, and no unbroken run of deltas covers "
            f"that time: {_list(d.isoformat() for d in plan.uncovered)}.",
            hint="A change of those days may be missing or undone until another full is held against it:"
            " run `smki-sync reconcile --repair` when the next one is out, or configure policy.reconcile.",
        )


def _full_changed(decision: Decision, position: Position | None) -> Iterator[Notice]:
    chain = {f.extract.name: f.size for f in position.chain} if position else {}
    for full in decision.catalogue.fulls:
        if chain.get(full.name, full.size) != full.size:
            yield Notice(
                code=NoticeCode.FULL_CHANGED,
                message=f"{full.name}, which this mirror started from, is on offer with other bytes.",
                hint="Ask the DCC why; `smki-sync sync --full` starts again from it.",
            )


_HISTORY_LOST = (
    Notice(
        code=NoticeCode.HISTORY_LOST,
        message="Journal and ledger start anew: those of the generation before were not taken over.",
        hint="Whoever follows the journal must take the whole mirror once. The old generation is kept as "
        "`mirror.keep_previous` says.",
    ),
)


def _ahead(job: SyncJob, decision: Decision) -> Iterator[Notice]:
    doubted = dated_in_future(decision.catalogue, job.today)
    if doubted:
        yield Notice(
            code=NoticeCode.DATED_IN_FUTURE,
            message=f"Extracts are dated ahead of this machine's clock: {_list(x.name for x in doubted)}.",
            hint=f"Check the clock: it says {job.today}.",
        )


def _strange(strangers: tuple[UnrecognisedFile, ...]) -> Iterator[Notice]:
    if strangers:
        yield Notice(
            code=NoticeCode.STRANGE_NAMES,
            message=f"Left alone: {_list(f'{s.name} ({s.why})' for s in strangers)}.",
            hint="If one of them is an extract, set its name in `[repository]` of the configuration.",
        )


def _list(items: Iterable[str]) -> str:
    known = list(items)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return ", ".join(known[:_NAMED]) + more
