"""The passes that need data."""

from __future__ import annotations

from modelpress.api import Artifact, Checkpoint, PassContext
from modelpress_plugins.grids.stream import read_float_config
from modelpress_plugins.grids.targets import find_targets
from modelpress_plugins.hf.files import meta_beside_tokenizer
from modelpress_plugins.hf.torch_device import torch_device
from modelpress_plugins.quantize.algorithms.code import code_of, own_options
from modelpress_plugins.quantize.calibration import calibration_of
from modelpress_plugins.quantize.config import CalibratedConfig
from modelpress_plugins.quantize.decoder import LayeredDecoder
from modelpress_plugins.quantize.layerwise import Algorithm, quantize_layerwise
from modelpress_plugins.quantize.marks import marked
from modelpress_plugins.quantize.run import choice_of, tell, tell_marks


def quantize(model: Artifact, config: CalibratedConfig, ctx: PassContext) -> Artifact:
    """For every algorithm that needs data."""
    return quantize_with(code_of(config.row)(**own_options(config)), model, config, ctx)


def quantize_with(
    algorithm: Algorithm, model: Artifact, config: CalibratedConfig, ctx: PassContext
) -> Artifact:
    source, marks = marked(model)
    float_config = read_float_config(source.path)
    choice = choice_of(config, marks)
    tell_marks(config, marks, ctx)
    with Checkpoint(source.path) as checkpoint:
        targets = find_targets(checkpoint, float_config, choice)
        decoder = LayeredDecoder(checkpoint, source.meta.trust_remote_code, device_of(ctx))
        calibration = calibration_of(source, config, ctx, sequential=config.true_sequential)
        report = quantize_layerwise(
            source,
            checkpoint,
            decoder,
            float_config,
            ctx.out,
            targets,
            algorithm,
            config.row.key,
            calibration,
            marks.overrides,
        )
    for title, layers in calibration.refused.items():
        ctx.note(
            f"{title}: not scaled in {layers} layers, where it would have changed what the layer computes "
            "(measured)."
        )
    tell(report, choice, ctx)
    return ctx.artifact("hf-model", meta=meta_beside_tokenizer(source.meta))


def device_of(ctx: PassContext) -> str:
    return torch_device(ctx.device).type
