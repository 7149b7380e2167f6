"""From a mirror, trust anchors and a time to the one who judges.

For: whoever verifies. Authorities are read from the mirror whatever their status, because what they have
issued outlives their being In-Use. Refuses: to judge.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from smki_sync.mirror.held import Db, HeldRow, find_by_key_id, read_authorities
from smki_sync.model.certificate import Status
from smki_sync.model.identity import KeyId
from smki_sync.trust.anchors import anchors_of
from smki_sync.trust.authorities import Authorities, Authority, Standing, authority_of
from smki_sync.trust.chain import Judge


def judge_of(db: Db, anchors: Iterable[bytes], at: datetime, *, among_end_entities: bool = True) -> Judge:
    """The judge over what ``db`` holds. ``anchors``: trust anchors as DER.

    ``among_end_entities``: whether an issuer that is no authority is looked for, to name it: that may cost
    a pass through the mirror.
    """

    def find(key_id: KeyId) -> Iterator[Authority]:
        return authorities_in(find_by_key_id(db, key_id) if among_end_entities else ())

    held = authorities_in(read_authorities(db))
    return Judge(Authorities(held, anchors_of(anchors), find=find), int(at.timestamp()))


def authorities_in(rows: Iterable[HeldRow]) -> Iterator[Authority]:
    """Rows as issuers; one whose certificate cannot be read issues nothing, and has a finding of its own."""
    for row in rows:
        try:
            yield authority_of(row.der, _standing(row))
        except ValueError:
            continue


def _standing(row: HeldRow) -> Standing:
    if row.in_use:
        return Standing.IN_USE
    is_revoked = row.status == Status.REVOKED or row.revoked is not None
    return Standing.REVOKED if is_revoked else Standing.NOT_IN_USE
