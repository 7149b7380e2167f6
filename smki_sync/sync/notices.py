"""Notices for the operator, about the run and the files that it read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from smki_sync.errors import BadExtract
from smki_sync.model.certificate import Flag
from smki_sync.model.extract import ExtractKind, UnrecognisedFile, UnrecognisedReason
from smki_sync.model.plan import Action, Plan, Position, Reason
from smki_sync.model.report import CertificateCounts, NearLimit, Notice, NoticeCode
from smki_sync.planner import CLOCK_TOLERANCE, dated_in_future, late_days
from smki_sync.policy import is_outside
from smki_sync.sync.decision import Decision, UnusableFile
from smki_sync.sync.job import SyncJob
from smki_sync.verify.inspector import Verification


@dataclass(slots=True)
class ReadStatistics:
    """What was odd about the records that were read, and which limits came near.

    ``unproven``: new certificates whose issuer is not known. ``verification``: of the whole mirror after the
    run, if that is configured. ``near``: for each limit, the file that came nearest to it.
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
        """Keep the file that came nearest to a limit."""
        known = self.near.get(near.key)
        if known is None or known[1].share < near.share:
            self.near[near.key] = file, near

    def add(self, other: "ReadStatistics") -> None:
        """Add the statistics of a file that was read separately."""
        self.strict_parser_refuses += other.strict_parser_refuses
        self.claims_differ += other.claims_differ
        for file, near in other.near.values():
            self.note_limit(file, near)


def notices_from(statistics: ReadStatistics) -> Iterator[Notice]:
    """Return the notices about the files that were read."""
    yield from _odd(statistics)
    yield from _contradicted(statistics)
    yield from _near(statistics)
    yield from _issuer_unknown(statistics)
    yield from _verification(statistics)


def _odd(statistics: ReadStatistics) -> Iterator[Notice]:
    if statistics.claims_differ:
        yield Notice(
            code=NoticeCode.CLAIMS_DIFFER,
            message=f"{statistics.claims_differ} records state another serial number, EUI-64, usage or"
            " role than"
            " the certificate in them. The values of the certificate are served.",
            hint="These rows have a flag in `certificates.flags`. Contact the DCC.",
        )
    if statistics.strict_parser_refuses:
        yield Notice(
            code=NoticeCode.STRICT_PARSER_REFUSES,
            message=f"Strict X.509 parsers refuse {statistics.strict_parser_refuses} of the certificates."
            " They are"
            " served.",
            hint="These rows have a flag in `certificates.flags`.",
        )


def _contradicted(statistics: ReadStatistics) -> Iterator[Notice]:
    if statistics.contradicted:
        yield Notice(
            code=NoticeCode.RECORDS_CONTRADICT,
            message=f"{statistics.contradicted} records contradict an earlier record of the same file"
            " about the"
            " same certificate. The last record counts.",
            hint="Contact the DCC. The journal (`smki-sync changes`) shows both records of a delta.",
        )


def _near(statistics: ReadStatistics) -> Iterator[Notice]:
    for file, near in statistics.near.values():
        yield Notice(
            code=NoticeCode.LIMIT_NEAR,
            message=f"{file} has {near.figure:,} {near.key}. That is {near.share:.0%} of the limit of"
            f" {near.limit:,}.",
            hint="A file above the limit is rejected. Report the growth to the developers of smki-sync.",
        )


def _issuer_unknown(statistics: ReadStatistics) -> Iterator[Notice]:
    if statistics.unproven:
        yield Notice(
            code=NoticeCode.ISSUER_UNKNOWN,
            message=f"{statistics.unproven} new certificates cannot be checked: their issuer is not in"
            " the mirror"
            " yet. They are served.",
            hint="Run `smki-sync verify` to list them. Contact the DCC if the issuer does not appear.",
        )


def _verification(statistics: ReadStatistics) -> Iterator[Notice]:
    done = statistics.verification
    if done and not done.is_sound:
        what = f"{done.errors} errors of certificates, {len(done.damages)} of the mirror itself"
        yield Notice(
            code=NoticeCode.VERIFICATION_FAILED,
            message=f"The verification after this run failed: {what}.",
            hint="Run `smki-sync verify` to list them.",
        )


_NAMED = 5
"""Names or dates that a message lists; it counts the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a run has done, for the notices.

    ``blocking``: the earliest file without which the mirror cannot continue, if it has disappeared.
    ``companions``: notices about lists, anchor slots and the archive.
    ``history_lost``: journal and ledger of the previous generation could not be copied.
    """

    plan: Plan
    position: Position | None
    counts: CertificateCounts
    statistics: ReadStatistics = field(default_factory=ReadStatistics)
    unusable: tuple[UnusableFile, ...] = ()
    blocking: UnusableFile | None = None
    history_lost: bool = False
    companions: tuple[Notice, ...] = ()


def collect_notices(job: SyncJob, decision: Decision, facts: RunFacts) -> tuple[Notice, ...]:
    """Return every notice of a run; those that keep the mirror from being current come first."""
    found = [
        *_unreached(job),
        *_listing_empty(decision),
        *_blocked(facts.plan),
        *_missing(facts.plan),
        *_disappeared(facts.blocking),
        *_late(job, decision, facts),
        *_quarantined(facts.counts),
        *_empty(decision, facts.position),
        *unproven_notice(facts.counts),
        *_position_ahead(job, facts.position),
        *facts.companions,
        *_outside(job, facts.plan),
        *_damaged(facts),
        *_changed(decision),
        *(_HISTORY_LOST if facts.history_lost else ()),
        *notices_from(facts.statistics),
        *_ahead(job, decision),
        *_strange(decision.catalogue.strangers),
    ]
    return tuple(sorted(found, key=lambda notice: notice.code.is_note))


def _unreached(job: SyncJob) -> Iterator[Notice]:
    """If only an archive was listed, it is not known what the Repository has published since."""
    for number, error in sorted(job.fallback_sources.unreached.items()) if job.fallback_sources else ():
        code = NoticeCode.FALLBACK_UNREACHED if number else NoticeCode.SOURCE_UNREACHED
        yield Notice(code=code, message=f"{error.message}.", hint=error.hint)


def _listing_empty(decision: Decision) -> Iterator[Notice]:
    """Report a source without any file: an unmounted directory looks like this."""
    if decision.listing_empty:
        yield Notice(
            code=NoticeCode.LISTING_EMPTY,
            message="The listing is empty.",
            hint="Check the path in repository.url. If it is a local directory, check that it is mounted.",
        )


_WAIT = (
    "The run on the agreed day takes the full. Run `smki-sync sync --full` to take it now, and tell the"
    " DCC. The"
    " agreement is in `policy.full_download_day` and `full_download_hours`."
)


def _blocked(plan: Plan) -> Iterator[Notice]:
    waits = plan.reason is Reason.WAITING_FOR_AGREED_DAY
    if plan.action is Action.BLOCKED and plan.reason is not Reason.HOLE_IN_DELTAS:
        yield Notice(
            code=NoticeCode.BLOCKED,
            message=f"The mirror cannot be brought up to date: {plan.reason.words}.",
            hint=_WAIT if waits else "The next weekly full resolves this. If none appears, contact the DCC.",
        )


def _position_ahead(job: SyncJob, position: Position | None) -> Iterator[Notice]:
    """A mirror ahead of the clock is never current: real deltas look old to it."""
    if position and position.day > job.today + CLOCK_TOLERANCE:
        yield Notice(
            code=NoticeCode.POSITION_AHEAD,
            message=f"The position {position.day} is ahead of the clock of this machine, {job.today}.",
            hint="Check the clock. If it is right, a file with a wrong date was applied: run"
            " `smki-sync restore --to DATE` with the last correct date, and tell the DCC.",
        )


def _outside(job: SyncJob, plan: Plan) -> Iterator[Notice]:
    if is_outside(plan, job.download_window, job.now):
        yield Notice(
            code=NoticeCode.FULL_OUTSIDE_AGREED,
            message="A full is downloaded outside the time agreed with the DCC"
            f" ({job.download_window.words}): {plan.reason.words}.",
            hint="Tell the DCC. Set `policy.full_download_outside` to wait instead.",
        )


def _missing(plan: Plan) -> Iterator[Notice]:
    if plan.missing:
        yield Notice(
            code=NoticeCode.DELTAS_MISSING,
            message=f"Missing deltas: {_list(d.isoformat() for d in plan.missing)}.",
            hint="Contact the DCC. The next run continues when they, or a newer full, are available.",
        )


def _disappeared(blocking: UnusableFile | None) -> Iterator[Notice]:
    if blocking:
        yield Notice(
            code=NoticeCode.DELTAS_MISSING,
            message=f"{blocking.extract.name} has disappeared: {blocking.error.message}.",
            hint="The next run lists again. If the file stays away, contact the DCC.",
        )


def _late(job: SyncJob, decision: Decision, facts: RunFacts) -> Iterator[Notice]:
    """The Repository has published nothing newer, or only a full to which no delta leads."""
    position, plan = facts.position, facts.plan
    newest = _newest(job, decision, position)
    reached = max(
        [
            *(x.day for x in plan.extracts if x.kind is ExtractKind.DELTA),
            *([position.day] if position else []),
        ],
        default=None,
    )
    late = late_days(newest, job.policy, job.today) if newest else 0
    explained = plan.missing or plan.action is Action.BLOCKED
    if newest and late:
        yield Notice(
            code=NoticeCode.REPOSITORY_LATE,
            message=f"The Repository is {late} day{'s' * (late > 1)} late."
            f" Its newest extract is dated {newest}.",
            hint="Contact the DCC if this continues.",
        )
    elif reached and late_days(reached, job.policy, job.today) and not explained:
        yield Notice(
            code=NoticeCode.DELTAS_MISSING,
            message=f"No delta after {reached} is available, although there is a full of {newest}.",
            hint="Contact the DCC. Run `smki-sync sync --full` to use that full without waiting for deltas.",
        )


def _newest(job: SyncJob, decision: Decision, position: Position | None) -> date | None:
    """The newest date of the mirror or the listing, without those ahead of the clock."""
    doubtful = dated_in_future(decision.catalogue, job.today)
    offered = (*decision.catalogue.fulls, *decision.catalogue.deltas)
    days = [x.day for x in offered if x not in doubtful] + ([position.day] if position else [])
    return max(days, default=None)


def _quarantined(counts: CertificateCounts) -> Iterator[Notice]:
    if counts.quarantined:
        yield Notice(
            code=NoticeCode.RECORDS_QUARANTINED,
            message=f"{counts.quarantined} record{'s' * (counts.quarantined > 1)} could not be read or"
            " checked,"
            " and are in the quarantine, not served.",
            hint="Run `smki-sync quarantine` to list them. Contact the DCC, then accept them there.",
        )


def _empty(decision: Decision, position: Position | None) -> Iterator[Notice]:
    """An empty file has the name of an extract that the mirror does not have."""
    reached = position.day if position else date.min
    empty = [s for s in decision.catalogue.strangers if s.why is UnrecognisedReason.EMPTY and s.day]
    news = [s.name for s in empty if s.day and s.day > reached]
    if news:
        yield Notice(
            code=NoticeCode.EMPTY_FILE,
            message=f"Empty file in the Repository: {_list(news)}.",
            hint="Contact the DCC. The next run looks again.",
        )


def unproven_notice(counts: CertificateCounts) -> Iterator[Notice]:
    """Return the notice of an unproven mirror."""
    unproven = counts.unproven
    if unproven is None:
        return
    days = _list(day.isoformat() for day in unproven.missing)
    why = f"these deltas were never applied: {days}" if days else "nothing proves it before the next full"
    yield Notice(
        code=NoticeCode.UNPROVEN,
        message=f"The mirror is unproven since {unproven.since}: {why}.",
        hint="Changes of those days may be missing. The next full is compared, and ends this. Rows about"
        " which"
        " the full and a delta disagree have `certificates.unproven` = 1.",
    )


def _damaged(facts: RunFacts) -> Iterator[Notice]:
    for one in facts.unusable:
        if one is facts.blocking:
            continue
        sha256 = f" (SHA-256 {one.sha256})" if one.sha256 else ""
        yield Notice(
            code=NoticeCode.DELTA_DAMAGED,
            message=f"{one.extract.name} cannot be used{sha256}: {one.error.message}.",
            hint="Contact the DCC, with this name and hash. The run continued without the file."
            if isinstance(one.error, BadExtract)
            else f"The run continued without the file. {one.error.hint}",
        )


def _changed(decision: Decision) -> Iterator[Notice]:
    """Applied files have other bytes now."""
    position = decision.held.position
    applied = {file.extract.key: file for file in position.applied} if position else {}
    changed = [applied[key] for key in sorted(decision.changed) if key in applied]
    is_source = decision.plan.reason is Reason.SOURCE_CHANGED
    if is_source:
        yield Notice(
            code=NoticeCode.SOURCE_CHANGED,
            message=f"The source has other files under the names of {len(changed)} applied ones.",
            hint="Check that `repository.url` is the right Repository. The mirror is rebuilt from its files.",
        )
    for file in changed:
        now = decision.changed[file.extract.key] or "of another size"
        is_full = file.extract.kind is ExtractKind.FULL
        yield Notice(
            code=NoticeCode.FULL_CHANGED if is_full else NoticeCode.DELTA_CHANGED,
            message=f"{file.extract.name} has changed: SHA-256 {file.sha256} was applied, now it is {now}.",
            hint="Contact the DCC and ask why.",
        )


_HISTORY_LOST = (
    Notice(
        code=NoticeCode.HISTORY_LOST,
        message="The change history was lost: it could not be copied from the previous generation.",
        hint="Consumers of the change feed must reload everything once. The old generation is kept as"
        " configured in `mirror.keep_previous`.",
    ),
)


def _ahead(job: SyncJob, decision: Decision) -> Iterator[Notice]:
    doubtful = dated_in_future(decision.catalogue, job.today)
    if doubtful:
        yield Notice(
            code=NoticeCode.DATED_IN_FUTURE,
            message=f"Extracts are dated ahead of this machine's clock: {_list(x.name for x in doubtful)}.",
            hint=f"Check the clock. It says {job.today}.",
        )


def _strange(strangers: tuple[UnrecognisedFile, ...]) -> Iterator[Notice]:
    if strangers:
        yield Notice(
            code=NoticeCode.STRANGE_NAMES,
            message="Ignored files with unrecognised names:"
            f" {_list(f'{s.name} ({s.why})' for s in strangers)}.",
            hint="If one of them is an extract, set its name in `[repository]` of the configuration.",
        )


def _list(items: Iterable[str]) -> str:
    known = list(items)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return ", ".join(known[:_NAMED]) + more
