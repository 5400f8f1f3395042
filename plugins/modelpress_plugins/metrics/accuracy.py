"""How often the model is right: by what it writes, or by what it holds most likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from modelpress.api import Artifact, Estimate, Exchange, PassContext, UserError
from modelpress_plugins.hf.ids import encode_prompt
from modelpress_plugins.metrics.answers import answers
from modelpress_plugins.metrics.choose import Chooser
from modelpress_plugins.metrics.config import AccuracyOptions
from modelpress_plugins.metrics.spread import share
from modelpress_plugins.metrics.text_model import no_data, opened

_MOST_CHOICES = 64


def accuracy(model: Artifact, config: AccuracyOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Share of prompts with the right answer. (Olive's sub-metrics `accuracy_score` and `exact_match` are
    this number.)"""
    if config.method == "likelihood":
        return {"accuracy": _by_likelihood(model, config, ctx)}
    pairs = answers(model, config, ctx)
    return {"accuracy": share(sum(given.strip() == right.strip() for given, right in pairs), len(pairs))}


def _by_likelihood(model: Artifact, config: AccuracyOptions, ctx: PassContext) -> Estimate:
    data = ctx.data("data")
    with opened(model, ctx) as loaded:
        exchanges = list(islice(data.exchanges(loaded.tokenizer), config.max_samples))
        if not exchanges:
            raise no_data(data.name, "prompts")
        chooser = Chooser(loaded, config.choices or _choices(exchanges, data.name))
        right = 0
        for done, exchange in enumerate(exchanges, start=1):
            right += chooser.best(encode_prompt(loaded.tokenizer, exchange.prompt)) == exchange.answer.strip()
            ctx.progress(done, len(exchanges), "prompts")
    return share(right, len(exchanges))


def _choices(exchanges: Sequence[Exchange], name: str) -> list[str]:
    """The answers that the data has."""
    found = list(dict.fromkeys(exchange.answer.strip() for exchange in exchanges))
    if len(found) > _MOST_CHOICES:
        raise UserError(
            f"The data config {name!r} has {len(found)} different answers, more than the {_MOST_CHOICES} "
            "that are compared.",
            "Name the answers to choose from in `choices`, or let the model write: `method: generation`.",
        )
    return found
