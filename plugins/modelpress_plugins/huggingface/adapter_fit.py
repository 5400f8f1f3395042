"""Whether an adapter belongs to a base model, told by names and shapes alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modelpress.api import Checkpoint, UserError
from modelpress_plugins.hf.adapter import STEM, read_adapter, why_not
from modelpress_plugins.hf.adapter_targets import match
from modelpress_plugins.hf.config import ModelConfig


def misfit(adapter: Path, config: Mapping[str, object], base: Path, base_config: ModelConfig) -> str:
    """Why the adapter does not fit the base; empty when nothing speaks against it.

    An adapter that cannot be merged exactly may still be opened: it is not judged. Nor is a name that is not
    found, as long as another one is: transformers may rename it on loading.
    """
    if why_not(config) or base_config.quantization:
        return ""
    try:
        with Checkpoint(adapter, STEM) as deltas, Checkpoint(base) as weights:
            changes = read_adapter(adapter, deltas)
            found = match(changes, weights, deltas, base_config, load=None).edits
    except UserError as error:
        return error.message
    plain = base_config.family.known and base_config.family.experts is None
    if changes.low_rank and not found and plain and "text_config" not in base_config.document:
        first = next(iter(changes.low_rank.values())).module
        return f"The base has no {first}, nor any other module that the adapter changes."
    return ""
