"""Show that a built model works: on what it is for where that is here, else on this machine's CPU."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelpress.api import Artifact, Checkpoint, PassContext, PassError
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.hf.bare_model import open_config
from modelpress_plugins.hf.config import read_config
from modelpress_plugins.model_builder.config import ModelBuilderOptions, asks_for
from modelpress_plugins.model_builder.cpu_twin import make_cpu_twin
from modelpress_plugins.model_builder.graph import shares_embedding
from modelpress_plugins.model_builder.graph_tensors import UnknownGraphError
from modelpress_plugins.model_builder.plan import OWN_QUANTIZER_OPTIONS
from modelpress_plugins.model_builder.reference import NoReferenceError, Replaced, reference_logits
from modelpress_plugins.model_builder.rounding import GraphWeights
from modelpress_plugins.model_builder.runtime import og
from modelpress_plugins.model_builder.switches import require_windows, texts
from modelpress_plugins.model_builder.verify import (
    Logits,
    Trial,
    relative_error,
    require_finite,
    require_rounding,
    require_same,
    try_out,
    twin_reference,
    verify,
)

_AVAILABLE: Mapping[str, Callable[[], bool]] = {
    "cuda": og.is_cuda_available,
    "dml": og.is_dml_available,
    "webgpu": og.is_webgpu_available,
}
"""By the builder's name; of TensorRT-RTX the runtime cannot tell before a model is opened."""
_LACKING = ("Could not find an implementation", "NOT_IMPLEMENTED", "not supported", "not implemented")
"""How onnxruntime says that its CPU has no kernel for a node."""
_log = logging.getLogger("modelpress.model_builder")
_BITS = {"int4": 4, "int8": 8}


@dataclass(frozen=True, slots=True)
class Built:
    """What is to be proved.

    artifact, graph: the model, and its decoder's file
    source:    the folder that the builder read; own_rounding: whether the builder itself rounded its weights
    provider:  the builder's name of what it is for
    """

    artifact: Artifact
    graph: Path
    source: Path
    own_rounding: bool
    provider: str
    trust_remote_code: bool


def prove(built: Built, config: ModelBuilderOptions, ctx: PassContext) -> None:
    """Load it, let it answer, and compare its logits where there is something to compare with, on texts that
    reach past each switch of the architecture. Raises PassError when it is not what its source is."""
    here = runs_here(built.provider, ctx)
    provider = ctx.accelerator.execution_provider
    if config.verify == "required" and not here:
        raise PassError(
            f"verify is required, and the onnxruntime-genai that runs here has no {provider}.",
            "Run the step on a machine that has it, or set verify to auto.",
        )
    told = "" if here else f"Built for {provider}; not run here. "
    if config.exclude_embeds or config.exclude_lm_head:
        if here:
            ctx.load(built.artifact, ctx.accelerator.device).close()
        did = "The model was loaded" if here else "Its files were checked"
        ctx.note(f"{told}{did}, but a model without embedding or head cannot be asked anything.")
    elif here:
        _compare_all(built, config, ctx, ctx.accelerator.device)
    else:
        ctx.note(told + _on_this_cpu(built, config, ctx))


def runs_here(provider: str, ctx: PassContext) -> bool:
    """Whether a model for this provider can be tried where it is built."""
    if provider == "cpu":
        return True
    return ctx.target_is_here and provider in _AVAILABLE and _AVAILABLE[provider]()


def _on_this_cpu(built: Built, config: ModelBuilderOptions, ctx: PassContext) -> str:
    """Compare the model's twin, as far as this CPU can compute it; what that showed, as a sentence."""
    folder = make_cpu_twin(built.artifact.path, built.graph.name, ctx.scratch / "twin")
    twin = replace(built, artifact=replace(built.artifact, path=folder), graph=folder / built.graph.name)
    try:
        off = _compare_all(twin, config, ctx, "cpu")
    except PassError as error:
        if not any(words in error.message for words in _LACKING):
            raise
        return f"This CPU cannot compute its graph: its files were checked. {error.message}"
    finally:
        shutil.rmtree(folder)
    if off is None:
        return "On this CPU it answers; it was not compared with its source."
    return f"Its graph, computed on this CPU, gives the logits of its source (off by {off:.2%})."


def _compare_all(built: Built, config: ModelBuilderOptions, ctx: PassContext, device: str) -> float | None:
    """The largest relative error; None where nothing was compared."""
    described = open_config(built.source, trust_remote_code=built.trust_remote_code)
    require_windows(built.graph, described)
    planned, missed = texts(described)
    first, *longer = planned
    if config.verify == "never":
        try_out(built.artifact, ctx, device=device, length=first.length)
        ctx.note("The logits were not compared with the source: verify is never.")
        return None
    weights, started = _numbers(built.source), time.monotonic()
    errors = [_compare(built, try_out(built.artifact, ctx, device=device, length=first.length), config, ctx)]
    pace = (time.monotonic() - started) / first.length
    for text in longer:
        if text.affordable(weights, pace):
            trial = try_out(built.artifact, ctx, device=device, length=text.length)
            errors.append(_compare(built, trial, config, ctx))
        else:
            missed.extend(text.past)
    for switch in missed:
        ctx.note(
            f"Positions past {switch.position:,}, where {switch.what} begins to count, were not compared: "
            "that is too much to compute here."
        )
    found = [error for error in errors if error is not None]
    if found:
        ctx.report("logits_error", round(max(found), 5))
    return max(found, default=None)


def _compare(built: Built, trial: Trial, config: ModelBuilderOptions, ctx: PassContext) -> float | None:
    """The relative error of a trial; None where there is no reference."""
    artifact, graph, precision = built.artifact, built.graph, config.precision
    if trial.first and not asks_for(config, "prune_lm_head"):
        raise PassError(f"The built model gives {len(trial.logits)} logits for {len(trial.ids)} ids.")
    whole = partial(
        reference_logits,
        built.source,
        trust_remote_code=built.trust_remote_code,
        embedding_from_head=shares_embedding(graph),
    )

    def expected(ids: Sequence[int], rounded: Grid | None = None, replaced: Replaced | None = None) -> Logits:
        return whole(ids, rounded=rounded, replaced=replaced)[trial.first :]

    kernels = partial(_kernels, artifact, graph, trial, ctx)
    if built.own_rounding:
        return _compare_own(built, trial, expected, config, ctx)
    try:
        return verify(artifact, graph, trial, precision, expected, ctx)
    except NoReferenceError as error:
        if precision in _BITS:
            return verify(artifact, graph, trial, precision, kernels, ctx)
        ctx.note(f"The logits were not compared with the source: {error}.")
        return None


def _compare_own(
    built: Built, trial: Trial, expected: Callable[..., Logits], config: ModelBuilderOptions, ctx: PassContext
) -> float | None:
    """What the builder itself rounded: its weights against the source block by block, and the graph against
    transformers with these weights. Where they cannot be told apart, logits against the source."""
    here = runs_here(built.provider, ctx)
    # What is for another machine was made a twin that computes in float: it has no kernels to be wrong.
    fine = twin_reference(built.artifact, built.graph, trial, ctx) if here else trial.logits
    error = None
    if here:
        error = verify(built.artifact, built.graph, trial, config.precision, lambda _: fine, ctx)
    try:
        same, limit = _with_graph_weights(built, trial, expected)
        exact = expected(trial.ids)
    except (NoReferenceError, UnknownGraphError) as reason:
        _log.debug("%s", reason)
        found = _compare_rounding(trial, expected, config, ctx)
        return found if error is None else error
    require_finite(exact)
    ctx.report("rounding_error", round(relative_error(trial.logits, exact), 5))
    off = require_same(fine, same, limit)
    return off if error is None else error


def _with_graph_weights(built: Built, trial: Trial, expected: Callable[..., Logits]) -> tuple[Logits, float]:
    """Logits of the source with the graph's weights in the place of its own, and how far from them the graph
    may be. Raises PassError where the weights are not its own, rounded."""
    with Checkpoint(built.source) as checkpoint:
        weights = GraphWeights(built.graph, checkpoint, read_config(built.source))
        weights.compare_all()
        return expected(trial.ids, replaced=weights.rows), weights.tolerance(built.provider)


def _compare_rounding(
    trial: Trial, expected: Callable[..., Logits], config: ModelBuilderOptions, ctx: PassContext
) -> float | None:
    """What the builder itself rounded, against the float model: it may be off by what rounding costs. Returns
    how far it is off; None where there is no reference."""
    grid = Grid(_BITS[config.precision], config.block_size or 32, config.is_symmetric is not False)
    plain = config.algo_config in (None, "default", "rtn") and not config.nodes_to_exclude
    plain = plain and not set(config.extra_options) & OWN_QUANTIZER_OPTIONS
    try:
        exact, nearest = expected(trial.ids), expected(trial.ids, rounded=grid)
        require_finite(exact)
        return require_rounding(trial, exact, nearest, config.precision, ctx, to_nearest=plain)
    except NoReferenceError as error:
        ctx.note(f"The logits were compared with those of the rounded model, not of its source: {error}.")
        return None


def _numbers(folder: Path) -> int:
    """How many weights a checkpoint holds, those of packed tensors counted by their bytes."""
    with Checkpoint(folder) as checkpoint:
        return sum(checkpoint.info(name).nbytes for name in checkpoint.names()) // 2


def _kernels(artifact: Artifact, graph: Path, trial: Trial, ctx: PassContext, _: Sequence[int]) -> Logits:
    return twin_reference(artifact, graph, trial, ctx)
