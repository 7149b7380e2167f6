"""Check a restored generation before it takes over."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Final

from smki_sync.errors import MirrorDamaged, MirrorError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.inspection import read_rows, read_sample
from smki_sync.mirror.integrity import CountCheck, Damage, check_indexes, check_pages
from smki_sync.mirror.ledger import read_digest_of, read_unproven
from smki_sync.mirror.queries import (
    Connection,
    EuiIs,
    SerialIs,
    find_certificates,
    open_mirror,
    read_stamp,
)
from smki_sync.mirror.signature_cache import empty_signature_cache
from smki_sync.model.certificate import Eui, Serial
from smki_sync.usability import UsabilityRule
from smki_sync.verify.inspector import FoundProblem, Inspector, chain_validator

SAMPLE: Final = 200
"""Certificates in a random sample that is queried and verified: enough to meet any error that is not rare."""

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedDigest:
    """A digest that a mirror is known to have had at ``position``, and the ``source`` of that knowledge.

    ``is_proven``: whether the mirror was proven: two proven mirrors at one position have the same digest.
    """

    position: date
    digest: str
    source: str
    is_proven: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCheck:
    """One check. ``passed``: ``None`` if it could not be made. ``detail``: the result."""

    name: str
    passed: bool | None
    detail: str


def expected_digest(directory: MirrorDirectory, position: date) -> ExpectedDigest | None:
    """Return the digest that the previous mirror had at a position, if it can be read."""
    try:
        if directory.current() is None:
            return None
        with open_mirror(directory.link) as db:
            stamp = read_stamp(db)
            digest = stamp.digest if stamp.position == position else read_digest_of(db, position)
            is_proven = read_unproven(db) is None
    except MirrorError:
        return None
    if not digest:
        return None
    return ExpectedDigest(position=position, digest=digest, source="the mirror before", is_proven=is_proven)


def check_generation(
    generation: Path,
    *,
    known: Callable[[date], ExpectedDigest | None],
    unlisted: str,
    anchors: tuple[bytes, ...],
    at: datetime,
    step: Step,
    chance: Random,
) -> tuple[RestoreCheck, ...]:
    """Check a generation; raises :class:`MirrorDamaged` if it contradicts itself or does not answer.

    ``known``: returns the digest that is known for a position. ``unlisted``: the digest before the revocation
    lists were applied, because the known one may be older than they are. ``at``: time for the chains.
    """
    with open_mirror(generation) as db:
        step("checking pages, indexes and counts")
        damages = [*check_pages(db), *check_indexes(db), *_recounted(db)]
        if damages:
            raise _unfit(generation, damages[0].detail)
        stamp, is_proven = read_stamp(db), read_unproven(db) is None
        step("querying a sample")
        queried = _query_sample(generation, db, chance)
        return (
            RestoreCheck(
                name="file", passed=True, detail="pages, indexes, counts and digest agree with the rows"
            ),
            RestoreCheck(
                name="queries", passed=True, detail=f"{queried} certificates were found by identity"
            ),
            _check_digest(known(stamp.position), stamp.digest, unlisted, is_proven=is_proven),
            _check_chains(db, anchors, at, chance),
        )


def _recounted(db: Connection) -> Iterator[Damage]:
    recount = CountCheck()
    for row in read_rows(db):
        recount.take(row)
    yield from recount.against(db)


_ANY_TIME: Final = UsabilityRule(at="1970-01-01T00:00:00Z")
"""The sample asks which certificates are found, not whether they are usable."""


def _query_sample(generation: Path, db: Connection, chance: Random) -> int:
    rows = read_sample(db, SAMPLE, chance, any_status=False)
    for row in rows:
        by_serial, by_eui = SerialIs(serials=(Serial(row.serial),)), EuiIs(eui=Eui(row.eui or ""))
        for identity in (by_serial, by_eui) if row.eui else (by_serial,):
            if row.der not in {found.der for found in find_certificates(db, identity, _ANY_TIME)}:
                raise _unfit(generation, f"it does not answer for serial {row.serial}")
    return len(rows)


def _check_digest(
    known: ExpectedDigest | None, digest: str, unlisted: str, *, is_proven: bool
) -> RestoreCheck:
    if known is None:
        return RestoreCheck(name="digest", passed=None, detail="none is known for this position")
    same = known.digest in (digest, unlisted)
    detail = f"{'the same as' if same else 'another than'} that of {known.source} at {known.position}"
    if not same and not (is_proven and known.is_proven):
        detail += ", and only proven mirrors must have the same"
        return RestoreCheck(name="digest", passed=None, detail=detail)
    return RestoreCheck(name="digest", passed=same, detail=detail)


def _check_chains(db: Connection, anchors: tuple[bytes, ...], at: datetime, chance: Random) -> RestoreCheck:
    if not anchors:
        return RestoreCheck(name="chains", passed=None, detail="no trust anchors are configured")
    rows = read_sample(db, SAMPLE, chance, any_status=False)
    with empty_signature_cache() as signature_cache:
        tally = Inspector(chain_validator(db, anchors, at), signature_cache).inspect(rows).tally
    detail = f"{tally.checked - tally.faulty} of {tally.checked} certificates lead to a trust anchor"
    errors = [one for one in tally.found if one.finding.is_error]
    if errors:
        detail += f". First error: {_problem_text(errors[0])}"
    return RestoreCheck(name="chains", passed=not tally.faulty, detail=detail)


def _problem_text(found: FoundProblem) -> str:
    """Name a certificate and what is wrong with it."""
    one, finding = found.subject, found.finding
    detail = f" ({finding.detail})" if finding.detail else ""
    return f"serial {one.serial} of {one.issuer}: {finding.code.words}{detail}"


def _unfit(generation: Path, why: str) -> MirrorDamaged:
    return MirrorDamaged(
        f"the restored generation {generation.name} is damaged: {why}",
        hint="It was removed, and the mirror is unchanged. Check the health of the disk, then run again.",
        code="restore-unsound",
    )
