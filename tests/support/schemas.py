"""The JSON Schemas of docs/schemas without room for more: what a document says beyond its schema is a fault.

A published schema leaves room for fields that a later version adds; a test of this version does not.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

ROOT = Path(__file__).parents[2]
SCHEMAS = {path.stem: path for path in sorted((ROOT / "docs" / "schemas").glob("*.json"))}

Json = dict[str, Any]


def schema(name: str) -> Json:
    read: Json = json.loads(SCHEMAS[name].read_text("utf-8"))
    return read


def closed(node: Json) -> Json:
    """The same schema without room for more."""
    made = dict(node)
    if "properties" in made:
        made["additionalProperties"] = False
        made["properties"] = {name: closed(one) for name, one in made["properties"].items()}
    if "items" in made:
        made["items"] = closed(made["items"])
    return made


CLOSED = {name: {**closed(schema(name)), "$id": SCHEMAS[name].as_uri()} for name in SCHEMAS}
TOGETHER: Registry[bool | Mapping[str, Any]] = Registry().with_resources(
    (one["$id"], Resource.from_contents(one)) for one in CLOSED.values()
)

VALIDATORS = {name: Draft202012Validator(one, registry=TOGETHER) for name, one in CLOSED.items()}


def faults(name: str, document: Json) -> list[str]:
    """What is wrong with a document; a field that its schema does not know is a fault here."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[name].iter_errors(document)]
