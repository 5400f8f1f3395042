"""Inputs and outputs of a language model, by their names. Light."""

from __future__ import annotations

from collections.abc import Collection

IDS, LOGITS = "input_ids", "logits"
_BESIDE = ("attention_mask", "position_ids", "token_type_ids")


def takes_text(names: Collection[str]) -> bool:
    """Whether text, tokenized, can be put in."""
    return IDS in names


def is_made(name: str) -> bool:
    """Whether the input follows from the ids, or is an empty cache at the first token."""
    return name in _BESIDE or name.startswith("past")
