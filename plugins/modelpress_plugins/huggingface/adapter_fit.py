"""Whether an adapter belongs to a base model, told by names and shapes alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelpress.api import Checkpoint

_PREFIX = "base_model.model."


def misfit(adapter: Path, config: Mapping[str, Any], base: Path) -> str:
    """Why the adapter does not fit the base; empty when nothing speaks against it.

    Shapes are compared for LoRA, whose factors show the size of the weight. A base whose tensors have other
    names on disk than in transformers (some mixtures of experts) is not judged by names it does not have.
    """
    with Checkpoint(adapter, stem="adapter_model") as small, Checkpoint(base) as large:
        known = 0
        for module, side, size in _lora_factors(small, bool(config.get("fan_in_fan_out"))):
            name = f"{module}.weight"
            if name not in large:
                continue
            known += 1
            shape = large.info(name).shape
            if len(shape) == 2 and shape[side] != size:
                return f"{name} has {shape[side]} {('rows', 'columns')[side]}, the adapter's factor {size}."
        modules = {module for module, _, _ in _lora_factors(small, False)}
        if modules and not known:
            return f"the base has no {sorted(modules)[0]}, nor any other module that the adapter changes."
    return ""


def _lora_factors(adapter: Checkpoint, transposed: bool) -> Iterator[tuple[str, int, int]]:
    """(module, axis of the base's weight, the size that it must have), for each LoRA factor."""
    for name in adapter.names():
        shape = adapter.info(name).shape
        module, mark, factor = name.removeprefix(_PREFIX).partition(".lora_")
        if not mark or len(shape) != 2:
            continue
        if factor == "A.weight":
            yield module, int(not transposed), shape[1]
        elif factor == "B.weight":
            yield module, int(transposed), shape[0]
