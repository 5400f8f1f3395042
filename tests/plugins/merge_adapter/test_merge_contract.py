"""MergeAdapterWeights keeps the contract of every pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from modelpress.artifact import Artifact
from modelpress.testing import PassContract, RecordingPlan, input_artifact, make_tiny_model, model_facts
from modelpress_plugins.merge_adapter.config import MergeAdapterOptions
from modelpress_plugins.merge_adapter.plan import plan


def make_adapter(folder: Path, **config: Any) -> Artifact:
    base = make_tiny_model(folder / "base")
    torch.manual_seed(0)  # get_peft_model draws lora_A
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(**{"r": 4, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM", **config}),
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    model.save_pretrained(folder / "adapter")
    return input_artifact(folder / "adapter", "hf-adapter", input_artifact(base, "hf-model"))


class TestMergeAdapterWeights(PassContract):
    pass_name = "MergeAdapterWeights"
    golden = Path(__file__).parent / "golden"
    options = {"max_shard_size": "100KB", "verify": "required"}  # noqa: RUF012
    bad_options = {"merge_base": "other"}  # noqa: RUF012

    def make_input(self, folder: Path) -> Artifact:
        return make_adapter(folder)


def test_the_plan_gives_the_facts_of_the_base(tmp_path: Path) -> None:
    adapter = model_facts(make_adapter(tmp_path))
    assert adapter.base is not None
    context = RecordingPlan()
    facts = plan(adapter, MergeAdapterOptions(), context)
    assert (facts.format, facts.path, facts.config) == ("hf-model", None, adapter.base.config)
    assert facts.size == adapter.base.size
    assert 0 < context.memory < 10**9


def test_the_plan_tells_what_cannot_be_merged(tmp_path: Path) -> None:
    context = RecordingPlan()
    plan(model_facts(make_adapter(tmp_path, init_lora_weights="pissa")), MergeAdapterOptions(), context)
    assert len(context.problems) == 1
    assert "PiSSA changes the base weights" in context.problems[0]


def test_the_plan_tells_of_a_quantized_base(tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path)
    assert adapter.base is not None
    config = adapter.base.path / "config.json"
    config.write_text(config.read_text().replace("{", '{"quantization_config": {"quant_method": "awq"},', 1))
    context = RecordingPlan()
    plan(model_facts(adapter), MergeAdapterOptions(), context)
    assert "quantized (awq)" in context.problems[0]


def test_the_plan_tells_of_a_cut_adapter_file(tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path)
    file = adapter.path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    context = RecordingPlan()
    plan(model_facts(adapter), MergeAdapterOptions(), context)
    assert "is not a whole safetensors file" in context.problems[0]
