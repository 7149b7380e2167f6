"""ARL, CRL, anchor slots: download, check, bring into force, notices.

Every file is treated on its own: one that cannot be read does not affect the others.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from smki_sync.catalogue import Offered, OfferedList, OfferedSlots, read_offered
from smki_sync.download import ReconnectingSource
from smki_sync.errors import BadExtract, SourceError, SourceRefused
from smki_sync.events import Detail
from smki_sync.lookup.watch import authority_revoked_name, read_accepted
from smki_sync.mirror.inspection import read_authorities
from smki_sync.mirror.journal import ChangeKind
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import Connection, open_mirror
from smki_sync.mirror.revocation import (
    AuthorityImpact,
    ListArrival,
    Publication,
    StoredCompanion,
    count_below_revoked,
    known_refusal,
    read_companion,
    read_companion_files,
    read_lists,
    read_signers,
)
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import Entry, KeyId, Rejected
from smki_sync.model.extract import ListInForce, ListKind, ListOutcome, ListState, RemoteFile, RevocationList
from smki_sync.model.report import Notice, NoticeCode
from smki_sync.reader import ExtractReader, ReaderLimits
from smki_sync.reader.gzip_stream import MAGIC, GzipStream
from smki_sync.records import parse_record
from smki_sync.sources.base import Source
from smki_sync.sync.decision import Decision
from smki_sync.sync.job import SyncJob
from smki_sync.timestamps import text_of
from smki_sync.trust.anchor_slots import SlotCertificate, SlotDifference, differences, slot_of
from smki_sync.trust.chain import anchors_of, differs_from_anchor
from smki_sync.trust.revocation_lists import (
    ProvenList,
    Refusal,
    SignerCheck,
    check_list,
    expected,
    read_list,
    signer_check,
    trust_every_signer,
    why_stale,
)
from smki_sync.verify.inspector import chain_validator
from smki_sync.x509.revocation_list import NotAList

FILES_LIMIT: Final = 50
"""Companion files of one run. The Repository has about five; a hostile listing can have any number."""

LIMIT_KEY: Final = "limits.companion_bytes"
"""Limit for one companion file, and for all that are downloaded in one run."""

_NAMED: Final = 5  # certificates that are named in a message

_HINTS: Final = {
    NoticeCode.LIST_UNREADABLE: "Contact the DCC. The list before it stays in force.",
    NoticeCode.LIST_SIGNER_UNKNOWN: "If the authority is new, the next extracts contain it and the next run"
    " applies the list. Otherwise contact the DCC.",
    NoticeCode.LIST_SIGNER_UNFIT: "Contact the DCC. The list before it stays in force.",
    NoticeCode.LIST_NOT_ANCHORED: "Check that `trust.anchors` names the root OCA of this Repository. If it"
    " does, contact the DCC. The list before it stays in force.",
    NoticeCode.LIST_SIGNATURE_FALSE: "Keep the file and contact the DCC: it is damaged or forged. The list"
    " before it stays in force.",
    NoticeCode.LIST_OLDER: "Contact the DCC. The newer list stays in force. To accept this one, run"
    " `smki-sync sync --forget-list ISSUER`.",
    NoticeCode.LIST_DATED_IN_FUTURE: "Check the clock of this machine. If it is right, contact the DCC. The"
    " list before it stays in force.",
    NoticeCode.SLOTS_UNREADABLE: "Contact the DCC. Do not load devices from this file.",
}


def not_downloaded(name: str, why: str) -> Notice:
    """Report a companion file that could not be downloaded."""
    return Notice(
        code=NoticeCode.COMPANION_NOT_FETCHED,
        message=f"{name} could not be downloaded: {_sentence(why)}",
        hint="The next run tries again. Lists that are in force stay in force.",
    )


def refused(name: str, refusal: Refusal) -> Notice:
    """Report a companion file that was not accepted."""
    return Notice(
        code=refusal.code,
        message=f"{name} was not accepted: {_sentence(refusal.why)}",
        hint=_HINTS[refusal.code],
    )


def stale(held: ListInForce, why: str) -> Notice:
    """Report a list in force that is too old."""
    number = "" if held.number is None else f" number {held.number}"
    return Notice(
        code=NoticeCode.LIST_STALE,
        message=f"The {held.kind.upper()} in force, {held.file}{number}, is stale: {why}.",
        hint="Newer revocations are not known here. Ask the DCC for a newer list.",
    )


def missing(kind: ListKind) -> Notice:
    """Report that a kind of list that is in force is no longer in the Repository."""
    return Notice(
        code=NoticeCode.LIST_MISSING,
        message=f"The Repository no longer contains an {kind.upper()}. The last one stays in force."
        if kind is ListKind.ARL
        else f"The Repository no longer contains a {kind.upper()}. The last one stays in force.",
        hint=f"Check `repository.{kind}_name`, then ask the DCC.",
    )


def none_ever(kinds: Iterable[ListKind]) -> Notice:
    """Report kinds of lists that neither the Repository nor the mirror has."""
    words = " and no ".join(kind.upper() for kind in kinds)
    return Notice(
        code=NoticeCode.NO_LISTS,
        message=f"The Repository contains no {words}. Revocations are known from the extracts only.",
        hint="If there is a list, set `repository.arl_name` or `repository.crl_name`. If there is none, set"
        " `trust.expect_lists = false`.",
    )


def slots_differ(found: tuple[SlotDifference, ...]) -> Iterator[Notice]:
    """Report slot files that differ in more than the WAN provider (Appendix O 2.3.3)."""
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
        hint="Do not load devices from them. Ask the DCC which file is right.",
    )


def authority_revoked(found: AuthorityImpact) -> Notice:
    """Report a revoked authority."""
    return Notice(
        code=NoticeCode.AUTHORITY_REVOKED,
        message=f"The authority {found.subject}, serial {found.serial}, was revoked on"
        f" {text_of(found.since)}. {found.certificates} In-Use certificates are below it.",
        hint="Do not use these certificates. Ask the DCC which authority replaces it. Then run `smki-sync"
        f" watch --accept {authority_revoked_name(found.serial)}`.",
    )


def anchor_differs(serial: str, issuer: str) -> Notice:
    """Report a certificate that claims to be a trust anchor but has other bytes."""
    return Notice(
        code=NoticeCode.ANCHOR_DIFFERS,
        message=f"The certificate {serial} of {issuer} in the mirror has other bytes than the trust anchor"
        " with this serial number.",
        hint="The trust anchor is used. Contact the DCC: the Repository may have been tampered with.",
    )


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadedCompanions:
    """Companion files of one run. ``contents``: by name; ``None`` if the mirror has the same file.

    ``missed``: notices of files that could not be downloaded.
    """

    offered: tuple[Offered, ...] = ()
    contents: Mapping[str, StoredCompanion | None] = field(default_factory=dict)
    missed: tuple[Notice, ...] = ()


class _LimitExceeded(Exception):
    """A companion file exceeds a limit. The message says which."""


def download_companions(job: SyncJob, source: ReconnectingSource, decision: Decision) -> DownloadedCompanions:
    """Download the companion files that have changed, within the limits of a run."""
    offered = read_offered(decision.catalogue.companions, job.names)
    generation = decision.held.generation
    if generation is None and decision.plan.full is None:
        return DownloadedCompanions(offered=offered)
    known, held = _stored(generation)
    overdue = {one.file for one in held if why_stale(one, today=job.today, max_age_days=None)}
    fresh = {name: file for name, file in known.items() if name not in overdue and file.modified}
    contents: dict[str, StoredCompanion | None] = {}
    missed: list[Notice] = []
    left = job.lists.largest_bytes
    for place, file in enumerate(one.file for one in offered):
        try:
            is_known = _is_same(fresh.get(file.name), file)
            _check_limits(place, file, None if is_known else left)
            companion = None if is_known else _download(job, source, file, left)
        except (SourceError, _LimitExceeded) as error:
            if isinstance(error, SourceRefused) and error.reason != "permission-denied":
                raise
            missed.append(not_downloaded(file.name, str(error)))
        else:
            contents[file.name] = companion
            left -= len(companion.content) if companion else 0
    return DownloadedCompanions(offered=offered, contents=contents, missed=tuple(missed))


def _stored(generation: Path | None) -> tuple[dict[str, RemoteFile], tuple[ListInForce, ...]]:
    if generation is None:
        return {}, ()
    with open_mirror(generation) as db:
        return read_companion_files(db), read_lists(db)


def _is_same(stored: RemoteFile | None, file: RemoteFile) -> bool:
    return stored is not None and (stored.size, stored.modified) == (file.size, file.modified)


def _check_limits(place: int, file: RemoteFile, left: int | None) -> None:
    """Check a file before its download. ``left``: ``None`` if the mirror has it."""
    if place >= FILES_LIMIT:
        raise _LimitExceeded(f"the Repository contains more than {FILES_LIMIT} such files")
    if left is not None and file.size > left:
        raise _LimitExceeded(f"it has {file.size:,} bytes, and {left:,} are left of `{LIMIT_KEY}`")


def _download(job: SyncJob, source: ReconnectingSource, file: RemoteFile, left: int) -> StoredCompanion:
    """Download a file into memory. ``left``: bytes that this run may still download."""
    content = source.retry(lambda one: _read(one, file.name, left))
    job.events.emit(Detail(text=f"downloaded {file.name}, {len(content):,} bytes"))
    return StoredCompanion(file=file, content=content)


def _read(source: Source, name: str, limit: int) -> bytes:
    found = bytearray()
    with source.fetch(name) as chunks:
        for chunk in chunks:
            found += chunk
            if len(found) > limit:
                raise _LimitExceeded(f"it has more than the {limit:,} bytes that are left of `{LIMIT_KEY}`")
    return bytes(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionsResult:
    """``lists``: result for each available list. ``attention``: notices for the operator."""

    lists: tuple[ListOutcome, ...] = ()
    attention: tuple[Notice, ...] = ()

    def after(self, before: "CompanionsResult") -> "CompanionsResult":
        """Combine with an earlier result of the same run: a list that was applied then was applied."""
        applied = {one.file: one for one in before.lists if one.state is ListState.APPLIED}
        lists = tuple(
            applied.get(one.file, one) if one.state is ListState.IN_FORCE else one for one in self.lists
        )
        return replace(self, lists=lists)


def apply_companions(
    job: SyncJob,
    generation: Path,
    downloaded: DownloadedCompanions,
    *,
    initial_load: bool = False,
) -> CompanionsResult:
    """Store, check and apply companion files.

    ``initial_load``: this generation is not published yet. Its journal begins with its content, which
    includes the lists.
    """
    with MirrorStore(generation) as store:
        for companion in downloaded.contents.values():
            if companion:
                store.store_companion(companion, at=utc(job.clock()))
        if downloaded.offered:
            store.remove_other_companions({one.file.name for one in downloaded.offered})
        lists = RevocationListUpdater(job=job, store=store, initial_load=initial_load)
        slots = AnchorSlotUpdater(job=job, store=store)
        available = [one for one in downloaded.offered if one.file.name in downloaded.contents]
        outcomes = lists.update([one for one in available if isinstance(one, OfferedList)])
        for one in available:
            if isinstance(one, OfferedSlots) and (companion := _stored_companion(store, one.file.name)):
                slots.update(one.region, companion)
        store.drop_forgotten_lists(day=job.today, at=job.clock())
    refusals = {**lists.refusals, **slots.refusals}
    return CompanionsResult(
        lists=outcomes,
        attention=(
            *downloaded.missed,
            *(refused(name, refusal) for name, refusal in refusals.items()),
            *slots_differ(slots.differences()),
            *check_lists(job, generation, downloaded.offered),
            *check_authorities(job, generation),
        ),
    )


def _stored_companion(store: MirrorStore, name: str) -> StoredCompanion | None:
    with open_mirror(store.path) as db:
        return read_companion(db, name)


def forget_lists(generation: Path, issuer: str) -> int:
    """Let any list replace those in force of an issuer, given by RFC 4514 name or key identifier.

    Call it before :func:`apply_companions`, with the lock. The lists stay in force until the run has
    read the available ones. Then those without a successor are put out of force. The journal records what
    that changes. Returns how many lists are concerned; 0 if the issuer has none.
    """
    with MirrorStore(generation) as store:
        return store.mark_lists_forgotten(issuer)


def check_lists(job: SyncJob, generation: Path | None, offered: tuple[Offered, ...]) -> Iterator[Notice]:
    """Report lists in force that are stale or no longer available, also if nothing was downloaded."""
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


def check_authorities(job: SyncJob, generation: Path) -> Iterator[Notice]:
    """Report revoked authorities until they are accepted, and authorities that differ from a trust anchor."""
    accepted = read_accepted(job.directory.watch) or frozenset()
    with open_mirror(generation) as db:
        impacts = count_below_revoked(db)
        rows = list(read_authorities(db)) if job.anchors else []
    pending = [one for one in impacts if authority_revoked_name(one.serial) not in accepted]
    yield from map(authority_revoked, pending)
    anchors = anchors_of(job.anchors)
    for row in rows:
        if differs_from_anchor(anchors, row.issuer, row.serial, row.der):
            yield anchor_differs(row.serial, row.issuer)


@dataclass(slots=True)
class RevocationListUpdater:
    """Checks and applies the available lists of one run, one at a time.

    ``refusals``: by file, why it was not accepted. ``initial_load``: see :func:`apply_companions`.
    """

    job: SyncJob
    store: MirrorStore
    initial_load: bool = False
    refusals: dict[str, Refusal] = field(default_factory=dict)
    _current: set[tuple[ListKind, str, KeyId | None, str]] = field(default_factory=set)

    def update(self, available: list[OfferedList]) -> tuple[ListOutcome, ...]:
        """Read the beginning of each list, then check and apply them: ARL before CRL, newest first."""
        headers = [(one, self._header(one.file.name)) for one in available]
        ordered = sorted(headers, key=lambda pair: _order(pair[0], pair[1]))
        return tuple(outcome for one, _ in ordered for outcome in self._update(one))

    def _header(self, name: str) -> tuple[int, int] | None:
        """Return number and date of a list. Its content is not kept, so that one is in memory at a time."""
        companion = _stored_companion(self.store, name)
        found = self._parse(companion) if companion else None
        return (found.number or 0, found.this_update) if isinstance(found, RevocationList) else None

    def _parse(self, companion: StoredCompanion) -> RevocationList | Refusal:
        """Parse a list, unless these bytes are known to be unreadable."""
        code = NoticeCode.LIST_UNREADABLE
        with open_mirror(self.store.path) as db:
            if why := known_refusal(db, companion, code):
                return Refusal(code=code, why=why)
        try:
            return read_list(unpack(self.job, companion))
        except MemoryError:
            raise
        except (BadExtract, NotAList) as error:
            return Refusal(code=code, why=str(error).removeprefix(f"{companion.file.name}: "))
        except Exception as error:  # noqa: BLE001 - one hostile file must not stop the others
            return Refusal(code=code, why=f"it cannot be read ({type(error).__name__})")

    def _update(self, one: OfferedList) -> Iterator[ListOutcome]:
        companion = _stored_companion(self.store, one.file.name)
        if companion is None:
            return
        found = self._parse(companion)
        if isinstance(found, Refusal):
            yield self._refuse(one.kind, companion, found)
            return
        identity = one.kind, found.issuer, found.key_id, found.scope
        match self._check(one.kind, found):
            case ProvenList(is_news=True, signer=signer, entries=entries):
                self._current.add(identity)
                yield self._apply(_outcome(one.kind, companion, found, entries), found, signer)
            case ProvenList(entries=entries):
                self._current.add(identity)
                yield _outcome(one.kind, companion, found, entries)
            case Refusal(code=NoticeCode.LIST_OLDER) if identity in self._current:
                pass  # the Repository has a newer one, too
            case Refusal() as refusal:
                refused = self._refuse(one.kind, companion, refusal)
                outcome = _outcome(one.kind, companion, found, None)
                yield replace(outcome, state=refused.state, code=refused.code)

    def _check(self, kind: ListKind, found: RevocationList) -> ProvenList | Refusal:
        with open_mirror(self.store.path) as db:
            return check_list(
                found,
                kind,
                read_signers(db),
                read_lists(db),
                now=int(self.job.now.timestamp()),
                signer_check=self._signer_check(db),
            )

    def _signer_check(self, db: Connection) -> SignerCheck:
        """With trust anchors, a signer needs a chain to one.

        It is built for each list: an earlier one may have revoked an authority.
        """
        if not self.job.anchors:
            return trust_every_signer
        return signer_check(chain_validator(db, self.job.anchors, self.job.now, among_end_entities=False))

    def _apply(self, outcome: ListOutcome, found: RevocationList, signer: KeyId) -> ListOutcome:
        at = utc(self.job.clock())
        arrival = ListArrival(file=outcome.file, kind=outcome.kind, signer=signer, list=found, at=at)
        applied = self.store.apply_list(arrival, day=self.job.today, initial_load=self.initial_load)
        changes = [changed.change for changed in applied]
        return replace(
            outcome,
            state=ListState.APPLIED,
            revoked=changes.count(ChangeKind.REVOKED),
            unrevoked=changes.count(ChangeKind.UNREVOKED),
        )

    def _refuse(self, kind: ListKind, companion: StoredCompanion, refusal: Refusal) -> ListOutcome:
        self.refusals[companion.file.name] = refusal
        self.store.store_refused_companion(companion, refusal, at=utc(self.job.clock()))
        code = refusal.code.value
        return ListOutcome(file=companion.file.name, kind=kind, state=ListState.REFUSED, code=code)


def _outcome(
    kind: ListKind, companion: StoredCompanion, found: RevocationList, entries: int | None
) -> ListOutcome:
    return ListOutcome(
        file=companion.file.name,
        kind=kind,
        state=ListState.IN_FORCE,
        issuer=found.issuer,
        number=found.number,
        this_update=found.this_update,
        next_update=found.next_update,
        entries=entries,
    )


def _order(one: OfferedList, header: tuple[int, int] | None) -> tuple[ListKind, int, int, str]:
    """Order ARL before CRL, which is also their alphabetical order, then the newest first."""
    number, this_update = header or (0, 0)
    return one.kind, -number, -this_update, one.file.name


def unpack(job: SyncJob, companion: StoredCompanion) -> bytes:
    """Return the content of a file that may be compressed. Raises ``BadExtract``."""
    content = companion.content
    if not content.startswith(MAGIC):
        return content
    return b"".join(GzipStream(iter([content]), name=companion.file.name, limits=_limits(job)))


def _limits(job: SyncJob) -> ReaderLimits:
    return replace(job.limits, decompressed_bytes=job.lists.largest_bytes)


@dataclass(slots=True)
class AnchorSlotUpdater:
    """Reads the available slot files of one run.

    ``refusals``: by file, why it was not accepted. ``regions``: the certificates of each region.
    """

    job: SyncJob
    store: MirrorStore
    refusals: dict[str, Refusal] = field(default_factory=dict)
    regions: dict[str, tuple[SlotCertificate, ...]] = field(default_factory=dict)

    def update(self, region: str, companion: StoredCompanion) -> None:
        """Read one file, and store its certificates."""
        try:
            certificates = self._certificates(companion)
        except MemoryError:
            raise
        except (BadExtract, ValueError) as error:
            self._refuse(companion, str(error).removeprefix(f"{companion.file.name}: "))
            return
        except Exception as error:  # noqa: BLE001 - one hostile file must not stop the others
            self._refuse(companion, f"it cannot be read ({type(error).__name__})")
            return
        self.regions[region] = (*self.regions.get(region, ()), *certificates)
        publication = Publication(
            file=companion.file.name,
            region=region,
            day=self.job.today.isoformat(),
            sha256=companion.sha256,
            certificates=certificates,
        )
        self.store.publish_slots(publication)

    def differences(self) -> tuple[SlotDifference, ...]:
        """Return what some regions have and others lack, except certificates of the WAN provider."""
        return differences(self.regions)

    def _certificates(self, companion: StoredCompanion) -> tuple[SlotCertificate, ...]:
        """Read every certificate. Raises ``ValueError`` for a bad record, and if there is none."""
        reader = ExtractReader(
            iter([companion.content]),
            name=companion.file.name,
            understand=parse_record,
            limits=_limits(self.job),
        )
        records: list[Entry | Rejected] = list(reader)
        bad = next((record for record in records if isinstance(record, Rejected)), None)
        if bad:
            raise ValueError(f"record {bad.number}: {bad.reason}: {bad.detail}")
        found = tuple(slot_of(record.der) for record in records if isinstance(record, Entry))
        if not found:
            raise ValueError("it contains no certificate")
        return found

    def _refuse(self, companion: StoredCompanion, why: str) -> None:
        refusal = Refusal(code=NoticeCode.SLOTS_UNREADABLE, why=why)
        self.refusals[companion.file.name] = refusal
        self.store.store_refused_companion(companion, refusal, at=utc(self.job.clock()))
