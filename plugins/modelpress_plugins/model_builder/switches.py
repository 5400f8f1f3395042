"""Where an architecture computes in another way than before: what the proof has to reach past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers import PretrainedConfig

from modelpress.api import PassError
from modelpress_plugins.model_builder.graph import attention_windows
from modelpress_plugins.model_builder.mend import window_of, windowed_layers
from modelpress_plugins.model_builder.verify import NEW_TOKENS, POSITIONS

_BEYOND = 2 * NEW_TOKENS
"""Tokens past a switch: some of the prompt, then the answer."""
_OPERATIONS = 2e13
"""What a comparison may cost beyond the usual positions: a minute or two of a desktop processor."""
_LOGITS = 2**29
"""Bytes of logits that may be in memory at once."""


@dataclass(frozen=True, slots=True)
class Switch:
    """position: the last one before it."""

    position: int
    what: str


def switches(config: PretrainedConfig) -> Iterator[Switch]:
    """Those within the context, by position."""
    text = config.get_text_config()
    context = int(getattr(text, "max_position_embeddings", 0) or 0)
    rope = getattr(text, "rope_parameters", None) or {}
    found = [Switch(window_of(config), "the sliding window")]
    if rope.get("rope_type") == "longrope":
        original = rope.get("original_max_position_embeddings") or getattr(
            text, "original_max_position_embeddings", 0
        )
        found.append(Switch(int(original or 0), "the long rope factors"))
    yield from (s for s in sorted(found, key=lambda s: s.position) if 0 < s.position < context - NEW_TOKENS)


def lengths(config: PretrainedConfig, weights: int) -> tuple[list[int], list[Switch]]:
    """How long the texts are that are compared, and past which switches none of them reaches.

    A text that ends before the first switch is among them. weights: how many numbers the model has.
    """
    found = list(switches(config))
    first = min([POSITIONS, *(s.position for s in found)])
    vocabulary = int(getattr(config.get_text_config(), "vocab_size", 0) or 0)
    reached, missed = [max(first, NEW_TOKENS + 1)], []
    for switch in found:
        length = max(switch.position + _BEYOND, POSITIONS)
        if 2 * weights * length > _OPERATIONS or 4 * vocabulary * length > _LOGITS:
            missed.append(switch)
        elif length not in reached:
            reached.append(length)
    return reached, missed


def require_windows(graph: Path, config: PretrainedConfig) -> None:
    """Raises PassError where a layer of the graph has another window than the same layer in transformers."""
    found = attention_windows(graph)
    wanted = [window_of(config) if windowed else 0 for windowed in windowed_layers(config)]
    if found and len(found) == len(wanted) and found != wanted:
        layer = next(i for i, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1])
        raise PassError(
            f"Layer {layer} of the built model sees {found[layer] or 'all'} positions, in transformers "
            f"{wanted[layer] or 'all'}.",
            "Please report it with the model's config.json: the builder of onnxruntime-genai misreads it.",
        )
