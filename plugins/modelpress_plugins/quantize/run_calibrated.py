"""The passes that need data, and SelectiveMixedPrecision."""

from __future__ import annotations

import torch
from transformers import AutoTokenizer

from modelpress.api import Artifact, Checkpoint, PassContext, parse_size
from modelpress_plugins.grids.stream import Report, read_float_config, stream_model
from modelpress_plugins.grids.targets import Choice, find_targets
from modelpress_plugins.quantize.activations import batches_of
from modelpress_plugins.quantize.algorithms.code import code_of, own_options, row_of
from modelpress_plugins.quantize.config import CalibratedConfig, SelectiveMixedPrecisionConfig
from modelpress_plugins.quantize.decoder import LayeredDecoder
from modelpress_plugins.quantize.layerwise import Algorithm, Calibration, quantize_layerwise
from modelpress_plugins.quantize.mixed import Budget, choose_grids
from modelpress_plugins.quantize.run import choice_of, tell


def quantize(model: Artifact, config: CalibratedConfig, ctx: PassContext) -> Artifact:
    """For every algorithm that needs data."""
    algorithm: Algorithm = code_of(config.row)(**own_options(config))
    return _quantize(model, config, ctx, algorithm, config.row.key)


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
        decoder = LayeredDecoder(checkpoint, model.meta.trust_remote_code, _device(ctx))
        calibration = _calibration(model, config, ctx)
        choice = choose_grids(
            checkpoint, float_config, decoder, choice_of(config), budget, config.algorithm, calibration
        )
        targets = find_targets(checkpoint, float_config, choice)
    more = sum(part.grid.bits > config.bits for target in targets.all for part in target.parts)
    ctx.report("modules_with_more_bits", more)
    name = f"selective_mixed_precision+{config.quantizer}"
    row = row_of(config.quantizer)
    if row.calibrated:
        return _quantize(model, config, ctx, code_of(row)(), name, choice)
    report = stream_model(model.path, ctx.out, choice, code_of(row), name, ctx.progress)
    return _finish(model, ctx, report)


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
        decoder = LayeredDecoder(checkpoint, model.meta.trust_remote_code, _device(ctx))
        calibration = _calibration(model, config, ctx)
        report = quantize_layerwise(
            checkpoint, decoder, float_config, ctx.out, targets, algorithm, name, calibration
        )
    for title, layers in calibration.refused.items():
        ctx.note(
            f"{title}: not scaled in {layers} layers, where it would have changed what the layer computes "
            "(measured)."
        )
    return _finish(model, ctx, report)


def _finish(model: Artifact, ctx: PassContext, report: Report) -> Artifact:
    tell(report, ctx)
    return ctx.artifact("hf-model", meta=model.meta)


def _calibration(model: Artifact, config: CalibratedConfig, ctx: PassContext) -> Calibration:
    tokenizer = AutoTokenizer.from_pretrained(model.path, trust_remote_code=model.meta.trust_remote_code)
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


def _device(ctx: PassContext) -> str:
    return "cuda" if ctx.accelerator.device == "gpu" and torch.cuda.is_available() else "cpu"
