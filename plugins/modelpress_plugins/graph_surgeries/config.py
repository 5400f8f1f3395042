"""Options of GraphSurgeries, under Olive's names."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue, WithJsonSchema

from modelpress_plugins.graph_surgeries.choice import NAME, written
from modelpress_plugins.graph_surgeries.surgeons import OWN
from modelpress_plugins.onnx_graph.config import GraphOptions


def _schema() -> dict[str, JsonValue]:
    """Our own surgeons with their options; of others nothing is known here."""
    names: list[JsonValue] = [options.__name__ for options in OWN]
    own: list[JsonValue] = []
    for options in OWN:
        known = options.model_json_schema()
        properties = {NAME: {"const": options.__name__}, **known.get("properties", {})}
        own.append(
            {
                "type": "object",
                "description": known.get("description", ""),
                "properties": properties,
                "required": [NAME, *known.get("required", [])],
                "additionalProperties": False,
            }
        )
    others: JsonValue = {
        "type": "object",
        "description": "A surgeon of another distribution.",
        "properties": {NAME: {"type": "string", "not": {"enum": names}}},
        "required": [NAME],
    }
    return {"anyOf": [*own, others]}


Surgery = Annotated[dict[str, JsonValue], AfterValidator(written), WithJsonSchema(_schema())]


class GraphSurgeriesOptions(GraphOptions):
    """Change the graph by hand: one surgery after the other."""

    surgeries: tuple[Surgery, ...] = Field(
        description="What is done, in order: the name of a `surgeon`, in any case, and its options.",
    )
    remove_duplicate_initializers: bool = Field(
        default=True, description="Keep one of initializers that are equal, when all is done."
    )
