"""Tiny bases, adapters that look trained, and both ways to merge them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig

from modelpress.artifact import NO_META, Artifact, Meta
from modelpress.registry import Registry
from modelpress.testing import RecordingPlan, input_artifact, model_facts, pass_context
from modelpress_plugins.merge_adapter.config import MergeAdapterOptions
from modelpress_plugins.merge_adapter.plan import plan
from modelpress_plugins.merge_adapter.run import merge_adapter


class Workbench:
    """Makes and merges models in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []
        self.reports: dict[str, Any] = {}

    def base(self, config: Any = None, dtype: torch.dtype = torch.bfloat16, **save: Any) -> Path:
        """A causal language model with random weights."""
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config or llama())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(0, 0.05)
        model.to(dtype).save_pretrained(self.folder / "base", **save)
        return self.folder / "base"

    def adapter(self, base: Path, config: Any, **load: Any) -> Path:
        """An adapter whose every value is random, as if trained."""
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, **load), deepcopy(config))
        torch.manual_seed(1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad and "magnitude" in name:
                    parameter.mul_(1 + 0.2 * torch.rand_like(parameter))
                elif parameter.requires_grad:
                    parameter.normal_(0, 0.1)
        model.save_pretrained(self.folder / "adapter")
        return self.folder / "adapter"

    def by_peft(self, base: Path, adapter: Path) -> dict[str, torch.Tensor]:
        """What peft's merge_and_unload saves."""
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
        model.merge_and_unload().save_pretrained(self.folder / "peft")
        return tensors(self.folder / "peft")

    def merge(
        self,
        base: Path,
        adapter: Path,
        *,
        registry: Registry | None = None,
        meta: Meta = NO_META,
        job: str = "job",
        **options: Any,
    ) -> Path:
        """Run the pass; its output folder. meta: what the adapter's artifact carries."""
        context = pass_context(self.folder / job, registry=registry)
        context.note = self.notes.append  # type: ignore[method-assign]
        model: Artifact = input_artifact(adapter, "hf-adapter", input_artifact(base, "hf-model"))
        parsed = MergeAdapterOptions.parse({"verify": "never", **options})
        result = merge_adapter(replace(model, meta=meta), parsed, context)
        planned = RecordingPlan()
        plan(model_facts(model), parsed, planned)
        assert not planned.problems  # what can be merged is not refused before
        self.reports = context.reports
        return result.path


def llama(**changes: Any) -> LlamaConfig:
    sizes = {"vocab_size": 160, "hidden_size": 64, "intermediate_size": 136, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    return LlamaConfig(**{**sizes, **heads, "pad_token_id": 0, "tie_word_embeddings": False, **changes})


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for file in sorted(folder.glob("*.safetensors")) for k, v in load_file(file).items()}


def assert_same_bits(ours: Path, theirs: dict[str, torch.Tensor]) -> None:
    found = tensors(ours)
    assert found.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


@pytest.fixture(name="llama")
def llama_fixture() -> Any:
    """Makes a small LlamaConfig; keywords change it."""
    return llama


@pytest.fixture(name="tensors")
def tensors_fixture() -> Any:
    """Reads all tensors of a folder."""
    return tensors


@pytest.fixture(name="assert_same_bits")
def assert_same_bits_fixture() -> Any:
    """Compares a merged folder with peft's tensors."""
    return assert_same_bits


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load()
