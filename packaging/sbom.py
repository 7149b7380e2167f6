"""Write a CycloneDX bill of materials from the output of packages.py (``make sbom``).

The same packages give the same bytes: the serial number depends on the packages, and the time is that of the
commit (``SOURCE_DATE_EPOCH``).
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
    """Return one package as a component."""
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
    """Return the document. The first package is the program itself."""
    parts = {package["name"]: component(package) for package in packages}
    program, *others = parts.values()
    program.type = ComponentType.APPLICATION
    program.purl = None  # it is not in a package index, where another package could have its name
    bom = Bom(components=others, serial_number=uuid5(NAMESPACE_URL, json.dumps(packages)))
    bom.metadata.component = program
    bom.metadata.timestamp = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    for package in packages:
        bom.register_dependency(parts[package["name"]], [parts[name] for name in package["needs"]])
    return bom


def main() -> int:
    """Write the document. Return 1 if it does not match the schema."""
    text = make_outputter(bom_of(json.load(sys.stdin)), OutputFormat.JSON, VERSION).output_as_string(indent=1)
    wrong = JsonStrictValidator(VERSION).validate_str(text)
    if wrong:
        print(f"The document does not match the CycloneDX schema: {wrong}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
