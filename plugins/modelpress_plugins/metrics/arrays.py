"""Models that take and give arrays: run, timed, and compared with the input model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TypeGuard, TypeVar

import numpy as np

from modelpress.api import Artifact, LoadedModel, PassContext, UserError
from modelpress_plugins.metrics.config import DiscrepancyOptions, PeakMemoryOptions, SpeedOptions
from modelpress_plugins.onnx_graph.config import IoConfig
from modelpress_plugins.onnx_graph.peak import peak_above
from modelpress_plugins.onnx_graph.proof import Array, difference
from modelpress_plugins.tensor_model import Feed, TensorModel, TensorPart

T = TypeVar("T")


def takes_arrays(model: LoadedModel) -> TypeGuard[TensorModel]:
    """Whether it is a TensorModel."""
    return hasattr(model, "parts_on")


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


def timed_runs(model: TensorModel, config: SpeedOptions, ctx: PassContext, count: int) -> list[float]:
    """Seconds of each of so many runs, after those to warm up; of several graphs, of all one after the
    other."""
    parts = model.parts_on(ctx.accelerator.execution_provider)
    feeds = made_feeds(parts, config.io_config, ctx.seed)
    times: list[float] = []
    for turn in range(config.warmup_num + count):
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
            if not takes_arrays(loaded):
                raise _no_arrays(model)
            parts = loaded.parts_on(ctx.accelerator.execution_provider)
            for part, feed in zip(parts, made_feeds(parts, config.io_config, ctx.seed), strict=True):
                part.run(feed)

    return {"peak_memory": float(peak_above(run))}


def discrepancy(model: Artifact, config: DiscrepancyOptions, ctx: PassContext) -> Mapping[str, float]:
    """Between what the input model and this one give for the same made inputs: the largest and the mean of
    the absolute differences, the smallest cosine of an output, and how often the largest value of the last
    dimension is at the same place. One model is open at a time."""
    with closing(ctx.load(ctx.input_model)) as loaded:
        parts = _parts(loaded, ctx.input_model, ctx)
        feeds = [made_feeds(parts, config.io_config, ctx.seed + turn) for turn in range(config.samples)]
        expected = [_outputs(parts, feed) for feed in feeds]
    with closing(ctx.load(model)) as loaded:
        parts = _parts(loaded, model, ctx)
        given = [_outputs(parts, [_fitted(p, f) for p, f in zip(parts, feed, strict=True)]) for feed in feeds]
    try:
        found = difference([a for each in expected for a in each], [a for each in given for a in each])
    except ValueError as error:
        raise UserError(f"The model cannot be compared with the input model: {error}.") from None
    return {
        "discrepancy_largest": found.largest,
        "discrepancy_mean": found.mean,
        "discrepancy_cosine": found.cosine,
        "discrepancy_top_1": found.top_1,
    }


def _parts(loaded: LoadedModel, model: Artifact, ctx: PassContext) -> Sequence[TensorPart]:
    if not takes_arrays(loaded):
        raise _no_arrays(model)
    return loaded.parts_on(ctx.accelerator.execution_provider)


def _outputs(parts: Sequence[TensorPart], feeds: Sequence[Feed]) -> list[Array]:
    return [array for part, feed in zip(parts, feeds, strict=True) for array in part.run(feed)]


def _fitted(part: TensorPart, feed: Feed) -> Feed:
    """The same inputs for a graph whose inputs are of other types."""
    missing = [value.name for value in part.inputs if value.name not in feed]
    if missing:
        raise UserError(f"The model takes {', '.join(missing)}, which the input model does not.")
    return {
        value.name: np.asarray(feed[value.name]).astype(part.numpy_type(value.dtype)) for value in part.inputs
    }


def _no_arrays(model: Artifact) -> UserError:
    return UserError(f"A model of format {model.format} takes no arrays, so this metric cannot measure it.")
