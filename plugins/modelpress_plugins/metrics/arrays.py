"""Models that take and give arrays: run on made inputs or on data, timed, weighed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import TypeGuard

from modelpress.api import Artifact, LoadedModel, PassContext, UserError
from modelpress_plugins.metrics.config import PeakMemoryOptions, SpeedOptions
from modelpress_plugins.onnx_graph.config import IoConfig
from modelpress_plugins.onnx_graph.feeds import Feeder, tokenizer_of
from modelpress_plugins.onnx_graph.peak import peak_above
from modelpress_plugins.tensor_model import Feed, TensorModel, TensorPart

_VARIETY = 32
"""Different inputs that are timed, at most."""


def takes_arrays(model: LoadedModel) -> TypeGuard[TensorModel]:
    """Whether it is a TensorModel."""
    return hasattr(model, "parts_on")


def as_arrays(loaded: LoadedModel, model: Artifact) -> TensorModel:
    """Raises UserError where it is no TensorModel."""
    if not takes_arrays(loaded):
        raise UserError(
            f"A model of format {model.format} takes no arrays, so this metric cannot measure it."
        )
    return loaded


def made_feeds(parts: Sequence[TensorPart], told: IoConfig | None, seed: int) -> list[Feed]:
    """Made inputs for each graph. told: names and shapes that count. Raises UserError for one that no graph
    has."""
    shapes = dict(zip(told.input_names or (), told.input_shapes or (), strict=False)) if told else {}
    known = {value.name for part in parts for value in part.inputs}
    for name in shapes:
        if name not in known:
            raise UserError(f"The model has no input {name!r}.", f"It has {', '.join(sorted(known))}.")
    return [
        part.made_inputs({v.name: shapes[v.name] for v in part.inputs if v.name in shapes}, seed)
        for part in parts
    ]


def data_feeds(
    model: Artifact, parts: Sequence[TensorPart], ctx: PassContext, count: int
) -> list[list[Feed]]:
    """The first rows of the data as inputs: of each row, those of each graph. Raises UserError for data that
    do not fit, or are none."""
    feeders = [Feeder(part.inputs, part.numpy_type) for part in parts]
    columns = [
        list(islice(feeder.from_data(ctx.data("data"), lambda: tokenizer_of(model)), count))
        for feeder in feeders
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def timed_runs(
    model: Artifact, loaded: TensorModel, config: SpeedOptions, ctx: PassContext, count: int
) -> list[float]:
    """Seconds of each of so many runs, after those to warm up; of several graphs, of all one after the
    other."""
    parts = loaded.parts_on(ctx.accelerator.execution_provider)
    if config.data_config is None:
        rows = [made_feeds(parts, config.io_config, ctx.seed)]
    else:
        rows = data_feeds(model, parts, ctx, min(count + config.warmup_num, _VARIETY))
    times: list[float] = []
    for turn in range(config.warmup_num + count):
        feeds = rows[turn % len(rows)]
        started = time.perf_counter()
        for part, feed in zip(parts, feeds, strict=True):
            part.run(feed)
        if turn >= config.warmup_num:
            times.append(max(time.perf_counter() - started, 1e-9))
        ctx.progress(turn + 1, config.warmup_num + count, "runs")
        time.sleep(config.sleep_num)
    return times


def peak_memory(model: Artifact, config: PeakMemoryOptions, ctx: PassContext) -> Mapping[str, float]:
    """Bytes that opening the model and running it once take beyond what the process had."""

    def run() -> None:
        with closing(ctx.load(model)) as loaded:
            parts = as_arrays(loaded, model).parts_on(ctx.accelerator.execution_provider)
            if config.data_config is None:
                feeds = made_feeds(parts, config.io_config, ctx.seed)
            else:
                feeds = data_feeds(model, parts, ctx, 1)[0]
            for part, feed in zip(parts, feeds, strict=True):
                part.run(feed)

    return {"peak_memory": float(peak_above(run))}
