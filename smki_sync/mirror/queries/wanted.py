"""Filters, combined, and every certificate that passes them, as a stream.

For: ``find``, ``export``, and whoever embeds the mirror. Organisations, authorities and roles have an
index; anything else reads every row, a slice at a time, and the first that passes is handed out at once.
Refuses: to sort, to collect, to count beforehand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import islice
from typing import Final

import apsw

from smki_sync.mirror.fingerprints import DEVICE
from smki_sync.mirror.queries.row import COLUMNS, Certificate, certificate_of
from smki_sync.mirror.queries.slices import Told, nobody, slices
from smki_sync.mirror.schema import CERTIFICATES, IN_USE, KINDS, Value
from smki_sync.model.certificate import Kind, Usage

_EPOCH: Final = date(1970, 1, 1).toordinal()


class Standing(StrEnum):
    """How a certificate stands: the Repository's last word, or withdrawn: no longer listed by a full.

    Revoked is also what a list revokes, whatever that word is.
    """

    PENDING = "P"
    IN_USE = "I"
    NOT_IN_USE = "N"
    EXPIRED = "E"
    REVOKED = "R"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a certificate must be to pass: all of it. Empty, or ``None``, asks for nothing.

    ``standings``: In-Use only where empty, unless ``any_status``. ``issuer``: a name (RFC 4514), or part
    of one in any case where no issuer has it whole. ``changed_since``: date of the extract that last
    changed it. ``ends_before``: end of validity in seconds since 1970, UTC.
    """

    kinds: tuple[Kind, ...] = ()
    standings: tuple[Standing, ...] = ()
    any_status: bool = False
    usage: Usage | None = None
    role: int | None = None
    issuer: str | None = None
    changed_since: date | None = None
    ends_before: int | None = None


def find(
    db: apsw.Connection, wanted: Wanted, *, limit: int | None = None, told: Told = nobody
) -> Iterator[Certificate]:
    """Everything that passes, at most ``limit``; memory does not grow with it.

    ``told``: how many rows have been read, and of how many, where every row must be.
    """
    terms = list(_terms(wanted))
    values = {name: value for _, given in terms for name, value in given.items()}
    where = " AND ".join(["TRUE", *(term for term, _ in terms)])
    rows = _narrow(db, where, values) if _is_few(wanted) else _every(db, where, values, told)
    return islice(map(certificate_of, rows), limit)


def read_issuers(db: apsw.Connection) -> list[str]:
    """The names of all issuers (RFC 4514)."""
    return [name for (name,) in db.execute("SELECT name FROM issuer ORDER BY name")]


def _is_few(wanted: Wanted) -> bool:
    """Whether an index that leaves devices out has the answer."""
    return wanted.role is not None or _leaves_devices_out(wanted)


def _leaves_devices_out(wanted: Wanted) -> bool:
    return bool(wanted.kinds) and Kind.DEVICE not in wanted.kinds


_ISSUER: Final = """c.issuer IN (
SELECT id FROM issuer WHERE name = :issuer OR (instr(lower(name), lower(:issuer)) > 0
   AND NOT EXISTS (SELECT 1 FROM issuer WHERE name = :issuer)))"""


def _terms(wanted: Wanted) -> Iterator[tuple[str, dict[str, Value]]]:
    """Each condition with its values."""
    if _leaves_devices_out(wanted):
        yield f"c.kind <> {DEVICE}", {}  # in these words: the index holds no device
    if wanted.kinds:
        yield f"c.kind IN ({', '.join(str(KINDS.index(kind)) for kind in wanted.kinds)})", {}
    if wanted.standings or not wanted.any_status:
        yield _standing(wanted.standings or (Standing.IN_USE,)), {}
    if wanted.usage:
        yield "c.usage = :usage", {"usage": wanted.usage.value}
    if wanted.role is not None:
        yield "c.role = :role", {"role": wanted.role}
    if wanted.issuer is not None:
        yield _ISSUER, {"issuer": wanted.issuer}
    if wanted.changed_since:
        yield "c.last_changed >= :since", {"since": wanted.changed_since.toordinal() - _EPOCH}
    if wanted.ends_before is not None:
        yield "c.not_after < :ends", {"ends": wanted.ends_before}


def _standing(standings: tuple[Standing, ...]) -> str:
    """Any of these: a withdrawn one keeps its last status, and is found as withdrawn alone."""
    said = ", ".join(f"'{s.value}'" for s in standings if s not in (Standing.IN_USE, Standing.WITHDRAWN))
    arms = [
        *([IN_USE] if Standing.IN_USE in standings else []),
        *(["c.withdrawn IS NOT NULL"] if Standing.WITHDRAWN in standings else []),
        *(["c.revoked IS NOT NULL"] if Standing.REVOKED in standings else []),
        *([f"(c.status IN ({said}) AND c.withdrawn IS NULL)"] if said else []),
    ]
    return f"({' OR '.join(arms)})"


def _narrow(db: apsw.Connection, where: str, values: dict[str, Value]) -> Iterator[tuple[Value, ...]]:
    return db.execute(f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE {where} ORDER BY c.id)", values)


def _every(
    db: apsw.Connection, where: str, values: dict[str, Value], told: Told
) -> Iterator[tuple[Value, ...]]:
    sql = (
        f"SELECT {COLUMNS} FROM ({CERTIFICATES} WHERE c.id BETWEEN :low AND :high AND {where} ORDER BY c.id)"
    )
    for low, high in slices(db, told):
        yield from db.execute(sql, {**values, "low": low, "high": high})
