"""The packages of a release as a CycloneDX document, from the JSON of packages.py on stdin (``make sbom``).

For: whoever has to know what runs on their machine. The same packages make the same octets: its number
follows from them, and its time is SOURCE_DATE_EPOCH. Refuses: to name an index, and to write what the schema
of CycloneDX does not allow.
"""

import json
import os
import sys
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

VERSION = SchemaVersion.V1_6


def component(package: dict[str, str]) -> Component:
    """One package, by the name that every index gives it."""
    licence = package["licence"]
    return Component(
        type=ComponentType.LIBRARY,
        name=package["name"],
        version=package["version"],
        purl=PackageURL("pypi", None, package["name"], package["version"]),
        bom_ref=f"{package['name']}=={package['version']}",
        licenses=[LicenseFactory().make_from_string(licence)] if licence else (),
    )


def bom_of(packages: list[dict[str, str]]) -> Bom:
    """The document; the first package is what it is of."""
    parts = {package["name"]: component(package) for package in packages}
    program, *others = parts.values()
    program.type = ComponentType.APPLICATION
    program.purl = None  # no index has it, and whoever took its name there would be taken for it
    bom = Bom(components=others, serial_number=uuid5(NAMESPACE_URL, json.dumps(packages)))
    bom.metadata.component = program
    bom.metadata.timestamp = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    for package in packages:
        bom.register_dependency(parts[package["name"]], [parts[name] for name in package["needs"]])
    return bom


def main() -> int:
    """Write the document; 1 with what is wrong with it where the schema refuses it."""
    text = make_outputter(bom_of(json.load(sys.stdin)), OutputFormat.JSON, VERSION).output_as_string(indent=1)
    wrong = JsonStrictValidator(VERSION).validate_str(text)
    if wrong:
        print(f"the schema of CycloneDX refuses it: {wrong}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
