"""The JSON Schema of a workflow (draft 2020-12), with the options of every plugin: for editors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pydantic import BaseModel

from modelpress.config.open_values import OWN_VALUES
from modelpress.config.schema import (
    DataSection,
    InputModelSection,
    MetricSection,
    ObserverSection,
    PassSection,
    SystemSection,
    WorkflowFile,
)
from modelpress.errors import ModelpressError
from modelpress.json_types import JSONSchema
from modelpress.registry import Registered, Registry
from modelpress.specs import (
    DataContainerSpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    PassSpec,
    Spec,
    SystemSpec,
)

_SECTIONS: tuple[tuple[str, type[Spec], type[BaseModel]], ...] = (
    ("InputModelSection", ModelSpec, InputModelSection),
    ("DataSection", DataContainerSpec, DataSection),
    ("SystemSection", SystemSpec, SystemSection),
    ("PassSection", PassSpec, PassSection),
    ("MetricSection", MetricSpec, MetricSection),
    ("ObserverSection", ObserverSpec, ObserverSection),
)

_NAMED = ("DataSection", "EvaluatorSection")
"""May stand in a list, each with its name; then the name is a key of its own."""


_WHEN: JSONSchema = {
    "type": "object",
    "description": "Other open options -> the values with which this one counts: {passes.x.bits: [4]}.",
}
_OPEN: JSONSchema = {
    "description": "What a search decides.",
    "anyOf": [
        {
            "type": "object",
            "properties": {"choice": {"type": "array", "minItems": 1}, "when": _WHEN},
            "required": ["choice"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "range": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                "log": {"type": "boolean"},
                "step": {"type": "number", "exclusiveMinimum": 0},
                "when": _WHEN,
            },
            "required": ["range"],
            "additionalProperties": False,
        },
        {"const": OWN_VALUES},
    ],
}


def workflow_json_schema(registry: Registry) -> JSONSchema:
    """The schema for what is installed. A plugin whose options cannot be imported is left open.

    The same plugins give the same schema, in the same order.
    """
    schema = cast("JSONSchema", WorkflowFile.model_json_schema())
    definitions = schema.pop("$defs")
    for name, kind, section in _SECTIONS:
        found = sorted(registry.all(kind), key=lambda entry: str(entry.spec.name))
        definitions[name] = _choice(name, section, found, definitions)
    for name in _NAMED:
        types = [f"{name}.{entry.spec.name}" for entry in registry.all(DataContainerSpec)]
        for definition in (name, *(known for known in types if known in definitions)):
            definitions[definition].setdefault("properties", {})["name"] = {"type": "string"}
    schema["properties"]["data_configs"] = _named(schema["properties"]["data_configs"], "DataSection")
    schema["properties"]["evaluators"] = _named(schema["properties"]["evaluators"], "EvaluatorSection")
    definitions["Open"] = _OPEN
    schema["properties"]["passes"] = _with_alternatives(schema["properties"]["passes"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "$defs": {name: definitions[name] for name in sorted(definitions)},
    }


def _choice(
    name: str, section: type[BaseModel], found: Sequence[Registered[Spec]], definitions: dict[str, JSONSchema]
) -> JSONSchema:
    """One of several types; each brings its options."""
    names = [known for entry in found for known in (entry.spec.name, *entry.spec.aliases)]
    common = _own(cast("JSONSchema", section.model_json_schema(ref_template="#/$defs/{model}")))
    branches: list[JSONSchema] = []
    for entry in found:
        definition = f"{name}.{entry.spec.name}"
        definitions[definition] = _with_options(common, entry, definition, definitions)
        types = [entry.spec.name, *entry.spec.aliases]
        condition: JSONSchema = {"properties": {"type": {"enum": types}}, "required": ["type"]}
        branches.append({"if": condition, "then": {"$ref": f"#/$defs/{definition}"}})
    kind: JSONSchema = {**common["properties"]["type"], "enum": names}
    schema: JSONSchema = {
        "type": "object",
        "description": common.get("description", ""),
        "properties": {"type": kind},
        "required": ["type"],
    }
    return schema | ({"allOf": branches} if branches else {})


def _with_options(
    common: JSONSchema, entry: Registered[Spec], definition: str, definitions: dict[str, JSONSchema]
) -> JSONSchema:
    spec = entry.spec
    try:
        options = entry.options_schema(ref_template=f"#/$defs/{definition}.{{model}}")
    except ModelpressError:
        return {"type": "object", "description": spec.summary}
    for inner, schema in options.pop("$defs", {}).items():
        definitions[f"{definition}.{inner}"] = schema
    own = options.get("properties", {})
    if isinstance(spec, PassSpec | DataContainerSpec):
        own = {option: {"anyOf": [given, {"$ref": "#/$defs/Open"}]} for option, given in own.items()}
    properties = {**own, **common["properties"]}
    required = [*common.get("required", []), *options.get("required", [])]
    return {
        "type": "object",
        "description": spec.summary,
        "properties": {**properties, "type": {**properties["type"], "description": spec.summary}},
        "required": sorted(set(required), key=required.index),
        "additionalProperties": False,
    }


def _with_alternatives(passes: JSONSchema) -> JSONSchema:
    """A step may be a list of passes, of which a search takes one; null leaves the step out."""
    one: JSONSchema = {"$ref": "#/$defs/PassSection"}
    several: JSONSchema = {"type": "array", "minItems": 1, "items": {"anyOf": [one, {"type": "null"}]}}
    step: JSONSchema = {"anyOf": [one, several]}
    return {**passes, "anyOf": [{"type": "object", "additionalProperties": step}, {"type": "null"}]}


def _own(schema: JSONSchema) -> JSONSchema:
    """Without inner definitions: those of the sections stand in the workflow's own."""
    own = schema.copy()
    own.pop("$defs", None)
    return own


def _named(as_mapping: JSONSchema, definition: str) -> JSONSchema:
    """Things by name: a mapping, or a list whose items say their name."""
    item: JSONSchema = {
        "allOf": [{"properties": {"name": {"type": "string"}}, "required": ["name"]}],
        "$ref": f"#/$defs/{definition}",
    }
    return {**as_mapping, "anyOf": [*as_mapping["anyOf"], {"type": "array", "items": item}]}
