"""How long a model takes to open."""

from __future__ import annotations

import time
from collections.abc import Mapping

from modelpress.api import Artifact, Estimate, PassContext
from modelpress_plugins.metrics.config import LoadOptions
from modelpress_plugins.metrics.spread import mean


def load_time(model: Artifact, config: LoadOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Seconds until the model stands ready in its runtime; its files are in the system's memory by then, as
    far as they fit, and libraries are imported."""
    times: list[float] = []
    total = config.warmup_num + config.repeat_test_num
    for turn in range(total):
        started = time.perf_counter()
        loaded = ctx.load(model)
        took = time.perf_counter() - started
        loaded.close()
        if turn >= config.warmup_num:
            times.append(took)
        ctx.progress(turn + 1, total, "times")
    return {"load_time_s": mean(times)}
