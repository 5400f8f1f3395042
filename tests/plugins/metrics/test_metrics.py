"""Metrics on a model whose every answer is known, and on a real one."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

from modelpress.api import Artifact, Exchange, Sample, UserError
from modelpress_plugins.metrics import modelpress_metrics
from modelpress_plugins.metrics.accuracy import accuracy
from modelpress_plugins.metrics.config import (
    AccuracyOptions,
    LoadOptions,
    PerplexityOptions,
    SizeOptions,
    SpeedOptions,
)
from modelpress_plugins.metrics.load import load_time
from modelpress_plugins.metrics.perplexity import perplexity
from modelpress_plugins.metrics.size import size_on_disk
from modelpress_plugins.metrics.speed import (
    latency,
    named,
    throughput,
    time_to_first_token,
    tokens_per_second,
)

EOS = 0
MODEL = Artifact(Path("nowhere"), "hf-model", "key")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """One id a byte; 0 ends an answer."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"</s>": EOS, **{letter: i + 1 for i, letter in enumerate(alphabet)}}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>", pad_token="</s>")


class Echo:
    """Answers ` ` and the prompt's last letter, then ends. Gives the next id's label a chance of 1/4."""

    context_length = 64
    eos_ids = frozenset({EOS})

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.closed = False
        self.batches: list[int] = []

    def close(self) -> None:
        self.closed = True

    def logits(self, ids: Sequence[int]) -> Any:
        table = np.full((len(ids), 300), math.log(0.75 / 299), dtype=np.float32)
        for row, following in enumerate(ids[1:]):
            table[row, following] = math.log(0.25)
        return table + 7  # a constant changes no probability

    def generate(self, ids: Sequence[int], max_new_tokens: int) -> Iterator[int]:
        yield from [*self.tokenizer(" ")["input_ids"], ids[-1], EOS][:max_new_tokens]

    def generate_batch(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
        self.batches.append(len(prompts))
        return [[i for i in self.generate(p, max_new_tokens) if i != EOS] for p in prompts]


class Repeats(Echo):
    """Expects the last letter of the prompt again, whatever came after it."""

    def logits(self, ids: Sequence[int]) -> Any:
        table = np.zeros((len(ids), 300), dtype=np.float32)
        for row, own in enumerate(ids):
            table[row, own] = 5
        return table


class Data:
    name = "held_out"

    def __init__(self, exchanges: list[Exchange], samples: list[Sample]) -> None:
        self._exchanges, self._samples = exchanges, samples

    def exchanges(self, tokenizer: Any = None) -> Iterator[Exchange]:
        yield from self._exchanges

    def samples(self, tokenizer: Any, limit: int | None = None, seed: int | None = None) -> list[Sample]:
        return self._samples


class Context:
    def __init__(self, loaded: Any, data: Data) -> None:
        self._loaded, self._data = loaded, data
        self.steps: list[tuple[int, int, str]] = []
        self.opened = 0

    def data(self, role: str) -> Data:
        assert role == "data"
        return self._data

    def load(self, model: Artifact) -> Any:
        self.opened += 1
        return self._loaded

    def progress(self, done: int, total: int, unit: str) -> None:
        self.steps.append((done, total, unit))


@pytest.fixture
def echo(tokenizer: PreTrainedTokenizerFast) -> Echo:
    return Echo(tokenizer)


def names_given(name: str) -> Mapping[str, tuple[str, bool]]:
    return next(spec.gives for spec in modelpress_metrics() if spec.name == name)


def test_accuracy_counts_exact_answers_without_outer_spaces(echo: Echo) -> None:
    data = Data([Exchange("ab", "b"), Exchange("ac", "c\n"), Exchange("ad", "x")], [])
    context = Context(echo, data)
    found = accuracy(MODEL, AccuracyOptions(batch_size=2), context)
    assert {name: each.value for name, each in found.items()} == {"accuracy": pytest.approx(2 / 3)}
    assert found["accuracy"].low < 2 / 3 < found["accuracy"].high
    assert echo.batches == [2, 1]
    assert context.steps[-1] == (3, 3, "prompts")
    assert echo.closed


def test_max_samples_takes_the_first(echo: Echo) -> None:
    data = Data([Exchange("ab", "b"), Exchange("ad", "x")], [Sample([1, 2], [1, 2]), Sample([], [])])
    assert accuracy(MODEL, AccuracyOptions(max_samples=1), Context(echo, data))["accuracy"].value == 1
    assert perplexity(MODEL, PerplexityOptions(max_samples=1), Context(echo, data))["perplexity"].value < 5


def test_perplexity_weighs_tokens_not_samples(echo: Echo) -> None:
    samples = [
        Sample([5, 6, 7, 8], [-100, 6, 7, 8]),
        Sample([5, 6], [-100, 9]),  # a label that the model gives 0.75 / 299
        Sample([5, 6, 0], [-100, -100, -100]),
    ]
    found = perplexity(MODEL, PerplexityOptions(), Context(echo, Data([], samples)))
    expected = math.exp((3 * math.log(4) + math.log(299 / 0.75)) / 4)
    assert found["perplexity"].value == pytest.approx(expected, rel=1e-5)
    assert found["perplexity"].low == pytest.approx(4, rel=1e-5)  # no draw of these samples is better


def test_perplexity_leaves_padding_and_what_is_too_long_out(echo: Echo) -> None:
    padded = Sample([0, 0, 5, 6], [0, 0, 5, 6], attention_mask=[0, 0, 1, 1])
    long = Sample(list(range(1, 101)), list(range(1, 101)))
    found = perplexity(MODEL, PerplexityOptions(max_seq_len=3), Context(echo, Data([], [padded, long])))
    assert found["perplexity"].value == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("samples", [[], [Sample([1, 2, 3], [-100] * 3)]])
def test_data_that_measures_nothing_is_refused_by_name(echo: Echo, samples: list[Sample]) -> None:
    with pytest.raises(UserError, match="held_out"):
        perplexity(MODEL, PerplexityOptions(), Context(echo, Data([], samples)))
    with pytest.raises(UserError, match="held_out"):
        accuracy(MODEL, AccuracyOptions(), Context(echo, Data([], [])))
    assert echo.closed


def test_a_model_that_gives_no_text_is_refused() -> None:
    class Silent:
        def close(self) -> None: ...

    with pytest.raises(UserError, match="gives no text"):
        latency(MODEL, SpeedOptions(), Context(Silent(), Data([], [])))


def test_latency_and_throughput_give_every_promised_number(echo: Echo) -> None:
    context = Context(echo, Data([Exchange("abc", "c")], []))
    options = SpeedOptions(warmup_num=2, repeat_test_num=3, new_tokens=3)
    found = latency(MODEL, options, context)
    assert set(found) == set(names_given("latency"))
    least, middle, most = (found[f"latency_{name}_ms"].value for name in ("min", "p50", "max"))
    assert 0 < least <= middle <= most
    assert context.steps[-1] == (9, 9, "answers")  # three rounds, each warmed up
    named = throughput(MODEL, SpeedOptions(data_config="held_out", new_tokens=3), context)
    assert set(named) == set(names_given("throughput"))


def test_statistics_are_of_all_rounds_and_percentiles_are_interpolated() -> None:
    rounds = [[float(n) for n in range(1, 41)], [float(n) for n in range(41, 102)]]
    found = named("{}", rounds)
    assert [found[name].value for name in ("avg", "min", "max")] == [51, 1, 101]
    assert [found[name].value for name in ("p50", "p90", "p999")] == [51, 91, pytest.approx(100.9)]


def test_an_interval_reaches_over_rounds_that_differ() -> None:
    """A process that is slower than the next shows in the interval, however steady each of them is."""
    found = named("{}", [[1.0] * 50, [2.0] * 50])["avg"]
    assert (found.low, found.value, found.high) == (1, 1.5, 2)


def test_each_round_opens_the_model_anew(echo: Echo) -> None:
    context = Context(echo, Data([], []))
    found = time_to_first_token(MODEL, SpeedOptions(rounds=4, repeat_test_num=6, warmup_num=0), context)
    assert context.opened == 4
    assert found["time_to_first_token_ms"].value > 0
    few = Context(echo, Data([], []))
    tokens_per_second(MODEL, SpeedOptions(rounds=4, repeat_test_num=2, warmup_num=0, new_tokens=3), few)
    assert few.opened == 2  # no round without an answer that counts


def test_loading_is_timed_as_often_as_asked(echo: Echo) -> None:
    context = Context(echo, Data([], []))
    found = load_time(MODEL, LoadOptions(warmup_num=2, repeat_test_num=3), context)
    assert context.opened == 5
    assert 0 < found["load_time_s"].low <= found["load_time_s"].high


def test_accuracy_by_likelihood_takes_the_likeliest_of_the_answers(tokenizer: Any) -> None:
    """A model that repeats the prompt's last letter, and holds nothing else likely."""
    data = Data([Exchange("ab", "b"), Exchange("ac", "c"), Exchange("dc", "b")], [])
    context = Context(Repeats(tokenizer), data)
    found = accuracy(MODEL, AccuracyOptions(method="likelihood", choices=("b", "c")), context)
    assert found["accuracy"].value == pytest.approx(2 / 3)
    assert context.steps[-1] == (3, 3, "prompts")
    from_data = accuracy(MODEL, AccuracyOptions(method="likelihood"), Context(Repeats(tokenizer), data))
    assert from_data["accuracy"].value == pytest.approx(2 / 3)


def test_too_many_answers_to_choose_from_are_told(tokenizer: Any) -> None:
    data = Data([Exchange("a", str(number)) for number in range(65)], [])
    with pytest.raises(UserError, match="65 different answers"):
        accuracy(MODEL, AccuracyOptions(method="likelihood"), Context(Repeats(tokenizer), data))


def test_an_answer_without_tokens_cannot_be_chosen(tokenizer: Any) -> None:
    data = Data([Exchange("a", "b")], [])
    options = AccuracyOptions(method="likelihood", choices=("", "b"))
    with pytest.raises(UserError, match="'' has 0 tokens"):
        accuracy(MODEL, options, Context(Repeats(tokenizer), data))


def test_choices_without_likelihood_are_refused() -> None:
    with pytest.raises(ValidationError, match="likelihood"):
        AccuracyOptions(choices=("a", "b"))


def test_size_counts_the_base_of_an_adapter(tmp_path: Path) -> None:
    for name, size in (("base", 100), ("adapter", 7)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(b"x" * size)
    base = Artifact(tmp_path / "base", "hf-model", "b")
    adapter = Artifact(tmp_path / "adapter", "hf-adapter", "a", base=base)
    context = Context(None, Data([], []))
    assert size_on_disk(adapter, SizeOptions(), context) == {"size_on_disk": 107}
    assert size_on_disk(adapter, SizeOptions(include_base=False), context) == {"size_on_disk": 7}


def test_perplexity_of_a_real_genai_model_is_that_of_torch(tokenizer: Any, tmp_path: Path) -> None:
    from modelpress_plugins.model_builder.drive import build_folder
    from modelpress_plugins.model_builder.genai import load

    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Phi3Config(
        **sizes,
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        original_max_position_embeddings=64,
        bos_token_id=EOS,
        eos_token_id=EOS,
        pad_token_id=EOS,
        initializer_range=0.2,
    )
    model = Phi3ForCausalLM(config).eval()
    model.save_pretrained(tmp_path / "hf")
    tokenizer.save_pretrained(tmp_path / "hf")
    build_folder(tmp_path / "hf", tmp_path / "og", "fp32", "cpu", tmp_path / "c", {}, lambda *_: None)
    ids = tokenizer("the cat sat")["input_ids"]
    with torch.no_grad():
        loss = float(model(torch.tensor([ids]), labels=torch.tensor([ids])).loss)
    built = load(Artifact(tmp_path / "og", "ort-genai", "key"), "cpu")
    context = Context(built, Data([], [Sample(ids, ids)]))
    found = perplexity(MODEL, PerplexityOptions(), context)["perplexity"].value
    assert found == pytest.approx(math.exp(loss), rel=1e-4)  # fp32 sums in another order
    shutil.rmtree(tmp_path / "og")
