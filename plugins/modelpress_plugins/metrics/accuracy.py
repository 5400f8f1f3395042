"""How often the model's greedy answer is the right one, word for word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from modelpress.api import Artifact, Exchange, PassContext, TextModel
from modelpress_plugins.hf.ids import encode_prompt
from modelpress_plugins.metrics.config import AccuracyOptions
from modelpress_plugins.metrics.text_model import no_data, opened


def accuracy(model: Artifact, config: AccuracyOptions, ctx: PassContext) -> Mapping[str, float]:
    """Share of answers that equal the right ones, spaces at both ends left aside. (Olive's sub-metrics
    `accuracy_score` and `exact_match` are this number.)"""
    data = ctx.data("data")
    with opened(model, ctx) as loaded:
        exchanges = list(islice(data.exchanges(loaded.tokenizer), config.max_samples))
        if not exchanges:
            raise no_data(data.name, "prompts")
        right = 0
        for start in range(0, len(exchanges), config.batch_size):
            batch = exchanges[start : start + config.batch_size]
            right += count_right(loaded, batch, config.max_new_tokens)
            ctx.progress(start + len(batch), len(exchanges), "prompts")
    return {"accuracy": right / len(exchanges)}


def count_right(model: TextModel, exchanges: Sequence[Exchange], max_new_tokens: int) -> int:
    """How many prompts get the right answer."""
    prompts = [encode_prompt(model.tokenizer, exchange.prompt) for exchange in exchanges]
    answers = model.generate_batch(prompts, max_new_tokens)
    texts = [model.tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]
    return sum(
        text.strip() == exchange.answer.strip() for text, exchange in zip(texts, exchanges, strict=True)
    )
