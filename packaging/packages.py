"""What the program runs with, as JSON: itself first, then all that it needs, each with what it needs itself.

For: ``make sbom``. It is read from what is installed here, so from the pins; development tools and extras are
left out. Refuses: to ask an index, and to go on where a package that is needed is not there.
"""

import json
import sys
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROGRAM = "smki-sync"
LICENCE_LENGTH = 100
"""Characters of a licence field that is a name; a longer one is the licence's text."""


def needs_of(name: str) -> list[str]:
    """What a package needs in this environment, without any of its extras."""
    wanted = map(Requirement, distribution(name).requires or ())
    return sorted(
        {
            canonicalize_name(one.name)
            for one in wanted
            if not one.marker or one.marker.evaluate({"extra": ""})
        }
    )


def licence_of(name: str) -> str | None:
    """What a package says of its licence: an SPDX expression where it has one, else a name."""
    said = distribution(name).metadata
    classifiers = [c for c in said.get_all("Classifier", ()) if c.startswith("License ::")]
    name_given = said.get("License") or ""
    if 0 < len(name_given) <= LICENCE_LENGTH and "\n" not in name_given:
        classifiers.append(name_given)
    return said.get("License-Expression") or (classifiers[-1].rpartition(":: ")[2] if classifiers else None)


def packages() -> list[dict[str, object]]:
    """The program and all that it needs, in the order of their names but for itself."""
    needs: dict[str, list[str]] = {}
    waiting = [PROGRAM]
    while waiting:
        name = waiting.pop()
        if name not in needs:
            needs[name] = needs_of(name)
            waiting += needs[name]
    return [
        {"name": n, "version": distribution(n).version, "licence": licence_of(n), "needs": needs[n]}
        for n in sorted(needs, key=lambda n: (n != PROGRAM, n))
    ]


if __name__ == "__main__":
    json.dump(packages(), sys.stdout, indent=1)
