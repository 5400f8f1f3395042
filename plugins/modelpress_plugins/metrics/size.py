"""Bytes on disk."""

from __future__ import annotations

from collections.abc import Mapping

from modelpress.api import Artifact, PassContext
from modelpress_plugins.metrics.config import SizeOptions


def size_on_disk(model: Artifact, config: SizeOptions, ctx: PassContext) -> Mapping[str, float]:
    """All files of the model, and of what an adapter stands on."""
    size = size_of(model)
    if model.base is not None and config.include_base:
        size += model.base.size
    return {"size_on_disk": float(size)}


def size_of(model: Artifact) -> int:
    """Bytes of its own files. It may be some files of a folder with others, which its meta names then."""
    named = model.meta.extra.get("files")
    if isinstance(named, list | tuple):
        return sum((model.path / str(name)).stat().st_size for name in named)
    return model.size
