"""Where an architecture computes in another way than before: what the proof has to reach past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PretrainedConfig

from modelpress.api import PassError
from modelpress_plugins.model_builder.graph import attention_windows
from modelpress_plugins.model_builder.mend import window_of, windowed_layers
from modelpress_plugins.model_builder.verify import NEW_TOKENS, POSITIONS

_BEYOND = 2 * NEW_TOKENS
"""Tokens past a switch: some of the prompt, then the answer."""
_AFFORDED = 2e12
"""Operations that are always spent on a text: some seconds of a desktop processor."""
_SECONDS = 300.0
"""What a longer one may take, by the time that the first text took on this machine."""
_LOGITS, _ATTENTION = 2**29, 2**30
"""Bytes of logits, and of one layer's attention in transformers, that may be in memory at once."""


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


@dataclass(frozen=True, slots=True)
class Text:
    """A text to be compared. length: of prompt and answer, in tokens; past: the switches that it passes."""

    length: int
    past: Sequence[Switch] = ()

    def affordable(self, weights: int, seconds_per_token: float) -> bool:
        """weights: how many numbers the model has; seconds_per_token: what an earlier text took."""
        return 2 * weights * self.length <= _AFFORDED or seconds_per_token * self.length <= _SECONDS


def texts(config: PretrainedConfig) -> tuple[list[Text], list[Switch]]:
    """What is to be compared, the shortest first, and the switches that no memory suffices to reach past.

    A text that ends before the first switch comes first.
    """
    text = config.get_text_config()
    vocabulary, heads = (int(getattr(text, key, 0) or 0) for key in ("vocab_size", "num_attention_heads"))
    found = list(switches(config))
    first = min([POSITIONS, *(s.position for s in found)])
    past: dict[int, list[Switch]] = {max(first, NEW_TOKENS + 1): []}
    missed = []
    for switch in found:
        length = max(switch.position + _BEYOND, POSITIONS)
        if 4 * vocabulary * length > _LOGITS or 4 * heads * length**2 > _ATTENTION:
            missed.append(switch)
        else:
            past.setdefault(length, []).append(switch)
    return [Text(length, tuple(switches)) for length, switches in past.items()], missed


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
