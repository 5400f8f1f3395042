"""The passes that need data: Gptq, Awq, AutoClip, SelectiveMixedPrecision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import AutoTokenizer

from modelpress.api import Artifact, Checkpoint, PassContext, parse_size
from modelpress_plugins.grids.stream import Report, read_float_config, stream_model
from modelpress_plugins.grids.targets import Choice, find_targets
from modelpress_plugins.quantize.activations import batches_of
from modelpress_plugins.quantize.algorithms.awq import Awq
from modelpress_plugins.quantize.algorithms.clip import AutoClip
from modelpress_plugins.quantize.algorithms.gptq import Gptq
from modelpress_plugins.quantize.config import (
    AutoClipConfig,
    AwqConfig,
    CalibratedConfig,
    GptqConfig,
    SelectiveMixedPrecisionConfig,
)
from modelpress_plugins.quantize.decoder import LayeredDecoder
from modelpress_plugins.quantize.layerwise import Algorithm, Calibration, quantize_layerwise
from modelpress_plugins.quantize.mixed import Budget, choose_grids
from modelpress_plugins.quantize.run import ROUNDERS, choice_of, tell


def gptq(model: Artifact, config: GptqConfig, ctx: PassContext) -> Artifact:
    return _quantize(model, config, ctx, Gptq(config.damp_percent, config.group_aware), "gptq")


def awq(model: Artifact, config: AwqConfig, ctx: PassContext) -> Artifact:
    clip = AutoClip(config.n_grid, config.max_shrink)
    return _quantize(model, config, ctx, Awq(clip, norm_offset(model.path)), "awq")


def autoclip(model: Artifact, config: AutoClipConfig, ctx: PassContext) -> Artifact:
    return _quantize(model, config, ctx, AutoClip(config.n_grid, config.max_shrink), "autoclip")


def selective_mixed_precision(
    model: Artifact, config: SelectiveMixedPrecisionConfig, ctx: PassContext
) -> Artifact:
    float_config = read_float_config(model.path)
    with Checkpoint(model.path) as checkpoint:
        budget = Budget(
            config.high_bits,
            config.high_group_size,
            None if config.max_size is None else parse_size(config.max_size),
            config.bits_per_weight,
            config.ratio,
        )
        decoder = LayeredDecoder(checkpoint, bool(model.meta.get("trust_remote_code")), _device(ctx))
        calibration = _calibration(model, config, ctx)
        choice = choose_grids(
            checkpoint, float_config, decoder, choice_of(config), budget, config.algorithm, calibration
        )
        targets = find_targets(checkpoint, float_config, choice)
    algorithms: Mapping[str, Algorithm] = {
        "gptq": Gptq(),
        "awq": Awq(norm_offset=norm_offset(model.path)),
        "autoclip": AutoClip(),
    }
    more = sum(part.grid.bits > config.bits for target in targets.all for part in target.parts)
    ctx.report("modules_with_more_bits", more)
    name = f"selective_mixed_precision+{config.quantizer}"
    if config.quantizer in ROUNDERS:
        report = stream_model(model.path, ctx.out, choice, ROUNDERS[config.quantizer], name, ctx.progress)
        return _finish(model, ctx, report)
    return _quantize(model, config, ctx, algorithms[config.quantizer], name, choice)


def _quantize(
    model: Artifact,
    config: CalibratedConfig,
    ctx: PassContext,
    algorithm: Algorithm,
    name: str,
    choice: Choice | None = None,
) -> Artifact:
    float_config = read_float_config(model.path)
    with Checkpoint(model.path) as checkpoint:
        targets = find_targets(checkpoint, float_config, choice or choice_of(config))
        decoder = LayeredDecoder(checkpoint, bool(model.meta.get("trust_remote_code")), _device(ctx))
        calibration = _calibration(model, config, ctx)
        report = quantize_layerwise(
            checkpoint, decoder, float_config, ctx.out, targets, algorithm, name, calibration
        )
    return _finish(model, ctx, report)


def _finish(model: Artifact, ctx: PassContext, report: Report) -> Artifact:
    tell(report, ctx)
    return ctx.artifact("hf-model", meta=model.meta)


def _calibration(model: Artifact, config: CalibratedConfig, ctx: PassContext) -> Calibration:
    tokenizer = AutoTokenizer.from_pretrained(
        model.path, trust_remote_code=bool(model.meta.get("trust_remote_code"))
    )
    text = read_float_config(model.path)
    context = int((text.get("text_config") or text).get("max_position_embeddings") or 2048)
    samples = ctx.data("calibration").samples(tokenizer)
    batches = batches_of(samples, config.calibration_tokens, context)
    ctx.report("calibration_tokens", sum(batch.numel() for batch in batches))
    return Calibration(
        batches=batches,
        sequential=config.true_sequential,
        limit=parse_size(config.activation_memory),
        scratch=ctx.scratch,
        finished=ctx.checkpoint,
        progress=ctx.progress,
    )


def norm_offset(folder: Path) -> float:
    """What the norms of a model's family add to their weight."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = str((config.get("text_config") or config).get("model_type", ""))
    return 1.0 if kind.startswith("gemma") else 0.0


def _device(ctx: PassContext) -> str:
    return "cuda" if ctx.accelerator.device == "gpu" and torch.cuda.is_available() else "cpu"
