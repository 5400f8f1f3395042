"""Time to the first token and between tokens, of one greedy answer at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from modelpress.api import Artifact, PassContext, TextModel, UserError
from modelpress_plugins.hf.ids import encode_prompt
from modelpress_plugins.metrics.config import SpeedOptions
from modelpress_plugins.metrics.text_model import no_data, opened

_PERCENTILES = {"p50": 50.0, "p75": 75.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}


@dataclass(frozen=True, slots=True)
class Timings:
    """Of all answers that count. first: seconds to each first token; tokens: seconds of each further one;
    prompts: the tokens of each prompt."""

    first: list[float]
    tokens: list[float]
    prompts: list[int]


def latency(model: Artifact, config: SpeedOptions, ctx: PassContext) -> Mapping[str, float]:
    """Milliseconds. `latency_…` is of a token while decoding, `latency_first_token_…` of the prompt."""
    found = measure(model, config, ctx)
    tokens = statistics([1000 * t for t in found.tokens])
    first = statistics([1000 * t for t in found.first])
    return {
        **{f"latency_{name}_ms": value for name, value in tokens.items()},
        **{f"latency_first_token_{name}_ms": value for name, value in first.items()},
    }


def throughput(model: Artifact, config: SpeedOptions, ctx: PassContext) -> Mapping[str, float]:
    """Tokens a second: `throughput_…` of a token while decoding, `throughput_prompt_…` of the prompt."""
    found = measure(model, config, ctx)
    tokens = statistics([1 / t for t in found.tokens])
    prompts = statistics([n / t for n, t in zip(found.prompts, found.first, strict=True)])
    return {
        **{f"throughput_{name}": value for name, value in tokens.items()},
        **{f"throughput_prompt_{name}": value for name, value in prompts.items()},
    }


def statistics(values: Sequence[float]) -> dict[str, float]:
    """avg, max, min and the percentiles, interpolated."""
    found = {"avg": float(np.mean(values)), "max": max(values), "min": min(values)}
    return found | {name: float(np.percentile(values, share)) for name, share in _PERCENTILES.items()}


def measure(model: Artifact, config: SpeedOptions, ctx: PassContext) -> Timings:
    """Let the model answer warmup_num + repeat_test_num times, one prompt after the other."""
    found = Timings([], [], [])
    total = config.warmup_num + config.repeat_test_num
    with opened(model, ctx) as loaded:
        prompts = _prompts(loaded, config, ctx)
        for turn in range(total):
            prompt = prompts[turn % len(prompts)]
            first, tokens = _time_answer(loaded, prompt, config.new_tokens)
            if turn >= config.warmup_num:
                found.first.append(first)
                found.tokens.extend(tokens)
                found.prompts.append(len(prompt))
            ctx.progress(turn + 1, total, "answers")
            time.sleep(config.sleep_num)
    if not found.tokens:
        raise UserError(
            "Every answer ended with its first token, so there is no time between tokens to measure.",
            "Give prompts that the model answers at length.",
        )
    return found


def _time_answer(model: TextModel, prompt: Sequence[int], new_tokens: int) -> tuple[float, list[float]]:
    """(seconds to the first token, seconds of each further one)."""
    times: list[float] = []
    started = time.perf_counter()
    for _ in model.generate(prompt, new_tokens):
        now = time.perf_counter()
        times.append(max(now - started, 1e-9))
        started = now
    if not times:
        raise UserError("The model generates nothing for a prompt, so there is nothing to measure.")
    return times[0], times[1:]


def _prompts(model: TextModel, config: SpeedOptions, ctx: PassContext) -> list[list[int]]:
    length = min(config.prompt_length, model.context_length - config.new_tokens)
    if length < 1:
        raise UserError(
            f"new_tokens is {config.new_tokens}; the model's context holds {model.context_length} tokens.",
            "Choose fewer.",
        )
    if config.data_config is None:
        return [_random_prompt(model, length, turn) for turn in range(_VARIETY)]
    data = ctx.data("data")
    count = min(config.repeat_test_num + config.warmup_num, _VARIETY)
    exchanges = islice(data.exchanges(model.tokenizer), count)
    prompts = [encode_prompt(model.tokenizer, exchange.prompt)[:length] for exchange in exchanges]
    prompts = [prompt for prompt in prompts if prompt]
    if not prompts:
        raise no_data(data.name, "prompts")
    return prompts


_VARIETY = 32
"""Different prompts at most: a model that ends some answers early still gives times."""


def _random_prompt(model: TextModel, length: int, seed: int) -> list[int]:
    draw = random.Random(seed)
    special = set(model.tokenizer.all_special_ids) | model.eos_ids
    ids = [i for i in range(min(len(model.tokenizer), 100_000)) if i not in special] or [0]
    return [draw.choice(ids) for _ in range(length)]
