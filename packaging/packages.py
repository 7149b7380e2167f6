"""List the program and all packages that it needs, as JSON, each with its own requirements (``make sbom``).

It reads what is installed in this environment, without development tools and extras. It asks no package
index.
It fails if a required package is missing.
"""

import json
import sys
from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROGRAM = "smki-sync"
LICENCE_LENGTH = 100
"""Longest licence field that is a name; a longer one is the text of the licence."""


def needs_of(name: str) -> list[str]:
    """Return the requirements of a package in this environment, without extras."""
    wanted = map(Requirement, distribution(name).requires or ())
    return sorted(
        {
            canonicalize_name(one.name)
            for one in wanted
            if not one.marker or one.marker.evaluate({"extra": ""})
        }
    )


def licence_of(name: str) -> str | None:
    """Return the licence of a package: an SPDX expression if there is one, otherwise a name."""
    metadata = distribution(name).metadata
    classifiers = [c for c in metadata.get_all("Classifier", ()) if c.startswith("License ::")]
    name_given = metadata.get("License") or ""
    if 0 < len(name_given) <= LICENCE_LENGTH and "\n" not in name_given:
        classifiers.append(name_given)
    return metadata.get("License-Expression") or (
        classifiers[-1].rpartition(":: ")[2] if classifiers else None
    )


def packages() -> list[dict[str, object]]:
    """Return the program, then all packages that it needs, sorted by name."""
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
