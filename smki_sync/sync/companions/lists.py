"""ARL and CRL on offer: judged by the rules of ``trust``, put into force, or set aside as evidence.

For: one run's look at every list. Authorities are judged before organisations, and of the lists of one key
the newest first: an older one beside it on offer is no news. Refuses: to soften a refusal.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from smki_sync.errors import BadExtract
from smki_sync.mirror.companions import Kept, read_signers
from smki_sync.mirror.journal import Change
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import Connection, open_mirror
from smki_sync.mirror.revocation import Arrival, read_lists
from smki_sync.mirror.store import Store
from smki_sync.model.identity import KeyId
from smki_sync.model.lists import ListKind, ListOutcome, ListState, RevocationList
from smki_sync.model.report import AttentionCode
from smki_sync.sync.companions.unpack import unpacked
from smki_sync.sync.job import Job
from smki_sync.trust.lists.anchored import distrust_by
from smki_sync.trust.lists.reading import NotAList, read_list
from smki_sync.trust.revocation_lists import Distrust, Proven, Refusal, judge, trust_all
from smki_sync.verify.judges import judge_of

Read = tuple[ListKind, Kept, RevocationList | Refusal]
"""A list on offer, its octets, and what they hold."""


@dataclass(slots=True)
class Lists:
    """One run's look. ``refusals``: by file, of what was not taken. ``ground``: see :func:`.settle`."""

    job: Job
    store: Store
    ground: bool = False
    refusals: dict[str, Refusal] = field(default_factory=dict)
    _current: set[tuple[ListKind, str, KeyId | None]] = field(default_factory=set)

    def take(self, on_offer: list[tuple[ListKind, Kept]]) -> tuple[ListOutcome, ...]:
        """Judge each, and act on it."""
        read: list[Read] = [(kind, kept, self._read(kept)) for kind, kept in on_offer]
        return tuple(outcome for one in sorted(read, key=_order) for outcome in self._take(*one))

    def _read(self, kept: Kept) -> RevocationList | Refusal:
        try:
            return read_list(unpacked(self.job, kept))
        except (BadExtract, NotAList) as error:
            why = str(error).removeprefix(f"{kept.file.name}: ")
            return Refusal(code=AttentionCode.LIST_UNREADABLE, why=why)

    def _take(self, kind: ListKind, kept: Kept, found: RevocationList | Refusal) -> Iterator[ListOutcome]:
        if isinstance(found, Refusal):
            yield self._refuse(kind, kept, found)
            return
        key = kind, found.issuer, found.key_id
        match self._judge(kind, found):
            case Proven(is_news=True, signer=signer):
                self._current.add(key)
                yield self._apply(_outcome(kind, kept, found), kept, found, signer)
            case Proven():
                self._current.add(key)
                yield _outcome(kind, kept, found)
            case Refusal(code=AttentionCode.LIST_OLDER) if key in self._current:
                pass  # a newer one stands beside it
            case Refusal() as refusal:
                refused = self._refuse(kind, kept, refusal)
                yield replace(_outcome(kind, kept, found), state=refused.state, code=refused.code)

    def _judge(self, kind: ListKind, found: RevocationList) -> Proven | Refusal:
        with open_mirror(self.store.path) as db:
            return judge(found, kind, read_signers(db), read_lists(db), distrust=self._distrust(db))

    def _distrust(self, db: Connection) -> Distrust:
        """With trust anchors, a signer has to be proven up to one.

        Asked anew for each list: one before it may have revoked an authority.
        """
        if not self.job.anchors:
            return trust_all
        return distrust_by(judge_of(db, self.job.anchors, self.job.now, among_end_entities=False))

    def _apply(self, outcome: ListOutcome, kept: Kept, found: RevocationList, signer: KeyId) -> ListOutcome:
        at = utc(self.job.clock())
        arrival = Arrival(file=kept.file.name, kind=outcome.kind, signer=signer, list=found, at=at)
        applied = self.store.apply_list(arrival, day=self.job.today, ground=self.ground)
        changes = [changed.change for changed in applied]
        return replace(
            outcome,
            state=ListState.APPLIED,
            revoked=changes.count(Change.REVOKED),
            unrevoked=changes.count(Change.UNREVOKED),
        )

    def _refuse(self, kind: ListKind, kept: Kept, refusal: Refusal) -> ListOutcome:
        self.refusals[kept.file.name] = refusal
        self.store.set_aside_companion(kept, refusal, at=utc(self.job.clock()))
        code = refusal.code.value
        return ListOutcome(file=kept.file.name, kind=kind, state=ListState.REFUSED, code=code)


def _outcome(kind: ListKind, kept: Kept, found: RevocationList) -> ListOutcome:
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
