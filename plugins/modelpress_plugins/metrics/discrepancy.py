"""How far a model's outputs are from those of the model that it was made from, whatever both take."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import cast

import numpy as np

from modelpress.api import Artifact, LoadedModel, PassContext, Sample, TextModel, UserError
from modelpress_plugins.metrics.arrays import data_feeds, made_feeds, takes_arrays
from modelpress_plugins.metrics.config import DiscrepancyOptions
from modelpress_plugins.onnx_graph.feeds import Array, Feeder
from modelpress_plugins.onnx_graph.proof import difference
from modelpress_plugins.onnx_graph.text_inputs import IDS, LOGITS
from modelpress_plugins.tensor_model import Feed, TensorPart

_PROMPT = 16
"""Ids of a made-up text."""


def discrepancy(model: Artifact, config: DiscrepancyOptions, ctx: PassContext) -> Mapping[str, float]:
    """Between what the input model and this one give for the same inputs: the largest and the mean of the
    absolute differences, the smallest cosine of an output, and how often the largest value of the last
    dimension is at the same place. Of language models that take ids, logits are compared, whatever their
    formats. One model is open at a time."""
    source = ctx.input_model
    with closing(ctx.load(source)) as loaded:
        asked, expected = _asked(source, loaded, config, ctx)
    with closing(ctx.load(model)) as loaded:
        if takes_arrays(loaded):
            parts = loaded.parts_on(ctx.accelerator.execution_provider)
            given = [_by_parts(parts, _fitted(parts, feeds)) for feeds in asked]
        else:
            given = [{LOGITS: _logits(loaded, model, feeds)} for feeds in asked]
    pairs = [pair for one, other in zip(expected, given, strict=True) for pair in _paired(one, other)]
    try:
        found = difference([one for one, _ in pairs], [other for _, other in pairs])
    except ValueError as error:
        raise UserError(f"The model cannot be compared with the input model: {error}.") from None
    return {
        "discrepancy_largest": found.largest,
        "discrepancy_mean": found.mean,
        "discrepancy_cosine": found.cosine,
        "discrepancy_top_1": found.top_1,
    }


Outputs = dict[str, Array]


def _asked(
    source: Artifact, loaded: LoadedModel, config: DiscrepancyOptions, ctx: PassContext
) -> tuple[list[list[Feed]], list[Outputs]]:
    """The inputs of each sample, and what the input model gives for them."""
    if takes_arrays(loaded):
        parts = loaded.parts_on(ctx.accelerator.execution_provider)
        if config.data_config is None:
            turns = range(config.samples)
            asked = [made_feeds(parts, config.io_config, ctx.seed + turn) for turn in turns]
        else:
            asked = data_feeds(source, parts, ctx, config.samples)
        return asked, [_by_parts(parts, feeds) for feeds in asked]
    texts = list(islice(_texts(_as_text(loaded, source), config, ctx), config.samples))
    asked = [[{IDS: np.asarray([text.input_ids], np.int64)}] for text in texts]
    return asked, [{LOGITS: _logits(loaded, source, feeds)} for feeds in asked]


def _texts(model: TextModel, config: DiscrepancyOptions, ctx: PassContext) -> Sequence[Sample]:
    if config.data_config is not None:
        longest = model.context_length
        samples = islice(ctx.data("data").samples(model.tokenizer, config.samples), config.samples)
        return [Sample(s.input_ids[:longest], s.labels[:longest]) for s in samples if s.input_ids]
    special = set(model.tokenizer.all_special_ids)
    ids = [i for i in range(min(len(model.tokenizer), 100_000)) if i not in special] or [0]
    draw = random.Random(ctx.seed)
    made = (draw.choices(ids, k=min(_PROMPT, model.context_length)) for _ in range(config.samples))
    return [Sample(text, text) for text in made]


def _as_text(loaded: LoadedModel, model: Artifact) -> TextModel:
    if not hasattr(loaded, "logits"):
        raise UserError(
            f"A model of format {model.format} takes neither arrays nor text: nothing to compare."
        )
    return cast(TextModel, loaded)


def _logits(loaded: LoadedModel, model: Artifact, feeds: Sequence[Feed]) -> Array:
    text = _as_text(loaded, model)
    ids = next((feed[IDS] for feed in feeds if IDS in feed), None)
    if ids is None:
        raise UserError(f"The model takes {IDS}, which the input model does not.")
    return np.asarray(text.logits([int(number) for number in ids.ravel()]))


def _by_parts(parts: Sequence[TensorPart], feeds: Sequence[Feed]) -> Outputs:
    """By name; those of several graphs by the graph's name as well."""
    found: Outputs = {}
    for part, feed in zip(parts, feeds, strict=True):
        prefix = f"{part.name}: " if len(parts) > 1 else ""
        found.update((prefix + name, array) for name, array in zip(part.outputs, part.run(feed), strict=True))
    return found


def _fitted(parts: Sequence[TensorPart], feeds: Sequence[Feed]) -> list[Feed]:
    """The same inputs for graphs whose inputs are of other types, or more of them where they follow from the
    ids."""
    if len(parts) != len(feeds):
        raise UserError(f"The model has {len(parts)} graphs, and the input model {len(feeds)}.")
    fitted: list[Feed] = []
    for part, feed in zip(parts, feeds, strict=True):
        given = dict(feed)
        if IDS in feed:
            ids = [int(number) for number in feed[IDS].ravel()]
            given = {**Feeder(part.inputs, part.numpy_type).of_text(Sample(ids, ids)), **given}
        missing = [value.name for value in part.inputs if value.name not in given]
        if missing:
            raise UserError(f"The model takes {', '.join(missing)}, which the input model does not.")
        fitted.append(
            {v.name: np.asarray(given[v.name]).astype(part.numpy_type(v.dtype)) for v in part.inputs}
        )
    return fitted


def _paired(expected: Outputs, given: Outputs) -> list[tuple[Array, Array]]:
    """Outputs of one name, or else in their order; of language models the logits alone."""
    if (LOGITS in expected) and (LOGITS in given):
        one, other = expected[LOGITS], given[LOGITS]
        width = min(one.shape[-1], other.shape[-1])  # a vocabulary may be padded
        return [(_rows(one, width), _rows(other, width))]
    if expected.keys() == given.keys():
        return [(array, given[name]) for name, array in expected.items()]
    if len(expected) != len(given):
        raise UserError(
            f"The input model gives {', '.join(expected)}, and the model {', '.join(given)}: these cannot be "
            "compared."
        )
    return list(zip(expected.values(), given.values(), strict=True))


def _rows(logits: Array, width: int) -> Array:
    return logits.reshape(-1, logits.shape[-1])[:, :width]
