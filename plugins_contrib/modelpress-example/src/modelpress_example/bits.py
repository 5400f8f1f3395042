"""The metric."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import numpy as np

from modelpress.api import Artifact, PassContext, TextModel

from .letters import Letters
from .options import BitsOptions

_TEXT = "the quick brown fox jumps over the lazy dog"


def bits_per_character(model: Artifact, options: BitsOptions, ctx: PassContext) -> Mapping[str, float]:
    lines = [_TEXT]
    if options.data_config:
        lines = [row["line"] for row in ctx.data("text").records()]
    loaded: TextModel = ctx.load(model)  # type: ignore[assignment]
    try:
        total, count = 0.0, 0
        for done, line in enumerate(lines, start=1):
            ids = Letters().encode(line)
            rows = np.asarray(loaded.logits(ids[:-1]), dtype=np.float64)
            rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
            total -= float(rows[np.arange(len(ids) - 1), ids[1:]].sum()) / log(2)
            count += len(ids) - 1
            ctx.progress(done, len(lines), "lines")
    finally:
        loaded.close()
    return {"bits_per_character": total / max(count, 1)}
