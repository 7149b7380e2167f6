"""A statement that somebody sent: ``smki-sync prove --json`` in a file.

For: comparing with a mirror that lies elsewhere. Refuses: to believe a field that is not of its type; what
it does not know it leaves alone.
"""

from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from smki_sync.errors import UsageError
from smki_sync.mirror.shards import Member
from smki_sync.proof.statement import Shard

_MOST_OCTETS: Final = 1 << 30
"""A statement with every shard's certificates of 5 million is about so long; more is none."""

_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class _Counts(msgspec.Struct):
    in_use: int


class _Shard(msgspec.Struct):
    count: int
    digest: _Hash


class _Member(msgspec.Struct):
    shard: int
    serial: str
    issuer: str
    kind: str
    eui: str | None
    sha256: _Hash


class _Document(msgspec.Struct):
    schema: Literal["smki-sync/prove/1"]
    position: date
    digest: _Hash
    certificates: _Counts
    shards: list[_Shard] = []
    listed: list[int] = []
    members: list[_Member] = []


class StatementSide:
    """A statement as one side of a comparison."""

    def __init__(self, title: str, document: _Document) -> None:
        """``title``: the file's path."""
        self.title = title
        self._document = document

    @property
    def position(self) -> date:
        """As of when."""
        return self._document.position

    @property
    def digest(self) -> str:
        """64 hex digits."""
        return self._document.digest

    @property
    def in_use(self) -> int:
        """How many certificates are In-Use."""
        return self._document.certificates.in_use

    def shards(self) -> tuple[Shard, ...]:
        """As stated; none where it was made without ``--shards``."""
        return tuple(Shard(count=shard.count, digest=shard.digest) for shard in self._document.shards)

    def members(self, wanted: Collection[int]) -> Mapping[int, list[Member]]:
        """As stated, for the shards that it lists."""
        found: dict[int, list[Member]] = {n: [] for n in self._document.listed if n in wanted}
        for m in self._document.members:
            if m.shard in found:
                found[m.shard].append(Member(m.shard, m.serial, m.issuer, m.kind, m.eui, m.sha256))
        return found


def read_statement(path: Path) -> StatementSide:
    """Read a statement; raises :class:`UsageError` where the file is none."""
    try:
        if path.stat().st_size > _MOST_OCTETS:
            raise UsageError(f"{path} is too long for a statement")
        return StatementSide(str(path), msgspec.json.decode(path.read_bytes(), type=_Document))
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as exc:
        raise UsageError(
            f"{path} is neither a mirror nor a statement: {exc}",
            hint="Make a statement with `smki-sync prove --shards --json`.",
        ) from exc
