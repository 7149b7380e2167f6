"""Page sections."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from xml.etree.ElementTree import Element

from smki_sync import __version__
from smki_sync.cli.status import StatusState, TrustStatus
from smki_sync.mirror.ledger import utc
from smki_sync.model.certificate import ROLE_NAMES, Kind, Status
from smki_sync.report import charts
from smki_sync.report.charts import Node, count, element, facts_list, full_document, table
from smki_sync.report.data import SHOWN, PageFacts
from smki_sync.status import ResyncDeadline, resync_deadline
from smki_sync.text import age_text, bytes_text, duration_text

_STATE_WORDS: Final = {
    StatusState.EMPTY: ("bad", "Empty", "There is no mirror yet. Run smki-sync sync."),
    StatusState.CURRENT: ("good", "Current", "The mirror is as new as the operator asks for."),
    StatusState.STALE: ("fair", "Stale", "The mirror is older than the operator asks for."),
    StatusState.DAMAGED: ("bad", "Damaged", "The mirror cannot be read."),
}


def headline(facts: PageFacts) -> list[Element]:
    """What one reads first: the state, in a word, a sentence and a colour."""
    colour, word, sentence = _STATE_WORDS[facts.finding.state]
    held = facts.finding.position
    as_of = f" It holds the Repository as of {held}." if held else ""
    return [
        element("p", element("strong", word, class_=f"state {colour}"), f" {sentence}{as_of}", class_="lead"),
        *(
            element("p", text, class_="bad words")
            for text in (facts.finding.message, facts.finding.hint)
            if text
        ),
    ]


def holdings(facts: PageFacts) -> list[Element]:
    """State, age, counts, digest."""
    finding, run = facts.finding, facts.finding.last_run
    census = finding.census
    known: list[tuple[str, Node]] = [
        ("As of", f"{finding.position}" if finding.position else "no position"),
        (
            "That day began",
            f"{age_text(finding.age_hours)} ago, UTC" if finding.age_hours is not None else "not known",
        ),
        ("Last looked", f"{run.at}: {run.outcome}, exit {run.exit}, {run.reason}" if run else "never"),
        ("Last success", finding.last_success.at if finding.last_success else "never"),
        ("Last full", f"{finding.last_full}" if finding.last_full else "none"),
        ("Certificates", f"{census.total:,}, of them {census.in_use:,} In-Use" if census else "none"),
        ("Quarantined", f"{census.quarantined:,} not accepted" if census else "not known"),
        ("Size on disk", bytes_text(finding.bytes)),
        ("Set digest", element("code", census.digest) if census else "not known"),
    ]
    return [facts_list(known)]


def deadline_section(facts: PageFacts) -> list[Element]:
    """How long the next delta stays on offer."""
    if facts.finding.position is None:
        return [element("p", "Without a position there is no next delta: the next run takes a full.")]
    cliff = resync_deadline(
        facts.finding.position, offer=facts.offer, window=facts.policy.window_days, today=facts.made.date()
    )
    looked = f"what the run of {facts.offer.at} saw on offer" if facts.offer else "no run has noted the offer"
    rows = [(str(d.day), "held" if d.applied else "not yet", d.seen.value, str(d.leaves)) for d in cliff.days]
    return [
        element("p", *_deadline_text(cliff)),
        _gauge(cliff),
        table(
            f"The deltas of the last days; {looked}",
            ("Delta of", "In the mirror", "At the Repository", "May be gone from"),
            rows,
        ),
    ]


def _deadline_text(cliff: ResyncDeadline) -> list[Node]:
    next_day, leaves = element("time", str(cliff.next_day)), element("time", str(cliff.leaves))
    if not cliff.left:
        return ["The delta of ", next_day, " may be gone since ", leaves, "; then the next run takes a full."]
    return [
        *(
            "The next delta is that of ",
            next_day,
            ". From ",
            leaves,
            " on it may be gone, and then only a full",
        ),
        f" mends the gap: a run has to succeed within {count(cliff.left, 'day')}.",
    ]


def _gauge(cliff: ResyncDeadline) -> Element:
    """Days left, as boxes: as many as an up-to-date mirror has."""
    most = cliff.window + 1
    left = min(cliff.left, most)
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
    """Counts by kind and status."""
    held = facts.contents.holdings
    if not held:
        return [element("p", "The mirror holds no certificates.")]
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
        for f in reversed(ledger[-SHOWN:])
    ]
    head = ("File", "Records", "New", "Changed", "Withdrawn", "Quarantined", "Size", "Took")
    return [table(f"The last {len(rows)} of {count(len(ledger), 'file')}", head, rows, numbers=len(head) - 1)]


def quarantine(facts: PageFacts) -> list[Element]:
    """What could not be understood, by reason, and the newest one by one."""
    reasons = facts.contents.quarantine
    if not reasons:
        return [element("p", "The quarantine is empty.")]
    sums = [(q.reason, f"{q.open:,}", f"{q.total:,}") for q in reasons]
    held = [
        (s.file, str(s.number), s.reason, s.accepted or "no", element("span", s.detail, class_="long"))
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


def _verified(trusted: TrustStatus) -> list[tuple[str, Node]]:
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
        ("Found", element("span", found, class_=f"pill {'bad' if last.errors else 'good'}")),
        ("Certificates verified", f"{last.certificates:,}{'' if last.anchored else ', not anchored'}"),
    ]


def _lists(facts: PageFacts) -> list[Element]:
    if not facts.contents.lists:
        return [element("p", "The mirror holds no revocation list.")]
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
        _time(due)
        if due > now.timestamp()
        else element("span", f"OVERDUE since {_time(due)}", class_="pill bad")
    )


def _time(seconds: int) -> str:
    return utc(datetime.fromtimestamp(seconds, UTC))


def sections(facts: PageFacts) -> list[Element]:
    """Every part of the page below its headline."""
    shown = charts.timeline_of(facts)
    return [
        _section("holdings", "State", holdings(facts)),
        _section("cliff", "The seven-day cliff", deadline_section(facts)),
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


def page(facts: PageFacts) -> str:
    """Write the page as HTML, some 100 kB for a year."""
    parts = sections(facts)
    return full_document(f"SMKI mirror: {facts.finding.state.value}", _body(facts, parts))


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
            element("nav", element("ul", *links), aria_label="Parts of this page"),
        ),
        element("main", *parts),
        element(
            "footer",
            element(
                "p",
                f"Made {utc(facts.made)} by smki-sync {__version__} from ",
                element("code", facts.place),
                f"; the last {facts.days} days at most. Times are UTC.",
            ),
        ),
    )


Document = dict[str, Any]
"""The document of ``drill --json``."""

_MARKS = {True: "passed", False: "FAILED", None: "not made"}


def drill_page(drill: Document, *, sha256: str) -> str:
    """Write the page. ``sha256``: of the JSON document as it was written."""
    word = "passed" if drill["agrees"] else "failed"
    parts = [
        *(_failed(drill) if drill["error"] else _carried_out(drill)),
        _part("Machine", facts_list(drill["machine"].items())),
        _part("Signed off", _signatures(sha256)),
    ]
    header = element("header", element("h1", f"Recovery drill: {word}"), _lead(drill))
    return full_document(
        f"SMKI recovery drill {drill['began'][:10]}: {word}", element("body", header, element("main", *parts))
    )


def _carried_out(drill: Document) -> list[Element]:
    return [
        _part("Result", _result(drill)),
        _part("Phases", _phases(drill["phases"])),
        _part("Checks", _checks(drill["checks"])),
        _part("Files used", _files(drill["files"])),
    ]


def _failed(drill: Document) -> list[Element]:
    error, live = drill["error"], drill["live"]
    known = [("Began", drill["began"]), ("Ended", drill["ended"])]
    mirror = (
        [("Live mirror as of", live["position"]), ("Its digest", element("code", live["digest"]))]
        if live
        else []
    )
    why = [
        ("What happened", error["message"]),
        ("Code", element("code", error["code"])),
        ("What to do", error["hint"]),
    ]
    return [_part("Why it could not be carried out", facts_list([*known, *mirror, *why]))]


def _part(title: str, *content: Element) -> Element:
    return element("section", element("h2", title), *content)


def _lead(drill: Document) -> Element:
    if drill["error"]:
        return element(
            "p",
            element("strong", "Not carried out", class_="state bad"),
            " It came to no end.",
            class_="lead",
        )
    colour, word = ("good", "Equal") if drill["agrees"] else ("bad", "Different")
    seconds = duration_text(drill["recovery_seconds"])
    text = f" The mirror was restored in {seconds}, as of {drill['recovery_point']}."
    return element("p", element("strong", word, class_=f"state {colour}"), text, class_="lead")


def _result(drill: Document) -> Element:
    return facts_list(
        [
            ("Began", drill["began"]),
            ("Ended", drill["ended"]),
            ("Recovery time", duration_text(drill["recovery_seconds"])),
            (
                "Recovery point",
                f"{drill['recovery_point']}, {drill['recovery_point_age_days']} days before the drill",
            ),
            (
                "Certificates",
                f"{drill['certificates']['total']:,}, of them {drill['certificates']['in_use']:,} In-Use",
            ),
            ("Digest restored", element("code", drill["digest"])),
            ("Digest of the live mirror", element("code", drill["live"]["digest"])),
        ]
    )


def _phases(phases: Sequence[Document]) -> Element:
    return table(
        "How long each phase took",
        ["phase", "seconds"],
        [(phase["phase"], f"{phase['seconds']:.1f}") for phase in phases],
        numbers=1,
    )


def _checks(checks: Sequence[Document]) -> Element:
    return table(
        "What was checked before it would have taken over",
        ["check", "result", "what was seen"],
        [(check["check"], _MARKS[check["passed"]], check["detail"]) for check in checks],
    )


def _files(files: Sequence[Document]) -> Element:
    return table(
        "Extracts, in the order in which they were applied",
        ["file", "SHA-256", "size"],
        [(file["file"], element("code", file["sha256"]), bytes_text(file["bytes"])) for file in files],
        numbers=1,
    )


def _signatures(sha256: str) -> Element:
    return element(
        "div",
        element("p", "SHA-256 of the JSON document that this page was made from: ", element("code", sha256)),
        element("p", "Carried out by ______________________________  Date ______________"),
        element("p", "Reviewed by ______________________________  Date ______________"),
    )
