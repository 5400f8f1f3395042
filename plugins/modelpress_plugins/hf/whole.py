"""Whether a checkpoint fills the model that transformers builds of its config.json, name by name.

transformers fills gaps with random numbers and says so in a log that nobody reads. `complete.py` finds what
the headers alone show, before any work; this asks the model's own class, where a model is opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from modelpress.api import Checkpoint, UserError
from modelpress_plugins.hf.bare_model import bare_model, open_config
from modelpress_plugins.hf.config import read_config
from modelpress_plugins.tensors.bytes import is_finite, read_tensor

_TOLD = 3
_ROWS = 2**14


def require_whole(folder: Path, *, trust_remote_code: bool) -> list[str]:
    """Raises UserError that names the tensors that the model has and the checkpoint lacks, or has in another
    shape. Returns what nothing in the model takes, as sentences. A quantized one is left to its reader."""
    if read_config(folder).quantization:
        return []
    config = open_config(folder, trust_remote_code=trust_remote_code)
    try:
        model: Any = bare_model(config, trust_remote_code=trust_remote_code)
    except ValueError:  # not a language model to transformers: its own reader has to know
        return []
    state: dict[str, torch.Tensor] = model.state_dict()
    with Checkpoint(folder) as checkpoint:
        shapes = {name: tuple(checkpoint.info(name).shape) for name in checkpoint.names()}
    transforms = get_model_conversion_mapping(model)
    renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
    converters = [t for t in transforms if isinstance(t, WeightConverter)]
    loaded: dict[
        str, tuple[str, bool]
    ] = {}  # (the name once loaded, whether it is then part of another tensor)
    for name in shapes:
        target, part_of = rename_source_key(name, renamings, converters, model.base_model_prefix, state)
        loaded[name] = target, part_of is not None
    filled = {target for target, _ in loaded.values()}
    tied = set(model.all_tied_weights_keys)
    lacking = [
        f"{n} is missing" for n in state if n not in filled | tied and not _spared(n, model, "missing")
    ]
    lacking += [
        f"{name} is {list(shape)}, expected {list(state[target].shape)}"
        for name, shape in shapes.items()
        for target, fused in [loaded[name]]
        if not fused and target in state and tuple(state[target].shape) != shape
    ]
    if lacking:
        raise UserError(
            f"The weights in {folder} are not those of its config.json: {_some(lacking, '; ')}.",
            "Fetch the whole checkpoint, or the config.json that it was saved with.",
        )
    left = [
        n
        for n, (target, _) in loaded.items()
        if target not in state and not _spared(target, model, "unexpected")
    ]
    return (
        [f"Nothing in {type(model).__name__} takes {_some(left, ', ')} of the weights: left out."]
        if left
        else []
    )


def require_finite(folder: Path, names: Iterable[str] | None = None) -> None:
    """Raises UserError that names a tensor with a NaN or an infinite number. names: those to look at; None:
    all that are float."""
    with Checkpoint(folder) as checkpoint:
        for name in checkpoint.names() if names is None else names:
            info = checkpoint.info(name)
            if not info.dtype.startswith(("F16", "F32", "BF16", "F64")):
                continue
            rows = info.shape[0] if len(info.shape) > 1 else 0
            spans = [slice(i, i + _ROWS) for i in range(0, rows, _ROWS)] if rows > _ROWS else [None]
            for span in spans:
                found = read_tensor(checkpoint, name) if span is None else read_tensor(checkpoint, name, span)
                if not is_finite(found):
                    raise UserError(
                        f"{name} in {folder} has numbers that are not finite (NaN or infinite).",
                        "Fetch or train the model again: what such a weight computes is lost.",
                    )


def _spared(name: str, model: Any, which: str) -> bool:
    """Whether the model's class says that this is no loss."""
    patterns: Iterable[str] = getattr(model, f"_keys_to_ignore_on_load_{which}", None) or ()
    return any(re.search(pattern, name) for pattern in patterns)


def _some(texts: list[str], between: str) -> str:
    more = f" and {len(texts) - _TOLD} more" if len(texts) > _TOLD else ""
    return between.join(texts[:_TOLD]) + more
