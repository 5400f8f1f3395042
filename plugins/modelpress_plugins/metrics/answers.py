"""What the model writes for each prompt, beside the right answer."""

from __future__ import annotations

from itertools import islice

from modelpress.api import Artifact, PassContext
from modelpress_plugins.hf.ids import encode_prompt
from modelpress_plugins.metrics.config import AnswerOptions
from modelpress_plugins.metrics.text_model import no_data, opened


def answers(model: Artifact, config: AnswerOptions, ctx: PassContext) -> list[tuple[str, str]]:
    """(the model's greedy answer, the right one) of each prompt, as they stand."""
    data = ctx.data("data")
    found: list[tuple[str, str]] = []
    with opened(model, ctx) as loaded:
        exchanges = list(islice(data.exchanges(loaded.tokenizer), config.max_samples))
        if not exchanges:
            raise no_data(data.name, "prompts")
        for start in range(0, len(exchanges), config.batch_size):
            batch = exchanges[start : start + config.batch_size]
            prompts = [encode_prompt(loaded.tokenizer, exchange.prompt) for exchange in batch]
            made = loaded.generate_batch(prompts, config.max_new_tokens)
            for ids, exchange in zip(made, batch, strict=True):
                found.append((loaded.tokenizer.decode(ids, skip_special_tokens=True), exchange.answer))
            ctx.progress(len(found), len(exchanges), "prompts")
    return found
