"""What numbers would be, by what a plan knows of a model. Light."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress.api import ModelFacts
from modelpress_plugins.metrics.config import SizeOptions


def size_on_disk(model: ModelFacts, config: SizeOptions) -> Mapping[str, float]:
    """Bytes; nothing where the plan does not know them."""
    base = model.base.size if model.base and config.include_base else 0
    known = model.size and (base or not (model.base and config.include_base))
    return {"size_on_disk": float(model.size + base)} if known else {}
