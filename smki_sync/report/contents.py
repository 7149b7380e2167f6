"""What the mirror holds: certificates, files, quarantine, lists.

For: the parts of the page that are tables. Refuses: names from outside as anything but text.
"""

from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element

from smki_sync.cli.trusted import Trusted
from smki_sync.mirror.ledger import utc
from smki_sync.model.certificate import ROLE_NAMES, Kind, Status
from smki_sync.report.data import SHOWN, PageFacts
from smki_sync.report.markup import Node, count, el, facts_list, table
from smki_sync.text import in_bytes, in_time

_STATUSES: Final = {
    Status.IN_USE.value: "In-Use",
    **{status.value: status.words for status in Status if status is not Status.IN_USE},
    "listed": "Revoked by a list",
    "withdrawn": "Withdrawn",
}


def kinds(facts: PageFacts) -> list[Element]:
    """Counts by kind and status."""
    held = facts.contents.holdings
    if not held:
        return [el("p", "The mirror holds no certificates.")]
    counts = {(h.kind, h.status): h.count for h in held}
    kinds = dict.fromkeys(h.kind for h in held)
    statuses = [s for s in _STATUSES if any((kind, s) in counts for kind in kinds)]
    rows = [
        (kind.value, *(f"{counts.get((kind, s), 0):,}" for s in statuses), f"{_sum(counts, kind):,}")
        for kind in kinds
    ]
    head = ("Kind", *(_STATUSES[s] for s in statuses), "All")
    return [table("By kind and status", head, rows, numbers=len(statuses) + 1)]


def _sum(counts: dict[tuple[Kind, str], int], wanted: Kind) -> int:
    return sum(count for (kind, _), count in counts.items() if kind == wanted)


def roles(facts: PageFacts) -> list[Element]:
    """Organisations and authorities by Remote Party Role."""
    rows = [(_role(r.role), r.kind.value, f"{r.in_use:,}", f"{r.total:,}") for r in facts.contents.roles]
    if not rows:
        return []
    head = ("Remote Party Role", "Kind", "In-Use", "All")
    return [table("Organisations and authorities by role", head, rows, numbers=2)]


def _role(role: int | None) -> str:
    return "none" if role is None else f"{role} {ROLE_NAMES.get(role, 'without a name')}"


def files(facts: PageFacts) -> list[Element]:
    """The files applied last."""
    ledger = facts.contents.ledger
    if not ledger:
        return [el("p", "No file was applied.")]
    rows = [
        (
            f.name,
            f"{f.records:,}",
            f"{f.inserted:,}",
            f"{f.updated:,}",
            f"{f.withdrawn:,}",
            f"{f.quarantined:,}",
            in_bytes(f.size),
            in_time(f.seconds),
        )
        for f in reversed(ledger[-SHOWN:])
    ]
    head = ("File", "Records", "New", "Changed", "Withdrawn", "Quarantined", "Size", "Took")
    return [table(f"The last {len(rows)} of {count(len(ledger), 'file')}", head, rows, numbers=len(head) - 1)]


def quarantine(facts: PageFacts) -> list[Element]:
    """What could not be understood, by reason, and the newest one by one."""
    reasons = facts.contents.quarantine
    if not reasons:
        return [el("p", "The quarantine is empty.")]
    sums = [(q.reason, f"{q.open:,}", f"{q.total:,}") for q in reasons]
    held = [
        (s.file, str(s.number), s.reason, s.accepted or "no", el("span", s.detail, class_="long"))
        for s in facts.contents.set_aside
    ]
    total = sum(q.total for q in reasons)
    return [
        table("Records by reason", ("Reason", "Not accepted", "All"), sums, numbers=2),
        table(
            f"The newest {len(held)} of {count(total, 'record')}",
            ("File", "Record", "Reason", "Accepted", "What was found"),
            held,
        ),
    ]


def trust(facts: PageFacts) -> list[Element]:
    """What the mirror is anchored to, how its last whole verification ended, lists in force."""
    return [facts_list(_verified(facts.trusted)), *_lists(facts)]


def _verified(trusted: Trusted) -> list[tuple[str, Node]]:
    anchors = f"{trusted.anchors}" if trusted.anchors else "none: nothing is anchored"
    last = trusted.last
    if last is None:
        return [
            ("Trust anchors", anchors),
            ("Last verified as a whole", "not that is known; smki-sync verify does"),
        ]
    found = f"{count(last.errors, 'error')} and {count(last.warnings, 'warning')}"
    return [
        ("Trust anchors", anchors),
        (
            "Last verified as a whole",
            f"{last.at}, as of {last.position}{', replaced since' if trusted.replaced else ''}",
        ),
        ("Found", el("span", found, class_=f"pill {'bad' if last.errors else 'good'}")),
        ("Certificates verified", f"{last.certificates:,}{'' if last.anchored else ', not anchored'}"),
    ]


def _lists(facts: PageFacts) -> list[Element]:
    if not facts.contents.lists:
        return [el("p", "The mirror holds no revocation list.")]
    rows = [
        (
            held.file,
            held.kind.value.upper(),
            held.issuer,
            "none" if held.number is None else str(held.number),
            _time(held.this_update),
            _next(held.next_update, facts.made),
            f"{held.entries:,}",
        )
        for held in facts.contents.lists
    ]
    head = ("List", "Kind", "Signed by", "Number", "Issued", "Next due", "Revoked")
    return [table("Revocation lists in force", head, rows, numbers=1)]


def _next(due: int | None, now: datetime) -> Node:
    if due is None:
        return "does not say"
    return (
        _time(due) if due > now.timestamp() else el("span", f"OVERDUE since {_time(due)}", class_="pill bad")
    )


def _time(seconds: int) -> str:
    return utc(datetime.fromtimestamp(seconds, UTC))
