"""Pure: which certificates have a revoked authority above them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from smki_sync.model.certificate import KeyId
from smki_sync.x509.fields import normalise_name

DEPTH_LIMIT: Final = 8
"""Authorities in one chain, as in :mod:`.chain`."""

_Key = tuple[str, KeyId]
"""Normalised name and key identifier of an authority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRecord:
    """The certificate of an authority in the mirror.

    ``aki``: ``None`` if it names no key. ``revoked``: since when it is revoked, by a list or by its status,
    in seconds since 1970, UTC. ``in_use``: whether it is In-Use and not revoked.
    """

    subject: str
    serial: str
    issuer: str
    key_id: KeyId
    aki: KeyId | None
    in_use: bool
    revoked: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedAuthority:
    """An authority that is revoked itself. ``since``: seconds since 1970, UTC."""

    subject: str
    serial: str
    key_id: KeyId
    since: int


class RevokedAuthorities:
    """Answers which authority above a certificate is revoked.

    An authority is a name and a key. It counts as revoked if one of its certificates is revoked, or has
    a revoked authority above it, and none of them is In-Use without that.
    """

    def __init__(self, records: Iterable[AuthorityRecord]) -> None:
        """Take every authority of the mirror, of any status."""
        self._records: dict[_Key, list[AuthorityRecord]] = defaultdict(list)
        for record in records:
            self._records[normalise_name(record.subject), record.key_id].append(record)
        self._names: dict[str, list[_Key]] = defaultdict(list)
        for key in self._records:
            self._names[key[0]].append(key)
        found = {key: self._find(key, (key,)) for key in self._records}
        self.revoked: dict[_Key, RevokedAuthority] = {key: one for key, one in found.items() if one}

    def __bool__(self) -> bool:
        """Whether any authority is revoked."""
        return bool(self.revoked)

    def above(self, issuer: str, aki: KeyId | None) -> RevokedAuthority | None:
        """Return the revoked authority above a certificate with this issuer and issuer key.

        A certificate that names no key counts as issued by a revoked key of its issuer.
        """
        name = normalise_name(issuer)
        keys = self._names.get(name, ())
        if aki is not None:
            return self.revoked.get((name, aki))
        return next((self.revoked[key] for key in keys if key in self.revoked), None)

    def keys_of(self, name: str) -> list[tuple[KeyId | None, RevokedAuthority]]:
        """Return the revoked keys of an authority with this name. ``None``: every key that it has."""
        keys = self._names.get(normalise_name(name), ())
        found = [key for key in keys if key in self.revoked]
        if found and len(found) == len(keys):
            return [(None, self.revoked[found[0]])]
        return [(key_id, self.revoked[name, key_id]) for name, key_id in found]

    def _find(self, key: _Key, seen: tuple[_Key, ...]) -> RevokedAuthority | None:
        causes: list[RevokedAuthority] = []
        for record in self._records[key]:
            cause = self._cause(record, seen)
            if cause is None and record.in_use:
                return None
            if cause:
                causes.append(cause)
        return min(causes, key=lambda one: one.since, default=None)

    def _cause(self, record: AuthorityRecord, seen: tuple[_Key, ...]) -> RevokedAuthority | None:
        if record.revoked is not None:
            return RevokedAuthority(
                subject=record.subject, serial=record.serial, key_id=record.key_id, since=record.revoked
            )
        name = normalise_name(record.issuer)
        parents = [
            key for key in self._names.get(name, ()) if key not in seen and record.aki in (None, key[1])
        ]
        if not parents or len(seen) >= DEPTH_LIMIT:
            return None
        above = [self._find(parent, (*seen, parent)) for parent in parents]
        return above[0] if all(above) else None
