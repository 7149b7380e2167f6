"""Check the pins in requirements.txt against a directory of advisories (``make audit ADVISORIES=DIR``).

It needs no network: DIR is a copy of github.com/pypa/advisory-database, or any directory of advisories in the
OSV format, as YAML or JSON. The output says how new the newest advisory is. Reviewed advisories are in
audit-accepted.txt with their reason, and are still reported. The exit code is 1 if there is any other one.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)

Advisory = Mapping[str, Any]


def pins_in(text: str) -> dict[str, Version]:
    """Return the pinned versions in a requirements file, by name."""
    return {canonicalize_name(name): Version(version) for name, version in PIN.findall(text)}


def advisories_in(directory: Path) -> Iterator[Advisory]:
    """Return every advisory below a directory that is not withdrawn. Other files are ignored."""
    for path in sorted(directory.rglob("*")):
        if path.suffix in {".yaml", ".yml", ".json"} and not path.name.startswith("."):
            found = yaml.load(path.read_text(encoding="utf-8"), Loader=Text)  # noqa: S506 - Text is a SafeLoader
            if isinstance(found, dict) and "affected" in found and not found.get("withdrawn"):
                yield found


class Text(yaml.SafeLoader):
    """Reads every plain value as text, because a version such as 1.10 is not a number."""


Text.yaml_implicit_resolvers = {}


def says(advisory: Advisory, name: str, version: Version) -> bool:
    """Whether an advisory names this version of this package."""
    for one in advisory["affected"]:
        package = one.get("package", {})
        if package.get("ecosystem") == "PyPI" and canonicalize_name(package["name"]) == name:
            ranges = (r["events"] for r in one.get("ranges", ()) if r["type"] == "ECOSYSTEM")
            if str(version) in one.get("versions", ()) or any(within(events, version) for events in ranges):
                return True
    return False


def within(events: list[Mapping[str, str]], version: Version) -> bool:
    """Whether a version is in a range: introduced, not fixed, and not after the last affected one."""
    inside = False
    for event in sorted(events, key=lambda event: place(*event.values())):
        (kind, text), *_ = event.items()
        if kind == "introduced" and place(text) <= version:
            inside = True
        elif (kind == "fixed" and place(text) <= version) or (
            kind == "last_affected" and place(text) < version
        ):
            inside = False
    return inside


def place(text: str) -> Version:
    """Return the version of an event. 0 and an invalid version come before all others."""
    try:
        return Version(text) if text != "0" else Version("0.dev0")
    except InvalidVersion:
        return Version("0.dev0")


def main(directory: str, requirements: str = "requirements.txt") -> int:
    """Print the known advisories. Return 1 if there are any, and 2 if the directory has none at all."""
    pins = pins_in(Path(requirements).read_text(encoding="utf-8"))
    known = list(advisories_in(Path(directory)))
    if not known:
        print(f"{directory} contains no advisory in the OSV format.")
        return 2
    found = [(n, v, a) for n, v in pins.items() for a in known if says(a, n, v)]
    reasons = accepted()
    for name, version, advisory in found:
        also = ", ".join(advisory.get("aliases", ()))
        reason = reasons.get(advisory["id"])
        print(f"{name} {version}: {advisory['id']} ({also}){f', accepted: {reason}' if reason else ''}")
    newest = max(str(advisory.get("modified", "")) for advisory in known)
    left = sum(advisory["id"] not in reasons for *_, advisory in found)
    print(f"{len(pins)} pinned packages, {len(known)} advisories, the newest of {newest[:10]}:", end=" ")
    print(f"{left} to look at, {len(found) - left} accepted")
    return 1 if left else 0


def accepted() -> dict[str, str]:
    """Return the reviewed advisories, with the reason why they do not apply."""
    lines = Path(__file__).with_name("audit-accepted.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    return dict(tuple(pair) for pair in pairs)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
