"""The drill as a page that an auditor can file: what was done, how long it took, what it proved.

For: ``drill``. Made from the JSON document, whose SHA-256 it carries, so that the two cannot be mixed up.
Refuses: figures of its own.
"""

from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

from smki_sync.report.frame import whole
from smki_sync.report.markup import el, facts_list, table
from smki_sync.text import in_bytes, in_time

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
    header = el("header", el("h1", f"Recovery drill: {word}"), _lead(drill))
    return whole(f"SMKI recovery drill {drill['began'][:10]}: {word}", el("body", header, el("main", *parts)))


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
        [("Live mirror as of", live["position"]), ("Its digest", el("code", live["digest"]))] if live else []
    )
    why = [
        ("What happened", error["message"]),
        ("Code", el("code", error["code"])),
        ("What to do", error["hint"]),
    ]
    return [_part("Why it could not be carried out", facts_list([*known, *mirror, *why]))]


def _part(title: str, *content: Element) -> Element:
    return el("section", el("h2", title), *content)


def _lead(drill: Document) -> Element:
    if drill["error"]:
        return el(
            "p", el("strong", "Not carried out", class_="state bad"), " It came to no end.", class_="lead"
        )
    colour, word = ("good", "Equal") if drill["agrees"] else ("bad", "Different")
    text = (
        f" The mirror was restored in {in_time(drill['recovery_seconds'])}, as of {drill['recovery_point']}."
    )
    return el("p", el("strong", word, class_=f"state {colour}"), text, class_="lead")


def _result(drill: Document) -> Element:
    return facts_list(
        [
            ("Began", drill["began"]),
            ("Ended", drill["ended"]),
            ("Recovery time", in_time(drill["recovery_seconds"])),
            (
                "Recovery point",
                f"{drill['recovery_point']}, {drill['recovery_point_age_days']} days before the drill",
            ),
            (
                "Certificates",
                f"{drill['certificates']['total']:,}, of them {drill['certificates']['in_use']:,} In-Use",
            ),
            ("Digest restored", el("code", drill["digest"])),
            ("Digest of the live mirror", el("code", drill["live"]["digest"])),
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
        [(file["file"], el("code", file["sha256"]), in_bytes(file["bytes"])) for file in files],
        numbers=1,
    )


def _signatures(sha256: str) -> Element:
    return el(
        "div",
        el("p", "SHA-256 of the JSON document that this page was made from: ", el("code", sha256)),
        el("p", "Carried out by ______________________________  Date ______________"),
        el("p", "Reviewed by ______________________________  Date ______________"),
    )
