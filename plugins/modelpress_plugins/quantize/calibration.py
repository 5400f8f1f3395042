"""The ids that a quantizer calibrates on: of the data that is named, or of a text of this package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelpress.api import Artifact, PassContext, Sample, parse_size
from modelpress_plugins.hf.config import read_config
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.hf.tokenizer import load_tokenizer
from modelpress_plugins.quantize.activations import batches_of
from modelpress_plugins.quantize.config import DataOptions
from modelpress_plugins.quantize.layerwise import Calibration

TEXT = Path(__file__).with_name("calibration.txt")
"""Prose, dialogue, instructions, tables, code: written for this, in the public domain. Whoever changes it
raises the version of every pass that calibrates."""

WINDOW = 512
"""Tokens of the text that make a sample."""


def calibration_of(
    model: Artifact, config: DataOptions, ctx: PassContext, *, sequential: bool = False
) -> Calibration:
    """Tokenized, in batches. sequential: see `Calibration`."""
    tokenizer = load_tokenizer(model)
    context = read_config(model.path).context_length or 2048
    samples = (
        own_samples(tokenizer) if config.data_config is None else ctx.data("calibration").samples(tokenizer)
    )
    batches = batches_of(samples, config.calibration_tokens, context)
    ctx.report("calibration_tokens", sum(batch.numel() for batch in batches))
    return Calibration(
        batches=batches,
        sequential=sequential,
        limit=parse_size(config.activation_memory),
        scratch=ctx.scratch,
        finished=ctx.checkpoint,
        progress=ctx.progress,
        note=ctx.note,
    )


def own_samples(tokenizer: HfTokenizer) -> Iterator[Sample]:
    """The text of this package in windows."""
    text = TEXT.read_text(encoding="utf-8")
    (ids,) = tokenizer([text], add_special_tokens=True, verbose=False)["input_ids"]
    for start in range(0, len(ids), WINDOW):
        window = ids[start : start + WINDOW]
        yield Sample(window, window)
