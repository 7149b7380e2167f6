"""What a restored generation must pass before anybody is pointed at it.

For: :func:`look_through`. Pages, indexes, counts and digest by one reading of the file; questions as people
ask them, for some certificates by chance; their chains, where there are trust anchors; the digest that is
known for that position, if any is. Refuses: to mend.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Final

from smki_sync.errors import MirrorDamaged, MirrorError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.held import read_rows, read_sample
from smki_sync.mirror.integrity import Damage, Recount, check_indexes, check_pages
from smki_sync.mirror.ledger import read_digest_of
from smki_sync.mirror.queries import Connection, EuiIs, SerialIs, find_certificates, open_mirror, read_stamp
from smki_sync.mirror.signature_cache import no_proofs
from smki_sync.model.identity import Eui, Serial
from smki_sync.verify.inspect import Inspector
from smki_sync.verify.judges import judge_of

SAMPLE: Final = 200
"""Certificates by chance that are asked for and verified: enough to meet any fault that is not rare."""

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A digest that a mirror is known to have had at ``position``, and ``source``: who knows it."""

    position: date
    digest: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check. ``passed``: ``None`` where it could not be made; ``detail``: what was seen."""

    name: str
    passed: bool | None
    detail: str


def known_digest(directory: MirrorDirectory, position: date) -> Known | None:
    """The digest that the mirror that is there had at a position, if it can still say so."""
    try:
        if directory.current() is None:
            return None
        with open_mirror(directory.link) as db:
            stamp = read_stamp(db)
            digest = stamp.digest if stamp.position == position else read_digest_of(db, position)
    except MirrorError:
        return None
    return (digest and Known(position=position, digest=digest, source="the mirror before")) or None


def look_through(
    generation: Path,
    *,
    known: Callable[[date], Known | None],
    unlisted: str,
    anchors: tuple[bytes, ...],
    at: datetime,
    step: Step,
    chance: Random,
) -> tuple[Check, ...]:
    """Check a generation; raises :class:`MirrorDamaged` where it contradicts itself or does not answer.

    ``known``: gives the digest that is known for a position. ``unlisted``: the digest before the lists on
    offer were applied: what is known may be older than they are. ``at``: time that chains are judged by.
    """
    with open_mirror(generation) as db:
        step("looking it through")
        damages = [*check_pages(db), *check_indexes(db), *_recounted(db)]
        if damages:
            raise _unfit(generation, damages[0].detail)
        stamp = read_stamp(db)
        step("asking it")
        asked = _ask(generation, db, chance)
        return (
            Check(name="file", passed=True, detail="pages, indexes, counts and digest agree with the rows"),
            Check(name="queries", passed=True, detail=f"{asked} certificates asked for and answered"),
            _against(known(stamp.position), stamp.digest, unlisted),
            _chains(db, anchors, at, chance),
        )


def _recounted(db: Connection) -> Iterator[Damage]:
    recount = Recount()
    for row in read_rows(db):
        recount.take(row)
    yield from recount.against(db)


def _ask(generation: Path, db: Connection, chance: Random) -> int:
    rows = read_sample(db, SAMPLE, chance, any_status=False)
    for row in rows:
        by_serial, by_eui = SerialIs(serials=(Serial(row.serial),)), EuiIs(eui=Eui(row.eui or ""))
        for identity in (by_serial, by_eui) if row.eui else (by_serial,):
            if row.der not in {found.der for found in find_certificates(db, identity)}:
                raise _unfit(generation, f"it does not answer for serial {row.serial}")
    return len(rows)


def _against(known: Known | None, digest: str, unlisted: str) -> Check:
    if known is None:
        return Check(name="digest", passed=None, detail="none is known for this position")
    same = known.digest in (digest, unlisted)
    detail = f"{'the same as' if same else 'another than'} that of {known.source} at {known.position}"
    return Check(name="digest", passed=same, detail=detail)


def _chains(db: Connection, anchors: tuple[bytes, ...], at: datetime, chance: Random) -> Check:
    if not anchors:
        return Check(name="chains", passed=None, detail="no trust anchors are configured")
    rows = read_sample(db, SAMPLE, chance, any_status=False)
    with no_proofs() as proofs:
        tally = Inspector(judge_of(db, anchors, at), proofs).inspect(rows).tally
    detail = f"{tally.checked - tally.faulty} of {tally.checked} certificates lead to a trust anchor"
    return Check(name="chains", passed=not tally.faulty, detail=detail)


def _unfit(generation: Path, why: str) -> MirrorDamaged:
    return MirrorDamaged(
        f"the restored generation {generation.name} is not sound: {why}",
        hint="It was removed; what was there before stands. Look at the disk's health, then run again.",
        code="restore-unsound",
    )
