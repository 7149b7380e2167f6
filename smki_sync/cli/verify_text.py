"""What a verification found, as the JSON that scripts rely on and as text for people.

For: ``verify``. Refuses: to print, to decide.
"""

from collections.abc import Iterator

from smki_sync.cli.documents import Json, schema_of
from smki_sync.mirror.integrity import Aspect
from smki_sync.mirror.ledger import utc
from smki_sync.text import block, in_time, visible
from smki_sync.trust.findings import Code, Severity
from smki_sync.verify.listing import document_of
from smki_sync.verify.report import Found, Verification

NOTHING_ANCHORED = (
    "none: trust.anchors is not configured. Chains were followed as far as the mirror's own authorities go,"
    " which proves that it agrees with itself, and no more."
)

_UNANCHORED = (
    "Where a chain ends at a root that you trust, name that root in trust.anchors, too: the OCA's and the"
    " DCA's are two."
)

_NAMED = 3
"""Certificates that are named below each code; the file of `--list` has all."""


def document(done: Verification) -> Json:
    """The document of ``verify --json``."""
    tally = done.tally
    held = {damage.aspect for damage in done.damages}
    return {
        "schema": schema_of("verify"),
        "outcome": "sound" if done.is_sound else "findings",
        "at": utc(done.at),
        "position": done.position.isoformat(),
        "anchored": done.anchors > 0,
        "anchors": done.anchors,
        "sample": done.sample,
        "any_status": done.any_status,
        "certificates": {
            "checked": tally.checked,
            "anchored": tally.anchored,
            "with_errors": tally.faulty,
            "with_warnings": tally.odd,
        },
        "signatures": {"proven": tally.proven, "remembered": tally.remembered, "kept": done.kept},
        "aspects": {
            aspect.value: "damaged"
            if aspect in held
            else "sound"
            if aspect in done.aspects
            else "not-checked"
            for aspect in Aspect
        },
        "damages": [{"aspect": d.aspect.value, "detail": d.detail} for d in done.damages],
        "errors": done.errors,
        "warnings": done.warnings,
        "codes": [
            {
                "code": code.value,
                "severity": code.severity.value,
                "step": int(code.step),
                "count": count,
                "meaning": code.words,
                "rule": code.step.rule,
            }
            for code, count in sorted(tally.counts.items(), key=lambda pair: (pair[0].step, pair[0]))
        ],
        "examples": [document_of(found) for found in tally.found],
        "seconds": round(done.seconds, 3),
    }


def text(done: Verification) -> str:
    """The same for people, in at most 80 columns."""
    return "\n".join([*block(_headline(done)), *_facts(done), *_damages(done), *_codes(done)])


def _headline(done: Verification) -> str:
    what = f"the mirror as of {done.position}, judged by {utc(done.at)}"
    if not done.is_sound:
        return f"NOT sound: {what}; what was found stands below."
    loose = "" if done.anchors else " in itself, but nothing is anchored"
    sample = "The sample is sound" if done.sample is not None else "Sound"
    return f"{sample}{loose}: {what}."


def _facts(done: Verification) -> Iterator[str]:
    tally = done.tally
    kind = "by chance" if done.sample is not None else "of any status" if done.any_status else "In-Use"
    yield from _fact("certificates", f"{tally.checked:,} {kind}, {tally.faulty:,} with errors")
    kept = "" if done.kept else ", and none will be"
    signatures = f"{tally.proven:,} proven now, {tally.remembered:,} remembered{kept}"
    yield from _fact("signatures", signatures)
    if done.anchors:
        trusted = f"{done.anchors} trusted; {tally.anchored:,} certificates lead to one"
        yield from _fact("anchors", trusted)
    else:
        yield from _fact("anchors", NOTHING_ANCHORED)
    if done.aspects:
        damaged = {damage.aspect for damage in done.damages}
        held = {aspect: "DAMAGED" if aspect in damaged else "sound" for aspect in done.aspects}
        words = [f"{aspect.value} {held.get(aspect, 'not checked')}" for aspect in Aspect]
        yield from _fact("mirror", ", ".join(words))
    else:
        yield from _fact("mirror", "pages, indexes, counts and digest not checked: that takes --all")
    yield from _fact("took", in_time(done.seconds))


def _fact(name: str, words: str) -> list[str]:
    return block(f"{name:<13} {words}", indent="  ", hanging=14)


def _damages(done: Verification) -> Iterator[str]:
    for damage in done.damages:
        yield from block(f"ERROR {damage.aspect.value}: {damage.detail}")
    if done.damages:
        yield from block(
            "The next `smki-sync sync` builds the mirror anew, unless policy.repair_damage is off.",
            indent="  ",
        )


def _codes(done: Verification) -> Iterator[str]:
    for code, count in sorted(done.tally.counts.items(), key=lambda pair: (pair[0].step, pair[0])):
        mark = "ERROR" if code.severity is Severity.ERROR else "warning"
        yield from block(
            f"{mark} {code.value}, {count:,}: {code.words} (step {int(code.step)}: {code.step.rule})"
        )
        of_code = [found for found in done.tally.found if found.finding.code is code]
        for found in of_code[:_NAMED]:
            yield from block(_named(found), indent="  ")
        if count > _NAMED:
            yield f"  and {count - _NAMED:,} more; --list FILE writes them all"
        if code is Code.NOT_ANCHORED:
            yield from block(_UNANCHORED, indent="  ")


def _named(found: Found) -> str:
    subject, detail = found.subject, found.finding.detail
    who = subject.eui or subject.name or "no name"
    return visible(f"{subject.kind} {who}, serial {subject.serial}{f': {detail}' if detail else ''}")
