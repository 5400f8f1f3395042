"""OrtSessionParamsTuning: the settings of onnxruntime that run a model fastest, kept with it."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import product

from modelpress.api import Artifact, JSONValue, PassContext
from modelpress_plugins.onnx.pass_config import SessionTuningOptions
from modelpress_plugins.onnx_graph.facts import read_facts
from modelpress_plugins.onnx_graph.folder import copy_companions, files_of, graph_names, meta_of_result
from modelpress_plugins.onnx_graph.ort import onnxruntime
from modelpress_plugins.onnx_graph.press import shapes_of
from modelpress_plugins.onnx_graph.session import OnnxModel

SETTINGS = "inference_settings"


def run(model: Artifact, config: SessionTuningOptions, ctx: PassContext) -> Artifact:
    """For PassSpec.run. The graphs stay as they are."""
    provider = ctx.accelerator.execution_provider
    if not ctx.target_is_here or provider not in onnxruntime.get_available_providers():
        ctx.note(f"There is no {provider} here: nothing was timed, and the settings stay.")
        return _copied(model, ctx, {})
    tried = list(_candidates(config, provider))
    before = _milliseconds(model, {}, config, ctx)
    found: list[tuple[float, dict[str, JSONValue]]] = []
    for number, settings in enumerate(tried):
        found.append((_milliseconds(model, settings, config, ctx), settings))
        ctx.progress(number + 1, len(tried), "settings")
    took, best = min(found, key=lambda each: each[0])
    ctx.note(
        f"Of {len(tried)} settings the fastest takes {took:.3g} ms a run, by default it is {before:.3g} ms."
    )
    return _copied(model, ctx, {SETTINGS: best})


def _copied(model: Artifact, ctx: PassContext, extra: dict[str, JSONValue]) -> Artifact:
    names = graph_names(model.path, model.format, model.meta)
    for file in {file for name in names for file in files_of(name, read_facts(model.path / name))}:
        (ctx.out / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model.path / file, ctx.out / file)
    copy_companions(model, ctx.out, names)
    meta = meta_of_result(model.meta)
    return ctx.artifact(model.format, meta=replace(meta, extra={**meta.extra, **extra}))


def _candidates(config: SessionTuningOptions, provider: str) -> Iterator[dict[str, JSONValue]]:
    cores = config.cpu_cores or os.cpu_count() or 1
    threads = _several(config.intra_thread_num_list) or sorted({1, max(1, cores // 2), cores})
    for mode, level, intra, inter in product(
        _several(config.execution_mode_list) or [0],
        _several(config.opt_level_list) or [99],
        threads,
        _several(config.inter_thread_num_list) or [1],
    ):
        options: dict[str, JSONValue] = {
            "execution_mode": mode,
            "graph_optimization_level": level,
            "intra_op_num_threads": intra,
            "inter_op_num_threads": inter,
        }
        if config.extra_session_config:
            options["extra_session_config"] = dict(config.extra_session_config)
        yield {
            "execution_provider": [provider],
            "provider_options": [dict(config.provider_options_list)],
            "session_options": options,
        }


def _several(value: int | str | tuple[int | str, ...] | tuple[int, ...] | None) -> list[int | str]:
    return [] if value is None else list(value) if isinstance(value, tuple) else [value]


def _milliseconds(
    model: Artifact, settings: dict[str, JSONValue], config: SessionTuningOptions, ctx: PassContext
) -> float:
    """Of a run of all graphs: the median."""
    tuned = replace(model, meta=replace(model.meta, extra={**model.meta.extra, SETTINGS: settings}))
    with closing(OnnxModel(tuned, ctx.accelerator.device)) as opened:
        parts = opened.parts_on(ctx.accelerator.execution_provider)
        shapes = shapes_of(config.io_config, model)
        feeds = [part.made_inputs(shapes, ctx.seed) for part in parts]
        times = []
        for turn in range(config.warmup_num + config.repeat_test_num):
            started = time.perf_counter()
            for part, feed in zip(parts, feeds, strict=True):
                part.run(feed)
            if turn >= config.warmup_num:
                times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)
