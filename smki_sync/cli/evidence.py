"""The output of `show --as-of`: the state of certificates on a past day, with evidence."""

import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from hashlib import sha256
from typing import Final

from smki_sync.cli.certificate_view import ShowRequest, headline, link_in, parse_role
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import Json, ProgressCounter, print_json, print_message, print_text, schema_of
from smki_sync.config.file import lookup_settings_here
from smki_sync.errors import UsageError
from smki_sync.lookup.as_of import PastCertificate, PastMirror, end_of, newest_first
from smki_sync.lookup.identity import FileCertificate, parse_identity
from smki_sync.mirror.evidence import HistoryLine, SourceFile
from smki_sync.mirror.queries import (
    Certificate,
    Connection,
    SerialIs,
    find_certificates,
    open_mirror,
    read_position,
)
from smki_sync.model.plan import Position
from smki_sync.text import wrapped
from smki_sync.timestamps import utc
from smki_sync.x509.der import to_pem


def parse_past_day(text: str, now: datetime) -> date:
    """Parse the date of --as-of, which must have ended."""
    try:
        day = date.fromisoformat(text)
    except ValueError as exc:
        raise UsageError(f"--as-of: {text!r:.40} is not a date.", hint="Write YYYY-MM-DD.") from exc
    if day >= now.date():
        raise UsageError(f"--as-of: {day} has not ended in UTC.", hint="Name a past day.")
    return day


def render_evidence(request: ShowRequest, text: str) -> Exit:
    """Print the state on a past day; return :data:`Exit.FINDING` if no certificate was usable then."""
    now = now_here()
    day = parse_past_day(text, now)
    settings = lookup_settings_here(mirror=request.mirror, config=request.config)
    with ProgressCounter(sys.stderr) as progress, open_mirror(link_in(settings.mirror)) as db:
        past = PastMirror(db, day)
        found = _find(db, request, past, progress)
        answers = [] if past.gap else newest_first(map(past.answer, found))
        position = read_position(db)
    usable = any(one.usable for one in answers)
    if request.as_json:
        print_json(evidence_document(request, past, answers, position, now))
    else:
        _print_evidence(request, past, answers, position)
    return Exit.OK if usable else Exit.FINDING


def _find(
    db: Connection, request: ShowRequest, past: PastMirror, progress: ProgressCounter
) -> list[Certificate]:
    """Return the certificates of any status that the identity names; a file names them by their bytes."""
    role, found = parse_role(request.role), dict[tuple[str, str], Certificate]()
    for one in parse_identity(request.identity):
        identity = SerialIs(serials=(one.serial,)) if isinstance(one, FileCertificate) else one.identity
        matches = find_certificates(
            db, identity, past.rule, usage=request.usage, role=role, any_status=True, progress=progress
        )
        for c in matches:
            if not isinstance(one, FileCertificate) or c.der == one.der:
                found[c.issuer, c.serial] = c
    return list(found.values())


def evidence_document(
    request: ShowRequest,
    past: PastMirror,
    answers: Sequence[PastCertificate],
    position: Position,
    now: datetime,
) -> Json:
    """Return the record of ``show --as-of --json``, which can be archived."""
    usable = any(one.usable for one in answers)
    return {
        "schema": schema_of("evidence"),
        "outcome": "not-covered" if past.gap else "usable" if usable else "not-usable",
        "identity": request.identity,
        "as_of": past.day.isoformat(),
        "until": utc(end_of(past.day)),
        "made": utc(now),
        "position": position.day.isoformat(),
        "unproven_since": position.unproven.since.isoformat() if position.unproven else None,
        "journal_from": past.coverage.first.isoformat(),
        "lineage": past.coverage.lineage,
        "gap": past.gap or None,
        "certificates": [_answer_document(one) for one in answers],
    }


def _answer_document(one: PastCertificate) -> Json:
    c = one.certificate
    fields = c._asdict()
    return {
        **{name: fields[name] for name in _FACTS},
        "sha256": sha256(c.der).hexdigest(),
        "pem": to_pem(c.der),
        "usable": one.usable,
        "why": one.why or None,
        "status": one.state.status,
        "in_use": one.state.in_use,
        "withdrawn_by": _source(one.state.withdrawn),
        "revoked_by": _source(one.state.revoked),
        "stated_by": _source(one.statement),
        "recorded": None
        if one.mirror_state is None
        else {"state": one.mirror_state.words, "in_use": one.mirror_state.in_use},
        "since": [
            {
                "sequence": line.sequence,
                "date": line.day,
                "change": line.change,
                "from": line.before,
                "to": line.after,
                "recorded": line.recorded_at,
                "by": _source(line),
            }
            for line in one.since
        ],
    }


_FACTS: Final = (
    *("eui", "kind", "role", "usage", "serial", "issuer", "subject", "not_before", "not_after", "ski"),
)
"""Fields of a certificate that do not change."""


def _source(found: HistoryLine | SourceFile | None) -> Json | None:
    if found is None:
        return None
    source = found.source if isinstance(found, HistoryLine) else found
    return {"file": source.name, "sha256": source.sha256 or None, "applied": source.applied or None}


def _print_evidence(
    request: ShowRequest, past: PastMirror, answers: Sequence[PastCertificate], position: Position
) -> None:
    if past.gap:
        print_message("\n".join(wrapped(past.gap)))
        return
    if not answers:
        print_message("\n".join(wrapped(f"No certificate of {request.identity} is in the mirror.")))
    for number, one in enumerate(answers):
        print_text(("\n" if number else "") + headline(one.certificate))
        result = "usable" if one.usable else f"NOT usable: {one.why}"
        print_text(
            "\n".join(wrapped(f"{result} (end of {past.day}, UTC)", indent="  ")),
            colour="green" if one.usable else "yellow",
        )
        print_text("\n".join(_lines(one)))
    unproven = f", UNPROVEN since {position.unproven.since}" if position.unproven else ""
    print_text(f"\nmirror at position {position.day}{unproven}; journal from {past.coverage.first}")


def _lines(one: PastCertificate) -> Iterator[str]:
    """Yield the evidence, one fact per paragraph."""
    c = one.certificate
    yield from _fact("serial", c.serial)
    yield from _fact("status", one.state.words)
    yield from _fact("valid", f"{c.not_before} to {c.not_after}")
    if one.statement:
        source = one.statement
        yield from _fact("stated by", f"{source.name}, SHA-256 {source.sha256}, applied {source.applied}")
    if one.mirror_state:
        yield from _fact(
            "recorded", f"by the end of that day, this mirror had recorded: {one.mirror_state.words}"
        )
    for line in one.since:
        change = f"{line.before or '-'} > {line.after or '-'}"
        yield from _fact(
            "since", f"{line.day} {line.change} ({change}) by {line.source.name}, recorded {line.recorded_at}"
        )
    if not one.since:
        yield from _fact("since", "no change")


def _fact(name: str, value: str) -> list[str]:
    return wrapped(f"{name:<11} {value}", indent="  ", hanging=12)
