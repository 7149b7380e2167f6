"""Check a list of subjects: one verdict for each line and each key usage that it needs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, NamedTuple, assert_never

from smki_sync.lookup.as_of import PastMirror, past_matches
from smki_sync.lookup.identity import FileCertificate, Reading
from smki_sync.lookup.inputs import InputLine
from smki_sync.lookup.verdicts import CheckAnswer, CheckVerdict, answer_for, choose
from smki_sync.mirror.batch_queries import Matches, ProgressCallback, find_many, keys_of
from smki_sync.mirror.connection import holds_devices
from smki_sync.mirror.queries import (
    Certificate,
    Connection,
    EuiIs,
    Fingerprint,
    Identity,
    SerialIs,
    SkiIs,
    ignore_progress,
)
from smki_sync.model.certificate import ROLE_NAMES, Usage
from smki_sync.usability import UsabilityRule

BATCH_LINES: Final = 1_000
"""Lines that are looked up together."""
SCAN_LINES: Final = 20_000
"""Lines of a batch that reads every device, because devices are not indexed by key identifier and hash."""


USAGE_TEXTS: Final = {Usage.DIGITAL_SIGNING: "digital signing", Usage.KEY_AGREEMENT: "key agreement"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """``rule``: with the time of use. ``need``: usages that an EUI-64 must have. ``role``: ``None``: any.

    ``past``: to answer for the end of a past day.
    """

    rule: UsabilityRule
    need: tuple[Usage, ...] = tuple(Usage)
    role: int | None = None
    past: PastMirror | None = None


class CheckedLine(NamedTuple):
    """A line with its answers: one per needed usage of an EUI-64, otherwise one."""

    line: InputLine
    answers: tuple[CheckAnswer, ...]


def check_lines(
    db: Connection,
    lines: Iterable[InputLine],
    options: CheckOptions,
    *,
    progress: ProgressCallback = ignore_progress,
) -> Iterator[CheckedLine]:
    """Yield each line with its answers, in order; uses constant memory.

    ``progress``: called with progress while every device is read.
    """
    rest = iter(lines)
    while batch := list(islice(rest, BATCH_LINES)):
        if not holds_devices(db) and any(_may_scan(line) for line in batch):
            batch += islice(rest, SCAN_LINES - BATCH_LINES)
        matches = find_many(
            db, [*chain.from_iterable(map(_identities, batch))], options.rule, progress=progress
        )
        if options.past:
            matches = past_matches(options.past, matches)
        for line in batch:
            yield CheckedLine(line, _answers(line, matches, options))


def _may_scan(line: InputLine) -> bool:
    return any(
        isinstance(one, Reading) and isinstance(one.identity, SkiIs | Fingerprint) for one in line.readings
    )


def _identities(line: InputLine) -> Iterator[Identity]:
    for one in line.readings:
        yield one.identity if isinstance(one, Reading) else SerialIs(serials=(one.serial,))


def _answers(line: InputLine, matches: Matches, options: CheckOptions) -> tuple[CheckAnswer, ...]:
    if line.error:
        return (CheckAnswer(CheckVerdict.UNREADABLE, line.error),)
    first = line.readings[0]
    if isinstance(first, FileCertificate):
        return (_of_file(first, matches, options),)
    readings = [one for one in line.readings if isinstance(one, Reading)]
    found = [(one, certificates) for one in readings if (certificates := _matches_of(one.identity, matches))]
    if len(found) > 1:
        prefixes = " or ".join(one.prefix for one, _ in found)
        return (
            CheckAnswer(CheckVerdict.AMBIGUOUS, f"It matches in several ways: write {prefixes} before it."),
        )
    reading, certificates = found[0] if found else (first, [])
    if isinstance(reading.identity, EuiIs):
        eui = reading.identity.eui
        return tuple(_of_usage(eui, usage, certificates, options) for usage in options.need)
    return (_of_identity(reading.identity, certificates, options),)


def _matches_of(identity: Identity, matches: Matches) -> list[Certificate]:
    return [c for key in keys_of(identity) for c in matches.get(key, ())]


def _of_file(given: FileCertificate, matches: Matches, options: CheckOptions) -> CheckAnswer:
    """Compare bytes: issuer and serial number alone can be forged."""
    same_serial = _matches_of(SerialIs(serials=(given.serial,)), matches)
    same = [c for c in same_serial if c.der == given.der]
    if same:
        return _of_role(same, options) or choose(same)
    others = [c for c in same_serial if c.issuer == given.issuer]
    if others:
        why = "The mirror has other bytes for this issuer and serial number."
        return answer_for(CheckVerdict.DIFFERS, why, others[0])
    return CheckAnswer(
        CheckVerdict.UNKNOWN, f"The certificate with serial {given.serial} is not in the mirror."
    )


def _of_usage(eui: str, usage: Usage, found: Sequence[Certificate], options: CheckOptions) -> CheckAnswer:
    if not found:
        return CheckAnswer(CheckVerdict.UNKNOWN, "The EUI-64 is not in the mirror.", eui, usage)
    own = [c for c in found if c.usage == usage]
    wanted = [c for c in own if options.role in (None, c.role)]
    if not wanted:
        return CheckAnswer(CheckVerdict.MISSING, _missing_text(usage, own, options.role), eui, usage)
    return choose(wanted)


def _missing_text(usage: Usage, own: Sequence[Certificate], role: int | None) -> str:
    what = f"There is no certificate for {USAGE_TEXTS[usage]}"
    if not own or role is None:
        return f"{what}."
    roles = sorted({c.role for c in own if c.role is not None})
    others = ", ".join(role_text(one) for one in roles) or "none"
    return f"{what} with role {role_text(role)}, only with role {others}."


def role_text(role: int) -> str:
    """Return a Remote Party Role for people."""
    return f"{ROLE_NAMES.get(role, 'unknown')} ({role})"


def _of_identity(identity: Identity, found: Sequence[Certificate], options: CheckOptions) -> CheckAnswer:
    """Answer for a serial number, key identifier or hash, which names certificates of one usage."""
    if not found:
        return CheckAnswer(CheckVerdict.UNKNOWN, f"This {identity_text(identity)} is not in the mirror.")
    wrong = _of_role(found, options)
    if wrong:
        return wrong
    wanted = [c for c in found if options.role in (None, c.role)]
    if not isinstance(identity, SkiIs) and len(wanted) > 1:
        issuers = "; ".join(c.issuer for c in wanted)
        why = f"{len(wanted)} certificates have this {identity_text(identity)}. Issuers: {issuers}."
        return CheckAnswer(CheckVerdict.AMBIGUOUS, why)
    return choose(wanted)


def _of_role(found: Sequence[Certificate], options: CheckOptions) -> CheckAnswer | None:
    """Answer if no certificate has the wanted role."""
    if options.role is None or any(c.role == options.role for c in found):
        return None
    return answer_for(CheckVerdict.MISSING, f"It does not have role {role_text(options.role)}.", found[0])


def identity_text(identity: Identity) -> str:
    """Return what an identity is, in words."""
    match identity:
        case EuiIs():
            return "EUI-64"
        case SerialIs():
            return "serial number"
        case SkiIs():
            return "key identifier"
        case Fingerprint(algorithm=algorithm):
            return {"sha1": "SHA-1", "sha256": "SHA-256"}[algorithm]
        case _:
            assert_never(identity)
