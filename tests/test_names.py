"""The names of an earlier version do not come back: modules, classes, functions, attributes and locals."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

PACKAGE = Path(__file__).parent.parent / "smki_sync"

IDENTIFIERS: Final = frozenset(
    {
        *("Haul", "Errand", "Fetched", "Crew", "Lane", "Beside", "Leash", "Teller", "Stretch", "Mark"),
        *("seam", "take_up", "begin_anew", "believe", "patiently", "PatientSource", "CarefulSource"),
        *("LoginMemory", "Ring", "Several", "Terms", "Treatment", "Cause", "Settling", "check_settled"),
        *(
            "Opening",
            "Job",
            "hear",
            "Listener",
            "Silence",
            "look",
            "Held",
            "Carrier",
            "carry_out",
        ),
        *(
            "Ahead",
            "Attempt",
            "Intake",
            "Archivist",
            "put_away",
            "let_go",
            "Oddities",
            "tell_of",
            "Attention",
        ),
        *("attend", "Keeper", "Door", "deaf", "Told", "Noted", "Slots", "Lists", "Agreement", "Bounds"),
        *("Offer", "weigh", "gone", "goes_on_after", "Stranger", "StrangeName", "sift", "Sifted", "moulds"),
        *("recall", "Tape", "in_steps", "set_aside", "HeldRow", "Predecessor", "Inheritance", "Memory"),
        *("touched", "vouched", "weed", "mend", "Mender", "Examiner", "soundness", "Recount", "proofs"),
        *("Marker", "overview", "survey", "Journalist", "Wanted", "Standing", "census", "Talk", "talking"),
        *("recorded", "Asked", "trusted_of", "shipped", "About", "way", "told", "deed", "parted"),
        *("look_through", "hold_weekly", "Patient", "Side", "Judge", "judges", "fired", "Farewell"),
        *("Garbled", "worded", "dial", "hang_up", "shake_hands", "prefer", "first_key", "Press", "Shelf"),
        *("Desk", "founding", "cliff", "octets", "Finding", "Verdict", "Pace", "settle", "Known"),
    }
)
"""Names from the "old" columns of the table of names. Words that are also ordinary English
(`answer`, `complete`, `card`, `helper`, `state`, `learn`, `Line`, `State`, `Fault`, `quick`, `setting`)
are not listed, and `rehearse` is an option now."""

FILES: Final = frozenset(
    {
        *("errand", "haul", "crew", "lane", "deed", "talk", "door", "told", "way", "tape", "moulds", "desk"),
        *("names", "faults", "place", "opening", "state", "explain", "anchors", "drill", "phrases", "words"),
        *("workplace", "aftermath", "setting", "quick", "shipped", "leaves", "keeping", "weekly", "aside"),
        *(
            "held",
            "mend",
            "drift",
            "soundness",
            "proofs",
            "overview",
            "access",
            "bounds",
            "offer",
            "founding",
        ),
        *("life", "shelf", "press", "cliff", "settle", "proof", "patience"),
    }
)
"""File names that had several meanings, or none."""

KEPT: Final = {"simulator/faults.py"}
"""Files whose name is a standard term in their package."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def names_in(tree: ast.AST) -> Iterator[str]:
    """Every name that the source defines or uses."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case ast.alias(name=name, asname=asname):
                yield from (name.rpartition(".")[2], *([asname] if asname else []))


def old_names(source: str) -> set[str]:
    """Return the old names in a source; a leading underscore does not make a name new."""
    return {name for name in names_in(ast.parse(source)) if name.lstrip("_") in IDENTIFIERS}


def place_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", modules(), ids=place_of)
def test_module_uses_no_old_name(path: Path) -> None:
    assert old_names(path.read_text("utf-8")) == set()


def test_no_file_has_an_old_name() -> None:
    assert {place_of(path) for path in modules() if path.stem in FILES} - KEPT == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class Haul: ...", {"Haul"}),
        ("def _settle(): ...", {"_settle"}),
        ("job.hear.hear(event)", {"hear"}),
        ("from smki_sync.sync import Talk as Console", {"Talk"}),
        ("run(told=print)", {"told"}),
        ("def download(source): return source.size", set()),
    ],
)
def test_old_names_finds_every_kind_of_use(source: str, found: set[str]) -> None:
    assert old_names(source) == found
