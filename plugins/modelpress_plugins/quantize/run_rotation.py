"""QuaRot: rotate a float model."""

from __future__ import annotations

from modelpress.api import Artifact, PassContext
from modelpress_plugins.hf.files import meta_beside_tokenizer
from modelpress_plugins.quantize.config import QuaRotConfig
from modelpress_plugins.quantize.quarot import rotate_model


def quarot(model: Artifact, config: QuaRotConfig, ctx: PassContext) -> Artifact:
    rotate_model(model, ctx.out, config.rotate_mode, config.seed, ctx.progress)
    return ctx.artifact("hf-model", meta=meta_beside_tokenizer(model.meta))
