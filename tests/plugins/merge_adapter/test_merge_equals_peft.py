"""Every tensor of a merge has the bits that peft's merge_and_unload gives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from modelpress.testing.context import input_artifact, pass_context
from modelpress_plugins.merge_adapter.config import MergeAdapterOptions
from modelpress_plugins.merge_adapter.run import merge_adapter
from peft import LoHaConfig, LoKrConfig, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Phi3Config

SMALL = dict(vocab_size=160, hidden_size=64, intermediate_size=136, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
             pad_token_id=0)  # fmt: skip
ALL_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def llama(**changes: Any) -> LlamaConfig:
    return LlamaConfig(**{**SMALL, "tie_word_embeddings": False, **changes})


def make_base(folder: Path, config: Any, dtype: torch.dtype = torch.bfloat16, **save: Any) -> Path:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.05)
    model.to(dtype).save_pretrained(folder, **save)
    return folder


def make_adapter(folder: Path, base: Path, config: Any) -> Path:
    """An adapter whose every value is random, as if trained."""
    torch.manual_seed(1)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "magnitude" in name:
                parameter.mul_(1 + 0.2 * torch.rand_like(parameter))
            elif parameter.requires_grad:
                parameter.normal_(0, 0.1)
    model.save_pretrained(folder)
    return folder


def merged_by_peft(base: Path, adapter: Path, out: Path) -> dict[str, torch.Tensor]:
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    model.merge_and_unload().save_pretrained(out)
    return read_all(out)


def merged_by_us(base: Path, adapter: Path, folder: Path, **options: Any) -> Path:
    context = pass_context(folder)
    model = input_artifact(adapter, "hf-adapter", input_artifact(base, "hf-model"))
    result = merge_adapter(model, MergeAdapterOptions.parse({"verify": "never", **options}), context)
    assert context.reports["merged_modules"] == context.reports["adapter_modules"]
    return result.path


def read_all(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for file in sorted(folder.glob("*.safetensors")) for k, v in load_file(file).items()}


def assert_same_bits(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype, name
        assert torch.equal(ours[name], tensor), name


LORA = dict(r=8, lora_alpha=12, target_modules=ALL_LINEAR, task_type="CAUSAL_LM")
ADAPTERS = {
    "lora": LoraConfig(**LORA),
    "rslora": LoraConfig(**LORA, use_rslora=True),
    "dora": LoraConfig(**LORA, use_dora=True),
    "patterns": LoraConfig(
        **LORA,
        rank_pattern={"q_proj": 4, "layers.1.mlp.up_proj": 16},
        alpha_pattern={"^model.layers.0.self_attn.k_proj": 3},
    ),  # fmt: skip
    "modules to save": LoraConfig(**LORA, modules_to_save=["lm_head", "norm"]),
    "loha": LoHaConfig(r=4, alpha=6, target_modules=ALL_LINEAR),
    "lokr": LoKrConfig(r=4, alpha=6, target_modules=ALL_LINEAR),
    "lokr, both cut": LoKrConfig(r=2, alpha=6, decompose_both=True, target_modules=ALL_LINEAR),
    "tokens": LoraConfig(**LORA, trainable_token_indices=[3, 77, 150]),
    "embedding": LoraConfig(**{**LORA, "target_modules": ["q_proj", "embed_tokens"]}),
    "embedding, dora": LoraConfig(**{**LORA, "target_modules": ["q_proj", "embed_tokens"]}, use_dora=True),
    "gaussian": LoraConfig(**LORA, init_lora_weights="gaussian"),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("kind", ADAPTERS)
def test_same_bits_as_peft(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", llama(), dtype)
    adapter = make_adapter(tmp_path / "adapter", base, ADAPTERS[kind])
    ours = merged_by_us(base, adapter, tmp_path / "job")
    assert_same_bits(read_all(ours), merged_by_peft(base, adapter, tmp_path / "peft"))
