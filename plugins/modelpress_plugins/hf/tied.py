"""Whether head and embedding are one tensor: config.json alone does not tell. Light: headers, and bytes.

`tie_word_embeddings` is left out where it is an architecture's default, and some checkpoints that say it
hold two different tensors: transformers then keeps both, and so must whatever is made of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from modelpress.api import Checkpoint
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.families import EMBEDDINGS, HEADS

_CHUNK = 16 * 2**20


def is_tied(checkpoint: Checkpoint, config: ModelConfig) -> bool:
    """As transformers decides when it loads: two that differ are two, whatever config.json says."""
    embedding, head = embedding_of(checkpoint, config), head_of(checkpoint, config)
    if not embedding or config.tied is False:
        return False
    return not head or _same_bytes(checkpoint, embedding, head)


def contradicts(checkpoint: Checkpoint, config: ModelConfig) -> bool:
    """Whether config.json ties two tensors that differ."""
    return config.tied is True and bool(head_of(checkpoint, config)) and not is_tied(checkpoint, config)


def embedding_of(checkpoint: Checkpoint, config: ModelConfig) -> str:
    """The tensor of the input embedding; empty where none has a name that is known."""
    return _ending(checkpoint, _names(config, config.family.parts.embedding, EMBEDDINGS))


def head_of(checkpoint: Checkpoint, config: ModelConfig) -> str:
    """The tensor of the output layer; empty where the checkpoint has none of its own."""
    return _ending(checkpoint, _names(config, config.family.parts.head, HEADS))


def _names(config: ModelConfig, own: str, all_known: Iterable[str]) -> Iterable[str]:
    return (own,) if config.family.known else all_known


def _ending(checkpoint: Checkpoint, modules: Iterable[str]) -> str:
    for module in modules:
        for name in sorted(checkpoint.names()):
            if name == f"{module}.weight" or name.endswith(f".{module}.weight"):
                return name
    return ""


def _same_bytes(checkpoint: Checkpoint, one: str, other: str) -> bool:
    first, second = checkpoint.info(one), checkpoint.info(other)
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    return all(
        checkpoint.read(one, start, start + _CHUNK) == checkpoint.read(other, start, start + _CHUNK)
        for start in range(0, first.nbytes, _CHUNK)
    )
