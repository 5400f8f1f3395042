"""Time to the first token and between tokens, of one greedy answer at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np

from modelpress.api import Artifact, Estimate, PassContext, TextModel, UserError
from modelpress_plugins.hf.ids import encode_prompt
from modelpress_plugins.metrics.arrays import takes_arrays, timed_runs
from modelpress_plugins.metrics.config import SpeedOptions
from modelpress_plugins.metrics.spread import Floats, resampled
from modelpress_plugins.metrics.text_model import as_text, no_data

_PERCENTILES = {"p50": 50.0, "p75": 75.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}


@dataclass(frozen=True, slots=True)
class Timings:
    """Of all answers of one round that count. first: seconds to each first token; tokens: seconds of each
    further one; prompts: the tokens of each prompt."""

    first: list[float]
    tokens: list[float]
    prompts: list[int]


def latency(model: Artifact, config: SpeedOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Milliseconds. `latency_…` is of a token while decoding, `latency_first_token_…` of the prompt; of a
    model that takes arrays, `latency_…` is of a run."""
    rounds = measure(model, config, ctx)
    first = [[1000 * t for t in found.first] for found in rounds]
    return {
        **named("latency_{}_ms", [[1000 * t for t in found.tokens] for found in rounds]),
        **(named("latency_first_token_{}_ms", first) if any(first) else {}),
    }


def throughput(model: Artifact, config: SpeedOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Tokens a second: `throughput_…` of a token while decoding, `throughput_prompt_…` of the prompt; of a
    model that takes arrays, `throughput_…` is runs a second."""
    rounds = measure(model, config, ctx)
    prompts = [[n / t for n, t in zip(found.prompts, found.first, strict=True)] for found in rounds]
    return {
        **named("throughput_{}", [[1 / t for t in found.tokens] for found in rounds]),
        **(named("throughput_prompt_{}", prompts) if any(prompts) else {}),
    }


def time_to_first_token(model: Artifact, config: SpeedOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Milliseconds from a prompt to the first token of its answer: the median."""
    first = [[1000 * t for t in found.first] for found in measure(model, config, ctx)]
    if not any(first):
        raise UserError(f"A model of format {model.format} gives no tokens: measure its latency instead.")
    return {"time_to_first_token_ms": _over_rounds(first, np.median)}


def tokens_per_second(model: Artifact, config: SpeedOptions, ctx: PassContext) -> Mapping[str, Estimate]:
    """Tokens of answers a second of decoding, over all answers together."""
    tokens = [found.tokens for found in measure(model, config, ctx)]
    return {
        "tokens_per_second": _over_rounds(
            tokens, lambda values, axis: np.asarray(1 / np.mean(values, axis=axis))
        )
    }


def named(pattern: str, rounds: Sequence[Sequence[float]]) -> dict[str, Estimate]:
    """avg, max, min and percentiles of the values of all rounds, under the pattern with each name put in."""
    found = {name: _over_rounds(rounds, statistic) for name, statistic in _STATISTICS.items()}
    return {pattern.format(name): value for name, value in found.items()}


def _percentile(share: float) -> Callable[..., Floats]:
    """Interpolated."""
    return lambda values, axis: np.asarray(np.percentile(values, share, axis=axis))


_STATISTICS: Mapping[str, Callable[..., Floats]] = {
    "avg": np.mean,
    "max": np.max,
    "min": np.min,
    **{name: _percentile(share) for name, share in _PERCENTILES.items()},
}


def _over_rounds(rounds: Sequence[Sequence[float]], statistic: Callable[..., Floats]) -> Estimate:
    """Of all values together; the interval reaches over those of all rounds, so that it holds in a process
    that is faster or slower than the one that measured."""
    values = [np.asarray(values, dtype=np.float64) for values in rounds]
    value = float(statistic(np.concatenate(values), axis=-1))
    each = [resampled(one, lambda rows: statistic(rows, axis=-1)) for one in values]
    return Estimate(value, min(value, *(e.low for e in each)), max(value, *(e.high for e in each)))


def measure(model: Artifact, config: SpeedOptions, ctx: PassContext) -> list[Timings]:
    """Let the model answer warmup_num + repeat_test_num times, one prompt after the other. The answers that
    count are shared among the rounds; each round is warmed up. Raises UserError when nothing can be timed."""
    counts = [len(part) for part in np.array_split(range(config.repeat_test_num), config.rounds) if len(part)]
    total = len(counts) * config.warmup_num + sum(counts)
    found: list[Timings] = []
    for number, count in enumerate(counts):
        done = number * config.warmup_num + sum(counts[:number])
        with closing(ctx.load(model)) as loaded:
            if takes_arrays(loaded):
                found.append(Timings([], timed_runs(model, loaded, config, ctx, count), []))
            else:
                found.append(_round(as_text(loaded, model), config, ctx, count, done, total))
    if not all(each.tokens for each in found):
        raise UserError(
            "Every answer ended with its first token, so there is no time between tokens to measure.",
            "Give prompts that the model answers at length.",
        )
    return found


def _round(
    model: TextModel, config: SpeedOptions, ctx: PassContext, count: int, done: int, total: int
) -> Timings:
    found = Timings([], [], [])
    prompts = _prompts(model, config, ctx)
    for turn in range(config.warmup_num + count):
        prompt = prompts[(done + turn) % len(prompts)]
        first, tokens = _time_answer(model, prompt, config.new_tokens)
        if turn >= config.warmup_num:
            found.first.append(first)
            found.tokens.extend(tokens)
            found.prompts.append(len(prompt))
        ctx.progress(done + turn + 1, total, "answers")
        time.sleep(config.sleep_num)
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
