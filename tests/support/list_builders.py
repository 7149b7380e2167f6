"""Lists as values, for mirrors whose certificates are any octets."""

from pathlib import Path

from smki_sync.mirror.journal import JournalEntry
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.revocation import ListArrival
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import KeyId
from smki_sync.model.extract import ListKind, RevocationList, Revoked
from support.mirror_builders import ISSUER, NOW, november, serial_of

KEY = KeyId("41AAAAAAAAAAAAAA")
OTHER_KEY = KeyId("42BBBBBBBBBBBBBB")
SINCE = 1_763_700_000  # 2025-11-21T04:40:00Z
SINCE_TEXT = "2025-11-21T04:40:00Z"


def arrival(
    *revoked: int,
    number: int = 1,
    issuer: str = ISSUER,
    key: KeyId = KEY,
    since: int = SINCE,
    file: str = "CRL.gz",
    next_update: int | None = SINCE + 86_400 * 365,
) -> ListArrival:
    """A good list that revokes certificates by their numbers."""
    found = RevocationList(
        issuer=issuer,
        key_id=key,
        number=number,
        this_update=since,
        next_update=next_update,
        revoked=tuple(Revoked(serial_of(n), since, "key_compromise") for n in revoked),
        der=f"list {number} of {issuer}".encode(),
    )
    return ListArrival(file=file, kind=ListKind.CRL, signer=key, list=found, at=utc(NOW))


def revoke(path: Path, one: ListArrival, day: int = 20) -> list[JournalEntry]:
    """Bring a list into force in a finished generation."""
    with MirrorStore(path) as store:
        return store.apply_list(one, day=november(day))
