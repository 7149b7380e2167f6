"""The HTML page of a restore rehearsal, made from its JSON document."""

from collections.abc import Sequence
from typing import Any, Final
from xml.etree.ElementTree import Element

from smki_sync.report.charts import element, facts_list, full_document, table
from smki_sync.text import bytes_text, duration_text

Document = dict[str, Any]
"""The document of ``restore --rehearse --json``."""

_CHECK_RESULTS: Final = {True: "passed", False: "FAILED", None: "not made"}


def rehearsal_page(document: Document, *, sha256: str) -> str:
    """Return the page of a rehearsal. ``sha256``: hash of the JSON document as it was written."""
    result = "passed" if document["agrees"] else "failed"
    parts = [
        *(_not_completed(document) if document["error"] else _completed(document)),
        _section("Machine", facts_list(document["machine"].items())),
        _section("Sign-off", _signatures(sha256)),
    ]
    header = element("header", element("h1", f"Restore rehearsal: {result}"), _lead(document))
    return full_document(
        f"SMKI restore rehearsal {document['began'][:10]}: {result}",
        element("body", header, element("main", *parts)),
    )


def _completed(document: Document) -> list[Element]:
    return [
        _section("Result", _result(document)),
        _section("Phases", _phases(document["phases"])),
        _section("Checks", _checks(document["checks"])),
        _section("Files used", _files(document["files"])),
    ]


def _not_completed(document: Document) -> list[Element]:
    error, live = document["error"], document["live"]
    times = [("Started", document["began"]), ("Ended", document["ended"])]
    mirror = (
        [("Position of the live mirror", live["position"]), ("Its digest", element("code", live["digest"]))]
        if live
        else []
    )
    cause = [
        ("Error", error["message"]),
        ("Code", element("code", error["code"])),
        ("What to do", error["hint"]),
    ]
    return [_section("Why it could not be completed", facts_list([*times, *mirror, *cause]))]


def _section(title: str, *content: Element) -> Element:
    return element("section", element("h2", title), *content)


def _lead(document: Document) -> Element:
    if document["error"]:
        return element(
            "p",
            element("strong", "Not completed", class_="state bad"),
            " See the error below.",
            class_="lead",
        )
    colour, word = ("good", "Equal") if document["agrees"] else ("bad", "Different")
    seconds = duration_text(document["recovery_seconds"])
    text = f" Position {document['recovery_point']} was restored in {seconds}."
    return element("p", element("strong", word, class_=f"state {colour}"), text, class_="lead")


def _result(document: Document) -> Element:
    certificates = document["certificates"]
    return facts_list(
        [
            ("Started", document["began"]),
            ("Ended", document["ended"]),
            ("Recovery time", duration_text(document["recovery_seconds"])),
            (
                "Recovery point",
                f"{document['recovery_point']}, {document['recovery_point_age_days']} days old",
            ),
            ("Certificates", f"{certificates['total']:,}, {certificates['in_use']:,} In-Use"),
            ("Digest of the restored mirror", element("code", document["digest"])),
            ("Digest of the live mirror", element("code", document["live"]["digest"])),
        ]
    )


def _phases(phases: Sequence[Document]) -> Element:
    return table(
        "Duration of each phase",
        ["phase", "seconds"],
        [(phase["phase"], f"{phase['seconds']:.1f}") for phase in phases],
        numbers=1,
    )


def _checks(checks: Sequence[Document]) -> Element:
    return table(
        "Checks before the restored mirror would replace the live one",
        ["check", "result", "detail"],
        [(check["check"], _CHECK_RESULTS[check["passed"]], check["detail"]) for check in checks],
    )


def _files(files: Sequence[Document]) -> Element:
    return table(
        "Extracts in the order in which they were applied",
        ["file", "SHA-256", "size"],
        [(file["file"], element("code", file["sha256"]), bytes_text(file["bytes"])) for file in files],
        numbers=1,
    )


def _signatures(sha256: str) -> Element:
    return element(
        "div",
        element("p", "SHA-256 of the JSON document of this page: ", element("code", sha256)),
        element("p", "Performed by ______________________________  Date ______________"),
        element("p", "Reviewed by ______________________________  Date ______________"),
    )
