"""ARL, CRL, anchor slots: download, check, bring into force, notices."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from smki_sync.catalogue import Offered, OfferedList, OfferedSlots, read_offered
from smki_sync.download import ReconnectingSource
from smki_sync.errors import BadExtract, SourceError, SourceRefused
from smki_sync.events import Detail
from smki_sync.mirror.journal import ChangeKind
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import Connection, open_mirror
from smki_sync.mirror.revocation import (
    ListArrival,
    Publication,
    StoredCompanion,
    read_companions,
    read_lists,
    read_signers,
)
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import Entry, KeyId, Rejected
from smki_sync.model.extract import ListInForce, ListKind, ListOutcome, ListState, RemoteFile, RevocationList
from smki_sync.model.report import Notice, NoticeCode
from smki_sync.reader import ExtractReader, ReaderLimits
from smki_sync.reader.gzip_stream import GzipStream
from smki_sync.records import parse_record
from smki_sync.sources.base import Source
from smki_sync.sync.decision import Decision
from smki_sync.sync.job import SyncJob
from smki_sync.trust.anchor_slots import SlotCertificate, SlotDifference, differences, slot_of
from smki_sync.trust.revocation_lists import (
    Distrust,
    NotAList,
    ProvenList,
    Refusal,
    distrust_by,
    expected,
    judge_list,
    read_list,
    trust_all,
    why_stale,
)
from smki_sync.verify.inspector import chain_validator

_NAMED: Final = 5  # certificates that are spelled out in a message; the rest is a number

_ADVICE: Final = {
    NoticeCode.LIST_UNREADABLE: "Tell the DCC; the list before it stays in force.",
    NoticeCode.LIST_SIGNER_UNKNOWN: "If the authority is new, the next extracts bring it and the next run"
    " applies the list; otherwise tell the DCC.",
    NoticeCode.LIST_SIGNER_UNFIT: "Tell the DCC; the list before it stays in force.",
    NoticeCode.LIST_NOT_ANCHORED: "See whether `trust.anchors` names this Repository's root OCA; if it"
    " does, tell the DCC. What was in force stays so.",
    NoticeCode.LIST_SIGNATURE_FALSE: "Keep it as it is and tell the DCC: it is damaged, or forged. The"
    " list before it stays in force.",
    NoticeCode.LIST_OLDER: "Tell the DCC; the newer list stays in force.",
    NoticeCode.SLOTS_UNREADABLE: "Tell the DCC; do not load devices from it.",
}


def not_fetched(name: str, why: str) -> Notice:
    """A companion could not be had."""
    return Notice(
        code=NoticeCode.COMPANION_NOT_FETCHED,
        message=f"{name} could not be fetched: {_sentence(why)}",
        hint="The next run tries again; what was in force stays so.",
    )


def refused(name: str, refusal: Refusal) -> Notice:
    """A companion was fetched and not taken."""
    return Notice(
        code=refusal.code,
        message=f"{name} was not taken: {_sentence(refusal.why)}",
        hint=_ADVICE[refusal.code],
    )


def stale(held: ListInForce, why: str) -> Notice:
    """A list in force is not fresh."""
    return Notice(
        code=NoticeCode.LIST_STALE,
        message=f"The {held.kind.upper()} in force, {held.file} number {held.number}, is stale: {why}.",
        hint="What has been revoked since is not known here. Ask the DCC for a newer list.",
    )


def missing(kind: ListKind) -> Notice:
    """A kind of list that is held is not on offer any more."""
    return Notice(
        code=NoticeCode.LIST_MISSING,
        message=f"No {kind.upper()} is on offer, and one was before; that one stays in force.",
        hint=f"Check `repository.{kind}_name`, then ask the DCC.",
    )


def none_ever(kinds: Iterable[ListKind]) -> Notice:
    """Nothing of a kind is on offer or held."""
    words = " and no ".join(kind.upper() for kind in kinds)
    return Notice(
        code=NoticeCode.NO_LISTS,
        message=f"No {words} is on offer: what is revoked is known from the extracts alone.",
        hint="If there is one, set its name: `repository.arl_name`, `repository.crl_name`; if there is none,"
        " `trust.expect_lists = false`.",
    )


def differ(found: tuple[SlotDifference, ...]) -> Iterator[Notice]:
    """Slot files differ in more than the WAN provider's certificates (Appendix O 2.3.3)."""
    if not found:
        return
    named = "; ".join(
        f"{one.certificate.label} in {', '.join(one.present)}, not in {', '.join(one.absent)}"
        for one in found[:_NAMED]
    )
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    yield Notice(
        code=NoticeCode.SLOTS_DIFFER,
        message=f"The anchor slots of the regions differ in more than the WAN provider: {named}{more}.",
        hint="Do not load devices from them before the DCC has said which is right.",
    )


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def unpacked(job: SyncJob, kept: StoredCompanion) -> bytes:
    """What the .gz holds; raises ``BadExtract``."""
    return b"".join(GzipStream(iter([kept.content]), name=kept.file.name, limits=_limits(job)))


def records_in(job: SyncJob, kept: StoredCompanion) -> list[Entry | Rejected]:
    """The records of its XML; raises ``BadExtract``."""
    name = kept.file.name
    return list(ExtractReader(iter([kept.content]), name=name, understand=parse_record, limits=_limits(job)))


def _limits(job: SyncJob) -> ReaderLimits:
    return replace(job.limits, decompressed_bytes=job.lists.largest_bytes)


@dataclass(slots=True)
class AnchorSlotUpdater:
    """One run's look. ``refusals``: by file, of what was not taken. ``regions``: what each is offered."""

    job: SyncJob
    store: MirrorStore
    refusals: dict[str, Refusal] = field(default_factory=dict)
    regions: dict[str, tuple[SlotCertificate, ...]] = field(default_factory=dict)

    def take(self, region: str, kept: StoredCompanion) -> None:
        """Read one file, and keep what it holds."""
        try:
            certificates = _certificates(records_in(self.job, kept))
        except (BadExtract, ValueError) as error:
            why = str(error).removeprefix(f"{kept.file.name}: ")
            refusal = Refusal(code=NoticeCode.SLOTS_UNREADABLE, why=why)
            self.refusals[kept.file.name] = refusal
            self.store.set_aside_companion(kept, refusal, at=utc(self.job.clock()))
            return
        self.regions[region] = (*self.regions.get(region, ()), *certificates)
        publication = Publication(
            file=kept.file.name,
            region=region,
            day=self.job.today.isoformat(),
            sha256=kept.sha256,
            certificates=certificates,
        )
        self.store.publish_slots(publication)

    def differences(self) -> tuple[SlotDifference, ...]:
        """What stands in some regions and not in all, the WAN provider's apart."""
        return differences(self.regions)


def _certificates(records: list[Entry | Rejected]) -> tuple[SlotCertificate, ...]:
    """Every certificate; raises ``ValueError`` for a record that is none, or for none at all."""
    bad = next((record for record in records if isinstance(record, Rejected)), None)
    if bad:
        raise ValueError(f"record {bad.number}: {bad.reason}: {bad.detail}")
    found = tuple(slot_of(record.der) for record in records if isinstance(record, Entry))
    if not found:
        raise ValueError("it holds no certificate")
    return found


Read = tuple[ListKind, StoredCompanion, RevocationList | Refusal]
"""A list on offer, its octets, and what they hold."""


@dataclass(slots=True)
class RevocationListUpdater:
    """One run's look.

    ``refusals``: by file, of what was not taken. ``ground``: see :func:`.apply_companions`.
    """

    job: SyncJob
    store: MirrorStore
    ground: bool = False
    refusals: dict[str, Refusal] = field(default_factory=dict)
    _current: set[tuple[ListKind, str, KeyId | None]] = field(default_factory=set)

    def take(self, on_offer: list[tuple[ListKind, StoredCompanion]]) -> tuple[ListOutcome, ...]:
        """Judge each, and act on it."""
        read: list[Read] = [(kind, kept, self._read(kept)) for kind, kept in on_offer]
        return tuple(outcome for one in sorted(read, key=_order) for outcome in self._take(*one))

    def _read(self, kept: StoredCompanion) -> RevocationList | Refusal:
        try:
            return read_list(unpacked(self.job, kept))
        except (BadExtract, NotAList) as error:
            why = str(error).removeprefix(f"{kept.file.name}: ")
            return Refusal(code=NoticeCode.LIST_UNREADABLE, why=why)

    def _take(
        self, kind: ListKind, kept: StoredCompanion, found: RevocationList | Refusal
    ) -> Iterator[ListOutcome]:
        if isinstance(found, Refusal):
            yield self._refuse(kind, kept, found)
            return
        key = kind, found.issuer, found.key_id
        match self._judge(kind, found):
            case ProvenList(is_news=True, signer=signer):
                self._current.add(key)
                yield self._apply(_outcome(kind, kept, found), kept, found, signer)
            case ProvenList():
                self._current.add(key)
                yield _outcome(kind, kept, found)
            case Refusal(code=NoticeCode.LIST_OLDER) if key in self._current:
                pass  # a newer one stands beside it
            case Refusal() as refusal:
                refused = self._refuse(kind, kept, refusal)
                yield replace(_outcome(kind, kept, found), state=refused.state, code=refused.code)

    def _judge(self, kind: ListKind, found: RevocationList) -> ProvenList | Refusal:
        with open_mirror(self.store.path) as db:
            return judge_list(found, kind, read_signers(db), read_lists(db), distrust=self._distrust(db))

    def _distrust(self, db: Connection) -> Distrust:
        """With trust anchors, a signer has to be proven up to one.

        Asked anew for each list: one before it may have revoked an authority.
        """
        if not self.job.anchors:
            return trust_all
        return distrust_by(chain_validator(db, self.job.anchors, self.job.now, among_end_entities=False))

    def _apply(
        self, outcome: ListOutcome, kept: StoredCompanion, found: RevocationList, signer: KeyId
    ) -> ListOutcome:
        at = utc(self.job.clock())
        arrival = ListArrival(file=kept.file.name, kind=outcome.kind, signer=signer, list=found, at=at)
        applied = self.store.apply_list(arrival, day=self.job.today, ground=self.ground)
        changes = [changed.change for changed in applied]
        return replace(
            outcome,
            state=ListState.APPLIED,
            revoked=changes.count(ChangeKind.REVOKED),
            unrevoked=changes.count(ChangeKind.UNREVOKED),
        )

    def _refuse(self, kind: ListKind, kept: StoredCompanion, refusal: Refusal) -> ListOutcome:
        self.refusals[kept.file.name] = refusal
        self.store.set_aside_companion(kept, refusal, at=utc(self.job.clock()))
        code = refusal.code.value
        return ListOutcome(file=kept.file.name, kind=kind, state=ListState.REFUSED, code=code)


def _outcome(kind: ListKind, kept: StoredCompanion, found: RevocationList) -> ListOutcome:
    return ListOutcome(
        file=kept.file.name,
        kind=kind,
        state=ListState.IN_FORCE,
        issuer=found.issuer,
        number=found.number,
        this_update=found.this_update,
        next_update=found.next_update,
        entries=len(found.revoked),
    )


def _order(one: Read) -> tuple[ListKind, int, int, str]:
    """ARL before CRL, which is their order as text too; then the newest first."""
    kind, kept, found = one
    if isinstance(found, Refusal):
        return kind, 0, 0, kept.file.name
    return kind, -(found.number or 0), -found.this_update, kept.file.name


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadedCompanions:
    """``contents``: by name, of what could be had. ``missed``: what could not be, in words."""

    offered: tuple[Offered, ...] = ()
    contents: Mapping[str, StoredCompanion] = field(default_factory=dict)
    missed: tuple[Notice, ...] = ()


class _TooLargeError(Exception):
    """A companion beyond the limit; the message says so."""


def download_companions(job: SyncJob, source: ReconnectingSource, decision: Decision) -> DownloadedCompanions:
    """Look at what is on offer, and fetch what has changed."""
    offered = read_offered(decision.catalogue.companions, job.names)
    generation = decision.held.generation
    if generation is None and decision.plan.full is None:
        return DownloadedCompanions(offered=offered)
    known, held = _held(generation)
    overdue = {one.file for one in held if why_stale(one, today=job.today, max_age_days=None)}
    fresh = {name: kept for name, kept in known.items() if name not in overdue and kept.file.modified}
    contents: dict[str, StoredCompanion] = {}
    missed: list[Notice] = []
    for file in (one.file for one in offered):
        before = fresh.get(file.name)
        try:
            contents[file.name] = before if before and before.file == file else _fetch(job, source, file)
        except (SourceError, _TooLargeError) as error:
            if isinstance(error, SourceRefused) and error.reason != "permission-denied":
                raise
            missed.append(not_fetched(file.name, str(error)))
    return DownloadedCompanions(offered=offered, contents=contents, missed=tuple(missed))


def _held(generation: Path | None) -> tuple[dict[str, StoredCompanion], tuple[ListInForce, ...]]:
    if generation is None:
        return {}, ()
    with open_mirror(generation) as db:
        return read_companions(db), read_lists(db)


def _fetch(job: SyncJob, source: ReconnectingSource, file: RemoteFile) -> StoredCompanion:
    """All of a file, in memory: it is small, or not taken."""
    most = job.lists.largest_bytes
    if file.size > most:
        raise _TooLargeError(f"it has {file.size:,} bytes, more than {most:,}")
    content = source.retry(lambda one: _read(one, file.name, most))
    job.hear.hear(Detail(text=f"fetched {file.name}, {len(content):,} bytes"))
    return StoredCompanion(file=file, content=content)


def _read(source: Source, name: str, most: int) -> bytes:
    found = bytearray()
    with source.fetch(name) as chunks:
        for chunk in chunks:
            found += chunk
            if len(found) > most:
                raise _TooLargeError(f"it has more than {most:,} bytes")
    return bytes(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionsResult:
    """``lists``: what became of each on offer. ``attention``: what an operator should know."""

    lists: tuple[ListOutcome, ...] = ()
    attention: tuple[Notice, ...] = ()

    def after(self, before: "CompanionsResult") -> "CompanionsResult":
        """The same, where ``before`` was settled earlier in the run: what was applied then was applied."""
        applied = {one.file: one for one in before.lists if one.state is ListState.APPLIED}
        lists = tuple(
            applied.get(one.file, one) if one.state is ListState.IN_FORCE else one for one in self.lists
        )
        return replace(self, lists=lists)


def apply_companions(
    job: SyncJob, generation: Path, gathered: DownloadedCompanions, *, ground: bool = False
) -> CompanionsResult:
    """Keep, judge and apply what was gathered.

    ``ground``: nobody has seen this generation, and its journal begins with what it holds: so with the lists.
    """
    with MirrorStore(generation) as store:
        _keep(job, store, gathered)
        lists, slots = (
            RevocationListUpdater(job=job, store=store, ground=ground),
            AnchorSlotUpdater(job=job, store=store),
        )
        on_offer = [one for one in gathered.offered if one.file.name in gathered.contents]
        contents = gathered.contents
        outcomes = lists.take(
            [(one.kind, contents[one.file.name]) for one in on_offer if isinstance(one, OfferedList)]
        )
        for one in on_offer:
            if isinstance(one, OfferedSlots):
                slots.take(one.region, contents[one.file.name])
    refusals = {**lists.refusals, **slots.refusals}
    return CompanionsResult(
        lists=outcomes,
        attention=(
            *gathered.missed,
            *(refused(name, refusal) for name, refusal in refusals.items()),
            *differ(slots.differences()),
            *check_lists(job, generation, gathered.offered),
        ),
    )


def _keep(job: SyncJob, store: MirrorStore, gathered: DownloadedCompanions) -> None:
    with open_mirror(store.path) as db:
        known = read_companions(db)
    for name, kept in gathered.contents.items():
        if known.get(name) != kept:
            store.keep_companion(kept, at=utc(job.clock()))


def check_lists(job: SyncJob, generation: Path | None, offered: tuple[Offered, ...]) -> Iterator[Notice]:
    """Whether the lists in force are fresh and still on offer; also where nothing was fetched."""
    held: tuple[ListInForce, ...] = ()
    if generation:
        with open_mirror(generation) as db:
            held = read_lists(db)
    for one in expected(held):
        why = why_stale(one, today=job.today, max_age_days=job.lists.max_age_days(one.kind))
        if why:
            yield stale(one, why)
    known = {one.kind for one in held}
    absent = set(ListKind) - {one.kind for one in offered if isinstance(one, OfferedList)}
    yield from (missing(kind) for kind in sorted(absent & known))
    if absent - known and job.lists.expected:
        yield none_ever(sorted(absent - known))
