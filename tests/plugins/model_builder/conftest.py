"""A tiny Phi-3-shaped model with its own tokenizer, and a context for passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

from modelpress.api import Accelerator, Artifact, LoadedModel
from modelpress.artifact import NO_META, Meta
from modelpress_plugins.model_builder.config import ModelBuilderOptions
from modelpress_plugins.model_builder.genai import load
from modelpress_plugins.model_builder.run import build

TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "initializer_range": 0.2,
}


class Context:
    """A PassContext whose words can be looked at afterwards."""

    def __init__(self, root: Path) -> None:
        self.out, self.scratch, self.checkpoint = root / "out", root / "scratch", root / "checkpoint"
        for folder in (self.out, self.scratch, self.checkpoint):
            folder.mkdir(parents=True)
        self.data_folder = root / "data"
        self.seed, self.offline = 0, True
        self.device = "cpu"
        self.accelerator = Accelerator()
        self.target_is_here = True
        self.notes: list[str] = []
        self.reports: dict[str, Any] = {}
        self.steps: list[tuple[int, int, str]] = []

    def data(self, role: str) -> Any:
        raise NotImplementedError

    def progress(self, done: int, total: int, unit: str) -> None:
        self.steps.append((done, total, unit))

    def report(self, name: str, value: Any) -> None:
        self.reports[name] = value

    def note(self, message: str) -> None:
        self.notes.append(message)

    def artifact(self, format: str, *, base: Artifact | None = None, meta: Meta = NO_META) -> Artifact:
        return Artifact(self.out, format, "", base, meta)

    def load(self, model: Artifact, device: str = "") -> LoadedModel:
        return load(model, device or self.device)


def save_tokenizer(folder: Path) -> int:
    """A byte-level tokenizer of some 280 entries; how many."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat sat on the mat and the dog is sad"] * 3, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )
    fast.save_pretrained(folder)
    return len(fast)


def save_phi3(folder: Path, **changes: Any) -> Path:
    """A random model in float16."""
    torch.manual_seed(0)
    size = save_tokenizer(folder)
    config = Phi3Config(**{**TINY, "original_max_position_embeddings": 256, "vocab_size": size, **changes})
    Phi3ForCausalLM(config).to(torch.float16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_phi3(tmp_path_factory.mktemp("tiny-phi3"))


@pytest.fixture(scope="session")
def tied_phi3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_phi3(tmp_path_factory.mktemp("tied-phi3"), tie_word_embeddings=True)


@pytest.fixture
def phi3(tmp_path: Path) -> Callable[..., Path]:
    """Save one with changes to its config: `phi3(sliding_window=32)`."""
    return lambda **changes: save_phi3(tmp_path / "phi3", **changes)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path / "job")


@pytest.fixture
def built(context: Context) -> Callable[..., Artifact]:
    """Build a model with options: `built(folder, precision="int4")`."""

    def run(source: Path, **options: Any) -> Artifact:
        model = Artifact(source, "hf-model", "key")
        return build(model, ModelBuilderOptions.parse(options), context)

    return run


@pytest.fixture(scope="session")
def fp32_folder(tiny_phi3: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as an ort-genai folder. Read-only."""
    context = Context(tmp_path_factory.mktemp("fp32"))
    build(Artifact(tiny_phi3, "hf-model", "key"), ModelBuilderOptions(precision="fp32"), context)
    return context.out
