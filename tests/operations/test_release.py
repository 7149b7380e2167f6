"""What a release says of its packages: pinned, installed as pinned, complete; audited; listed."""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
PINS = ROOT / "requirements.txt"
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")

INSTALLED: dict[str, Distribution] = {
    canonicalize_name(found.metadata["Name"]): found for found in distributions() if found.metadata["Name"]
}


def requirements_in(path: Path) -> dict[str, tuple[Requirement, int]]:
    """What a file pins, by name, with the number of hashes; a line that is anything else fails."""
    found: dict[str, tuple[Requirement, int]] = {}
    for entry in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip()):
        requirement, *hashes = [word.strip() for word in entry.split("\\\n")]
        assert all(HASH.fullmatch(word) for word in hashes), entry
        parsed = Requirement(requirement)
        found[canonicalize_name(parsed.name)] = (parsed, len(hashes))
    return found


def audit(advisories: Path, *pins: str) -> subprocess.CompletedProcess[str]:
    file = advisories.parent / "pins.txt"
    file.write_text("\n".join(f"{pin} \\\n    --hash=sha256:{'0' * 64}" for pin in pins))
    command = [sys.executable, str(PACKAGING / "audit.py"), str(advisories), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# Pins.


@pytest.mark.parametrize(
    "path", [PINS, *sorted((PACKAGING / "pins").glob("*.txt"))], ids=lambda path: path.name
)
def test_every_package_is_pinned_by_hash_and_no_index_is_named(path: Path) -> None:
    for requirement, hashes in requirements_in(path).values():
        assert str(requirement.specifier).startswith("=="), requirement
        assert requirement.url is None
        assert hashes, requirement
    assert not re.search(r"https?:|index-url|find-links|trusted-host", path.read_text(encoding="utf-8"))


def test_what_is_installed_is_what_is_pinned() -> None:
    for name, (requirement, _) in requirements_in(PINS).items():
        if requirement.marker is None or requirement.marker.evaluate():
            assert name in INSTALLED, f"{name} is pinned and not installed"
            assert requirement.specifier.contains(INSTALLED[name].version, prereleases=True), name


def test_every_package_that_a_pinned_one_needs_is_there_and_not_refused() -> None:
    for name in requirements_in(PINS).keys() & INSTALLED.keys():
        for needed in map(Requirement, INSTALLED[name].requires or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                found = INSTALLED.get(canonicalize_name(needed.name))
                assert found, f"{name} needs {needed}"
                assert needed.specifier.contains(found.version, prereleases=True), f"{name} needs {needed}"


# The audit.


ADVISORY = """
id: X-2026-1
aliases: [CVE-2026-1]
modified: 2026-05-01T00:00:00Z
affected:
- package: {name: Ash, ecosystem: PyPI}
  ranges:
  - type: ECOSYSTEM
    events: [{introduced: '1.2'}, {fixed: 1.10}, {introduced: '2.0'}, {last_affected: '2.1'}]
  - type: GIT
    events: [{introduced: '0'}]
  versions: ['0.5']
"""


@pytest.fixture
def advisories(tmp_path: Path) -> Path:
    folder = tmp_path / "advisories"
    (folder / "vulns" / "ash").mkdir(parents=True)
    (folder / "README.md").write_text("no advisory")
    (folder / "other.yaml").write_text("a: b")
    (folder / "vulns" / "ash" / "X-2026-1.yaml").write_text(ADVISORY)
    head = {"id": "X-2026-2", "modified": "2026-04-01"}
    elsewhere = {"package": {"name": "ash", "ecosystem": "npm"}, "versions": ["9"]}
    here = {"package": {"name": "ash", "ecosystem": "PyPI"}, "versions": ["9"]}
    (folder / "X-2026-2.json").write_text(json.dumps(head | {"affected": [elsewhere]}))
    (folder / "X-2026-3.json").write_text(json.dumps(head | {"affected": [here], "withdrawn": "2026"}))
    return folder


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("0.5", True),
        ("1.1", False),
        ("1.2", True),
        ("1.9", True),
        ("1.10", False),
        ("2.0", True),
        ("2.1", True),
        ("2.2", False),
        ("9", False),
    ],
)
def test_a_version_within_an_advisory_is_found_and_no_other(
    advisories: Path, version: str, known: bool
) -> None:
    done = audit(advisories, f"ash=={version}", "elm==1.5")
    assert done.returncode == int(known), done.stderr
    assert done.stdout.startswith(f"ash {version}: X-2026-1 (CVE-2026-1)") == known
    assert "2 pinned packages, 2 advisories, the newest of 2026-05-01" in done.stdout


def test_an_advisory_that_was_looked_at_is_told_with_its_reason_and_is_no_failure(advisories: Path) -> None:
    accepted = (PACKAGING / "audit-accepted.txt").read_text(encoding="utf-8").splitlines()[-1]
    name, reason = accepted.split(maxsplit=1)
    path = advisories / "vulns" / "ash" / "X-2026-1.yaml"
    path.write_text(path.read_text().replace("X-2026-1", name))
    done = audit(advisories, "ash==1.2")
    assert (done.returncode, f"accepted: {reason}" in done.stdout) == (0, True)
    assert done.stdout.endswith("0 to look at, 1 accepted\n")


def test_a_directory_without_advisories_is_no_audit(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert audit(tmp_path / "empty", "ash==1.2").returncode == 2


# The bill of materials.


def test_the_bill_lists_what_the_program_runs_with_and_no_tool_of_development() -> None:
    command = [sys.executable, str(PACKAGING / "packages.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    listed = {package["name"]: package for package in json.loads(done.stdout)}
    assert next(iter(listed)) == "smki-sync"
    assert set(listed["smki-sync"]["needs"]) >= {"apsw", "cryptography", "lxml", "paramiko"}
    assert not listed.keys() & {"pytest", "mypy", "ruff", "pyarrow", "datasette", "cyclonedx-python-lib"}
    assert {needed for package in listed.values() for needed in package["needs"]} < listed.keys()
    pins = requirements_in(PINS)
    for name in listed.keys() - {"smki-sync"}:
        assert Version(listed[name]["version"]) in pins[name][0].specifier
        assert listed[name]["licence"]
    assert "http" not in done.stdout
