"""Inputs of a language model, by their names. Light."""

from __future__ import annotations

from collections.abc import Collection

from modelpress_plugins.onnx_graph.facts import ValueFacts

IDS = "input_ids"
_BESIDE = ("attention_mask", "position_ids", "token_type_ids")


def takes_text(names: Collection[str]) -> bool:
    """Whether text, tokenized, can be put in."""
    return IDS in names


def is_made(value: ValueFacts) -> bool:
    """Whether the input follows from the ids, or is an empty cache at the first token."""
    return value.name in _BESIDE or value.name.startswith("past")
