"""Perplexity: e to the mean loss of a token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from modelpress.api import NO_LOSS, Artifact, Estimate, PassContext, Sample, TextModel
from modelpress_plugins.metrics.config import PerplexityOptions
from modelpress_plugins.metrics.log_probabilities import log_probabilities
from modelpress_plugins.metrics.spread import ratio, through
from modelpress_plugins.metrics.text_model import no_data, opened


def perplexity(model: Artifact, config: PerplexityOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Over all tokens with a label, each counting the same, whatever the length of its sample."""
    data = ctx.data("data")
    losses: list[float] = []
    counts: list[int] = []
    with opened(model, ctx) as loaded:
        samples = list(islice(data.samples(loaded.tokenizer), config.max_samples))
        longest = min(config.max_seq_len or loaded.context_length, loaded.context_length)
        for done, sample in enumerate(samples, start=1):
            loss, count = loss_of(loaded, unpadded(sample), longest)
            if count:
                losses.append(loss)
                counts.append(count)
            ctx.progress(done, len(samples), "samples")
    if not counts:
        raise no_data(data.name, "tokens with a label")
    return {"perplexity": through(math.exp, ratio(losses, counts))}


def unpadded(sample: Sample) -> tuple[Sequence[int], Sequence[int]]:
    """(ids, labels) of the real tokens of a sample."""
    if sample.attention_mask is None:
        return sample.input_ids, sample.labels
    kept = [i for i, mask in enumerate(sample.attention_mask) if mask]
    return [sample.input_ids[i] for i in kept], [sample.labels[i] for i in kept]


def loss_of(model: TextModel, sample: tuple[Sequence[int], Sequence[int]], longest: int) -> tuple[float, int]:
    """(sum of the losses in nats, tokens with a label) of the first `longest` tokens."""
    ids, labels = sample[0][:longest], sample[1][:longest]
    positions = labelled(labels)
    if not positions:
        return 0.0, 0
    rows = log_probabilities(np.asarray(model.logits(ids))[np.asarray(positions) - 1])
    wanted = rows[np.arange(len(positions)), [labels[i] for i in positions]]
    return float(-wanted.sum()), len(positions)


def labelled(labels: Sequence[int]) -> list[int]:
    """Positions whose token counts, and is predicted by the one before it."""
    return [i for i in range(1, len(labels)) if labels[i] != NO_LOSS]
