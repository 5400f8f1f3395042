"""The options of a pass as people read them, from their JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from modelpress.cli.text import page_width
from modelpress.json_types import JSONSchema

_MISSING = object()


@dataclass(frozen=True, slots=True)
class OptionFacts:
    """One option.

    types:    those allowed, null left out: integer, number, boolean, string, array, object, any
    choices:  the values allowed, where they are a closed set
    nullable: whether null is allowed
    default:  as JSON text; empty when the option is required
    """

    name: str
    types: tuple[str, ...]
    choices: tuple[str, ...]
    nullable: bool
    default: str
    required: bool
    description: str
    limits: str

    @property
    def type(self) -> str:
        """The one type that is allowed; `any` where there are several."""
        return self.types[0] if len(self.types) == 1 else "any"


def option_facts(schema: JSONSchema) -> list[OptionFacts]:
    """The top-level options of a JSON Schema as pydantic writes it, in the order of the class."""
    required = set(schema.get("required", ()))
    definitions = schema.get("$defs", {})
    return [
        _facts(name, field, name in required, definitions)
        for name, field in schema.get("properties", {}).items()
    ]


def _facts(
    name: str, field: JSONSchema, required: bool, definitions: Mapping[str, JSONSchema]
) -> OptionFacts:
    variants = [_follow(variant, definitions) for variant in field.get("anyOf", [field])]
    real = [variant for variant in variants if variant.get("type") != "null"]
    types = dict.fromkeys(kind for variant in real for kind in _types(variant))
    if "number" in types:
        types.pop("integer", None)  # a whole number is a number
    closed = bool(real) and all("enum" in variant or "const" in variant for variant in real)
    choices = [v for variant in real for v in variant.get("enum", [variant.get("const")])] if closed else []
    default = field.get("default", _MISSING)
    return OptionFacts(
        name=name,
        types=tuple(types),
        choices=tuple(c if isinstance(c, str) else json.dumps(c) for c in choices),
        nullable=len(real) < len(variants),
        default="" if default is _MISSING else default if isinstance(default, str) else json.dumps(default),
        required=required,
        description=field.get("description", ""),
        limits=_limits(real),
    )


def _follow(schema: JSONSchema, definitions: Mapping[str, JSONSchema]) -> JSONSchema:
    reference = schema.get("$ref", "")
    return definitions.get(reference.rpartition("/")[2], schema) if reference else schema


def _types(schema: JSONSchema) -> list[str]:
    if "type" in schema:
        return [schema["type"]]
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    names = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return [names.get(type(value), "any") for value in values] or ["any"]


_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _limits(variants: Sequence[JSONSchema]) -> str:
    """`> 0, ≤ 1`; empty where several types are allowed or nothing is said."""
    if len(variants) != 1:
        return ""
    limits: Mapping[str, object] = variants[0]
    return ", ".join(f"{sign} {limits[key]}" for key, sign in _SIGNS.items() if key in limits)


def print_options(options: Sequence[OptionFacts]) -> None:
    """A paragraph per option: its name, what it takes, its default; below, what it is for."""
    if not options:
        click.echo("\nIt has no options.")
        return
    click.echo("\n" + click.style("Options", bold=True))
    width = page_width()
    for option in options:
        default = "required" if option.required else f"default {option.default}" if option.default else ""
        facts = ", ".join(fact for fact in (takes(option), option.limits, default) if fact)
        line = click.wrap_text(f"{option.name}  ({facts})", width, "  ", "      ")
        click.echo(line.replace(option.name, click.style(option.name, bold=True), 1))
        if option.description:
            click.echo(click.wrap_text(option.description, width, "      ", "      "))


def takes(option: OptionFacts) -> str:
    """`integer`, `nf4 | fp4`, `number or null`."""
    kinds = [" | ".join(option.choices)] if option.choices else list(option.types)
    return " or ".join([*kinds, "null"] if option.nullable else kinds)
