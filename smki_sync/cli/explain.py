"""``show --explain``: why a certificate is or is not usable now, for people and as JSON.

For: :mod:`.answer`. Refuses: to be loaded unless it is asked for: what proves signatures takes its time.
"""

from collections.abc import Sequence
from datetime import datetime

from smki_sync.cli.documents import Json
from smki_sync.cli.identities import link_in
from smki_sync.config.whole import Config
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries.opening import open_mirror
from smki_sync.mirror.queries.row import Certificate
from smki_sync.text import block
from smki_sync.verify.inspector import Explanation, explain
from smki_sync.verify.judges import judge_of

_MARKS = {True: "yes", False: "NO", None: "-"}


def explained(settings: Config, found: Sequence[Certificate], now: datetime) -> list[tuple[Json, str]]:
    """An explanation of each certificate, in their order, as JSON and as text."""
    with open_mirror(link_in(settings.need_mirror())) as db:
        judge = judge_of(db, settings.trust.read_anchors(), now)
        every = [explain(db, judge, c) for c in found]
    return [(document(one), text(one)) for one in every]


def document(explanation: Explanation) -> Json:
    """As JSON."""
    return {
        "usable": explanation.is_usable,
        "at": utc(explanation.at),
        "steps": [
            {"question": a.question, "good": a.good, "answer": a.words, "rule": a.rule}
            for a in explanation.answers
        ],
    }


def text(explanation: Explanation) -> str:
    """For people: one step a line or more, what speaks against it marked."""
    end = "usable" if explanation.is_usable else "NOT usable"
    lines = [f"  {end} at {utc(explanation.at)}, step by step:"]
    for answer in explanation.answers:
        mark = _MARKS[answer.good]
        lines += block(f"{mark:<4} {answer.question}: {answer.words}", indent="  ", hanging=5)
    return "\n".join(lines)
