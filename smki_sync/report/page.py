"""The HTML page that shows the state of a mirror, section by section."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from xml.etree.ElementTree import Element

from smki_sync import __version__
from smki_sync.mirror.ledger import utc
from smki_sync.model.certificate import ROLE_NAMES, Kind, Status
from smki_sync.model.report import CertificateCounts
from smki_sync.report import charts
from smki_sync.report.charts import Node, count, element, facts_list, full_document, table
from smki_sync.report.data import MAX_ROWS, PageFacts
from smki_sync.status import ResyncDeadline, StatusState, TrustStatus, resync_deadline
from smki_sync.text import age_text, bytes_text, duration_text

_STATE_WORDS: Final = {
    StatusState.EMPTY: ("bad", "Empty", "There is no mirror yet. Run smki-sync sync."),
    StatusState.CURRENT: ("good", "Current", "The mirror is up to date."),
    StatusState.UNPROVEN: ("fair", "Unproven", "The next full is compared, and ends this."),
    StatusState.STALE: ("fair", "Stale", "The mirror is older than the limit."),
    StatusState.DAMAGED: ("bad", "Damaged", "The mirror cannot be read."),
}


def headline(facts: PageFacts) -> list[Element]:
    """Return the state as a word, a sentence and a colour."""
    colour, word, sentence = _STATE_WORDS[facts.status.state]
    position = facts.status.position
    as_of = f" Its position is {position}." if position else ""
    return [
        element("p", element("strong", word, class_=f"state {colour}"), f" {sentence}{as_of}", class_="lead"),
        *(
            element("p", text, class_="bad words")
            for text in (facts.status.message, facts.status.hint)
            if text
        ),
    ]


def holdings(facts: PageFacts) -> list[Element]:
    """Return state, age, counts and digest."""
    status, run = facts.status, facts.status.last_run
    counts = status.counts
    known: list[tuple[str, Node]] = [
        ("Position", f"{status.position}" if status.position else "none"),
        (
            "Age",
            age_text(status.age_hours) if status.age_hours is not None else "unknown",
        ),
        ("Last run", f"{run.at}: {run.outcome}, exit {run.exit}, {run.reason}" if run else "never"),
        ("Last success", status.last_success.at if status.last_success else "never"),
        ("Last full", f"{status.last_full}" if status.last_full else "none"),
        ("Certificates", f"{counts.total:,}, {counts.in_use:,} In-Use" if counts else "none"),
        ("Quarantined", f"{counts.quarantined:,} waiting for review" if counts else "unknown"),
        ("Proof", _proof(counts) if counts else "unknown"),
        ("Size on disk", bytes_text(status.bytes)),
        ("Set digest", element("code", counts.digest) if counts else "unknown"),
    ]
    return [facts_list(known)]


def _proof(counts: CertificateCounts) -> str:
    unproven = counts.unproven
    if unproven is None:
        return "the newest full is proven by its deltas"
    days = ", ".join(day.isoformat() for day in unproven.missing) or "none known"
    return f"UNPROVEN since {unproven.since}, missing deltas: {days}"


def deadline_section(facts: PageFacts) -> list[Element]:
    """Return how long the next delta remains in the Repository."""
    if facts.status.position is None:
        return [element("p", "The mirror has no position, so the next run needs a full extract.")]
    deadline = resync_deadline(
        facts.status.position, offer=facts.offer, window=facts.policy.window_days, today=facts.made.date()
    )
    listing = f"listed at {facts.offer.at}" if facts.offer else "the Repository was never listed"
    rows = [
        (str(d.day), "applied" if d.applied else "no", d.seen.value, str(d.leaves)) for d in deadline.days
    ]
    return [
        element("p", *_deadline_text(deadline)),
        _gauge(deadline),
        table(
            f"Deltas of the last days ({listing})",
            ("Delta of", "In the mirror", "In the Repository", "May be removed from"),
            rows,
        ),
    ]


def _deadline_text(deadline: ResyncDeadline) -> list[Node]:
    next_day, leaves = element("time", str(deadline.next_day)), element("time", str(deadline.leaves))
    if not deadline.left:
        return [
            "The delta of ",
            next_day,
            " may have been removed on ",
            leaves,
            ". The next run may need a full extract.",
        ]
    return [
        *("The next delta is ", next_day, ". It may be removed from ", leaves, " on. Without a successful"),
        f" sync within {count(deadline.left, 'day')}, a full resync is needed.",
    ]


def _gauge(deadline: ResyncDeadline) -> Element:
    """Return the days left as boxes; an up-to-date mirror has all of them."""
    most = deadline.window + 1
    left = min(deadline.left, most)
    colour = "good" if left > most / 2 else "fair" if left > 1 else "bad"
    boxes = (
        element("rect", x=str(n * 12), width="10", height="10", class_=colour if n < left else "gone")
        for n in range(most)
    )
    words = f"{count(left, 'day')} of {most} left"
    return element(
        "svg",
        element("title", words, id="gauge-title"),
        *boxes,
        viewBox=f"0 0 {most * 12 - 2} 10",
        role="img",
        aria_labelledby="gauge-title",
        class_="gauge",
    )


_STATUSES: Final = {
    Status.IN_USE.value: "In-Use",
    **{status.value: status.words for status in Status if status is not Status.IN_USE},
    "listed": "Revoked by a list",
    "withdrawn": "Withdrawn",
}


def kinds(facts: PageFacts) -> list[Element]:
    """Return counts by kind and status."""
    holdings = facts.contents.holdings
    if not holdings:
        return [element("p", "The mirror contains no certificates.")]
    counts = {(h.kind, h.status): h.count for h in holdings}
    kinds = dict.fromkeys(h.kind for h in holdings)
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
    """Return organisations and authorities by Remote Party Role."""
    rows = [(_role(r.role), r.kind.value, f"{r.in_use:,}", f"{r.total:,}") for r in facts.contents.roles]
    if not rows:
        return []
    head = ("Remote Party Role", "Kind", "In-Use", "All")
    return [table("Organisations and authorities by role", head, rows, numbers=2)]


def _role(role: int | None) -> str:
    return "none" if role is None else f"{role} {ROLE_NAMES.get(role, 'without a name')}"


def files(facts: PageFacts) -> list[Element]:
    """Return the files applied last."""
    ledger = facts.contents.ledger
    if not ledger:
        return [element("p", "No file was applied.")]
    rows = [
        (
            f.name,
            f"{f.records:,}",
            f"{f.inserted:,}",
            f"{f.updated:,}",
            f"{f.withdrawn:,}",
            f"{f.quarantined:,}",
            bytes_text(f.size),
            duration_text(f.seconds),
        )
        for f in reversed(ledger[-MAX_ROWS:])
    ]
    head = ("File", "Records", "New", "Changed", "Withdrawn", "Quarantined", "Size", "Duration")
    return [table(f"The last {len(rows)} of {count(len(ledger), 'file')}", head, rows, numbers=len(head) - 1)]


def quarantine(facts: PageFacts) -> list[Element]:
    """Return the records that could not be read: counts by reason, and the newest records."""
    reasons = facts.contents.quarantine
    if not reasons:
        return [element("p", "The quarantine is empty.")]
    sums = [(q.reason, f"{q.open:,}", f"{q.total:,}") for q in reasons]
    newest = [
        (s.file, str(s.number), s.reason, s.accepted or "no", element("span", s.detail, class_="long"))
        for s in facts.contents.quarantine_rows
    ]
    total = sum(q.total for q in reasons)
    return [
        table("Records by reason", ("Reason", "Waiting for review", "All"), sums, numbers=2),
        table(
            f"The newest {len(newest)} of {count(total, 'record')}",
            ("File", "Record", "Reason", "Accepted", "Detail"),
            newest,
        ),
    ]


def trust(facts: PageFacts) -> list[Element]:
    """Return trust anchors, the last full verification and the revocation lists in force."""
    return [facts_list(_verified(facts.trust)), *_lists(facts)]


def _verified(trust: TrustStatus) -> list[tuple[str, Node]]:
    anchors = f"{trust.anchors}" if trust.anchors else "none configured"
    last = trust.last
    if last is None:
        return [
            ("Trust anchors", anchors),
            ("Last full verification", "never; run smki-sync verify"),
        ]
    result = f"{count(last.errors, 'error')} and {count(last.warnings, 'warning')}"
    return [
        ("Trust anchors", anchors),
        (
            "Last full verification",
            f"{last.at}, position {last.position}{', mirror replaced since' if trust.replaced else ''}",
        ),
        ("Result", element("span", result, class_=f"pill {'bad' if last.errors else 'good'}")),
        (
            "Certificates verified",
            f"{last.certificates:,}{'' if last.anchored else ', without trust anchors'}",
        ),
    ]


def _lists(facts: PageFacts) -> list[Element]:
    if not facts.contents.lists:
        return [element("p", "The mirror contains no revocation list.")]
    rows = [
        (
            one.file,
            one.kind.value.upper(),
            one.issuer,
            "none" if one.number is None else str(one.number),
            _time(one.this_update),
            _next(one.next_update, facts.made),
            f"{one.entries:,}",
        )
        for one in facts.contents.lists
    ]
    head = ("List", "Kind", "Signed by", "Number", "Issued", "Next due", "Revoked")
    return [table("Revocation lists in force", head, rows, numbers=1)]


def _next(due: int | None, now: datetime) -> Node:
    if due is None:
        return "not stated"
    return (
        _time(due)
        if due > now.timestamp()
        else element("span", f"OVERDUE since {_time(due)}", class_="pill bad")
    )


def _time(seconds: int) -> str:
    return utc(datetime.fromtimestamp(seconds, UTC))


def sections(facts: PageFacts) -> list[Element]:
    """Return every section below the headline."""
    shown = charts.timeline_of(facts)
    return [
        _section("holdings", "State", holdings(facts)),
        _section("deadline", "Resync deadline", deadline_section(facts)),
        _section("certificates", "Certificates", [*kinds(facts), *roles(facts)]),
        _section("changes", "Changes", [charts.changes(shown)]),
        _section("lag", "Lag", [charts.lag(shown, facts.policy.window_days)]),
        _section("runs", "Runs", [charts.runs(shown), *charts.last_runs(facts.runs)]),
        _section("files", "Files applied", files(facts)),
        _section("quarantine", "Quarantine", quarantine(facts)),
        _section("trust", "Trust", trust(facts)),
    ]


def _section(key: str, title: str, content: Iterable[Element]) -> Element:
    return element("section", element("h2", title, id=key), *content, aria_labelledby=key)


def status_page(facts: PageFacts) -> str:
    """Return the page as HTML, about 100 kB for a year."""
    parts = sections(facts)
    return full_document(f"SMKI mirror: {facts.status.state.value}", _body(facts, parts))


def _body(facts: PageFacts, parts: list[Element]) -> Element:
    links = (
        element("li", element("a", part[0].text or "", href=f"#{part.get('aria-labelledby')}"))
        for part in parts
    )
    return element(
        "body",
        element(
            "header",
            element("h1", "SMKI mirror"),
            *headline(facts),
            element("nav", element("ul", *links), aria_label="Sections"),
        ),
        element("main", *parts),
        element(
            "footer",
            element(
                "p",
                f"Made {utc(facts.made)} by smki-sync {__version__} from ",
                element("code", facts.place),
                f". Covers at most the last {facts.days} days. Times are UTC.",
            ),
        ),
    )
