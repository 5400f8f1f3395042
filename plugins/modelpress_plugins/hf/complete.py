"""Whether a checkpoint holds what its config.json promises: libraries fill gaps with random numbers.

From the headers of the files alone, and only what can be told for sure from them: layers that are not there,
tensors that one layer lacks and its like have, an embedding or a head that is missing or of another size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from modelpress.api import Checkpoint, UserError
from modelpress_plugins.hf.config import ModelConfig

_TOLD = 3


def require_complete(folder: Path, config: ModelConfig) -> None:
    """Raises UserError that names what is missing."""
    if not config.family.known or isinstance(config.document.get("text_config"), Mapping):
        return  # several models in one, whose parts are called alike
    with Checkpoint(folder) as checkpoint:
        lacking = [*_layers(checkpoint, config), *_outer(checkpoint, config)]
    if lacking:
        more = f" and {len(lacking) - _TOLD} more" if len(lacking) > _TOLD else ""
        raise UserError(
            f"The weights in {folder} are not those of its config.json: {'; '.join(lacking[:_TOLD])}{more}.",
            "Fetch the whole checkpoint, or the config.json that it was saved with.",
        )


def _layers(checkpoint: Checkpoint, config: ModelConfig) -> Iterator[str]:
    pattern = re.compile(rf"((?:.*\.)?{config.family.parts.layers}\.)(\d+)\.(.+)")
    matches = [match for name in checkpoint.names() if (match := pattern.fullmatch(name))]
    starts = {match[1] for match in matches}
    if len(starts) != 1 or not config.layers:  # encoder and decoder, or names that we do not know
        return
    (start,) = starts
    found: dict[int, set[str]] = {}
    for match in matches:
        found.setdefault(int(match[2]), set()).add(match[3])
    absent = [layer for layer in range(config.layers) if layer not in found]
    if absent:
        yield f"it says {config.layers} layers, and there are {len(found)} (none of number {absent[0]})"
    elif not config.quantization and not config.family.experts and not config.number("num_kv_shared_layers"):
        yield from (f"{start}{name} is missing" for name in _gaps(found, config))


def _gaps(found: Mapping[int, set[str]], config: ModelConfig) -> Iterator[str]:
    """What a layer lacks and others of its type have. Layers beyond those of config.json do not count."""
    kinds = config.text.get("layer_types")
    types = list(kinds) if isinstance(kinds, list) else []
    for layer in range(config.layers):
        alike = [
            found[other]
            for other in range(config.layers)
            if len(types) <= max(layer, other) or types[other] == types[layer]
        ]
        yield from (f"{layer}.{name}" for name in sorted(set().union(*alike) - found[layer]))


def _outer(checkpoint: Checkpoint, config: ModelConfig) -> Iterator[str]:
    parts = config.family.parts
    if not parts.roles:
        return
    embedding = _named(checkpoint, parts.embedding)
    if not embedding:
        yield f"there is no {parts.embedding}.weight"
    elif embedding.endswith(".weight") and config.vocabulary and config.hidden_size:
        rows = checkpoint.info(embedding).shape[0]
        if rows != config.vocabulary:
            yield f"{embedding} has {rows:,} rows, and vocab_size is {config.vocabulary:,}"
    own_head = config.tied is False and config.architecture.endswith("ForCausalLM")
    if own_head and not _named(checkpoint, parts.head):
        yield f"there is no {parts.head}.weight, and tie_word_embeddings is false"


def _named(checkpoint: Checkpoint, module: str) -> str:
    """The tensor of a module by the last part of its path; empty when there is none."""
    kinds = ("weight", "qweight", "weight_packed", "weight_quantized")
    wanted = tuple(f"{module}.{kind}" for kind in kinds)
    return next((n for n in checkpoint.names() if n.endswith(wanted)), "")
