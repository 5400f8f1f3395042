"""A model of two small layers, and data made of a few words, for the tests of the adapter passes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import Artifact, Exchange, Sample
from modelpress.artifact import Meta
from modelpress.testing.context import pass_context

WORDS = ["<pad>", "<s>", "</s>", "yes", "no", *(f"word{i}" for i in range(59))]


class Sentences:
    """A DataSource of sentences with one answer each: `yes` when the first word is an even one."""

    name = "sentences"
    prompt_template: str | None = None

    def __init__(self, rows: int = 24, *, seed: int = 0, labelled: bool = True, answer_only: bool = True):
        chance = random.Random(seed)
        self._rows = [[chance.randrange(5, 64) for _ in range(chance.randrange(4, 20))] for _ in range(rows)]
        self._labelled = labelled
        self._answer_only = answer_only

    def records(self) -> Iterator[Mapping[str, Any]]:
        return ({"words": row} for row in self._rows)

    def samples(self, tokenizer: Any, limit: int | None = None, seed: int | None = None) -> Iterator[Sample]:
        for row in self._rows:
            answer = [3 if row[0] % 2 else 4, 2]
            ids = [1, *row, *answer]
            masked = [-100] * (len(row) + 1) + answer
            labels = masked if self._answer_only else ids
            yield Sample(ids, labels if self._labelled else [-100] * len(ids), [1] * len(ids))

    def exchanges(self, tokenizer: Any = None) -> Iterator[Exchange]:
        raise NotImplementedError

    def split(self, eval_size: float, seed: int) -> tuple[Sentences, Sentences]:
        cut = int(eval_size * len(self._rows)) if eval_size < 1 else int(eval_size)
        train, evaluation = Sentences(0), Sentences(0)
        train._rows, evaluation._rows = self._rows[cut:], self._rows[:cut]
        return train, evaluation


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A random Phi-3 of 0.1 M parameters, with a tokenizer of whole words."""
    folder = tmp_path_factory.mktemp("small") / "model"
    make_small_model(folder)
    return Artifact(folder, "hf-model", "content:small", meta=Meta(task="text-generation"))


def make_small_model(folder: Path, dtype: str = "float16") -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    config = Phi3Config(
        vocab_size=len(WORDS),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        original_max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    Phi3ForCausalLM(config).to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class PassEvents:
    """What a pass has said while it ran."""

    def __init__(self, folder: Path) -> None:
        lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        self.events: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def reported(self, name: str) -> list[Any]:
        return [e["value"] for e in self.events if e["kind"] == "report" and e["name"] == name]

    @property
    def notes(self) -> list[str]:
        return [e["message"] for e in self.events if e["kind"] == "log"]

    @property
    def last_progress(self) -> tuple[int, int, str]:
        last = [e for e in self.events if e["kind"] == "progress"][-1]
        return last["done"], last["total"], last["unit"]


Press = Callable[..., tuple[Artifact, PassEvents]]


@pytest.fixture
def press(small_model: Artifact, tmp_path: Path) -> Press:
    """Run a pass as the worker does: `press("LoRA", {options}, data=…, folder=…)`. Calls with the same
    folder share its checkpoints."""

    def run(
        name: str, options: Mapping[str, Any], *, data: Any = None, folder: str = "job", model: Any = None
    ) -> tuple[Artifact, PassEvents]:
        return press_here(name, options, data or Sentences(), tmp_path / folder, model or small_model)

    return run


def press_here(
    name: str, options: Mapping[str, Any], data: Any, folder: Path, model: Artifact
) -> tuple[Artifact, PassEvents]:
    import shutil

    from modelpress_plugins.lora import config, run

    shutil.rmtree(folder / "out", ignore_errors=True)
    context = pass_context(folder)
    for place in (context.out, context.scratch, context.checkpoint):
        place.mkdir(parents=True, exist_ok=True)
    context.data = lambda role: data  # type: ignore[method-assign]
    parsed = getattr(config, f"{name}Config").parse({"train_data_config": "data", **options})
    made = getattr(run, name.lower())(model, parsed, context)
    context.flush()
    return made, PassEvents(folder)


@pytest.fixture
def empty() -> Sentences:
    return Sentences(0)


@pytest.fixture
def unlabelled() -> Sentences:
    return Sentences(labelled=False)
