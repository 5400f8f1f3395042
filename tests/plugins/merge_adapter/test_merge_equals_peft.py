"""Every tensor of a merge has the bits that peft's merge_and_unload gives it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, Phi3Config, Qwen2Config

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def lora(**options: Any) -> LoraConfig:
    return LoraConfig(
        **{"r": 8, "lora_alpha": 12, "target_modules": LINEAR, "task_type": "CAUSAL_LM", **options}
    )


ADAPTERS = {
    "lora": lora(),
    "rslora": lora(use_rslora=True),
    "dora": lora(use_dora=True),
    "patterns": lora(
        rank_pattern={"q_proj": 4, "layers.1.mlp.up_proj": 16},
        alpha_pattern={"^model.layers.0.self_attn.k_proj": 3},
    ),
    "modules to save": lora(modules_to_save=["lm_head", "norm"]),
    "loha": LoHaConfig(r=4, alpha=6, target_modules=LINEAR),
    "lokr": LoKrConfig(r=4, alpha=6, target_modules=LINEAR),
    "lokr, both cut": LoKrConfig(r=2, alpha=6, decompose_both=True, target_modules=LINEAR),
    "tokens": lora(trainable_token_indices=[3, 77, 150]),
    "embedding": lora(target_modules=["q_proj", "embed_tokens"]),
    "embedding, dora": lora(target_modules=["q_proj", "embed_tokens"], use_dora=True),
    "head": lora(target_modules=["v_proj", "lm_head"]),
    "orthogonal": lora(init_lora_weights="orthogonal"),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_method_has_the_same_bits(
    kind: str, dtype: torch.dtype, bench: Any, assert_same_bits: Any
) -> None:
    base = bench.base(dtype=dtype)
    adapter = bench.adapter(base, ADAPTERS[kind])
    assert_same_bits(bench.merge(base, adapter), bench.by_peft(base, adapter))
    assert bench.reports["merged_modules"] == bench.reports["adapter_modules"]


def test_fused_weights_have_the_same_bits(bench: Any, assert_same_bits: Any) -> None:
    config = Phi3Config(vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0)  # fmt: skip
    base = bench.base(config)
    adapter = bench.adapter(base, lora(target_modules=["qkv_proj", "gate_up_proj", "o_proj"]))
    assert_same_bits(bench.merge(base, adapter), bench.by_peft(base, adapter))


@pytest.mark.parametrize("use_dora", [False, True])
def test_weights_stored_in_by_out_have_the_same_bits(
    use_dora: bool, bench: Any, assert_same_bits: Any
) -> None:
    """GPT-2's attn.c_proj is square, so only the adapter's fan_in_fan_out tells how it is stored."""
    base = bench.base(GPT2Config(vocab_size=96, n_embd=64, n_layer=2, n_head=4, n_positions=32))
    targets = ["c_attn", "c_proj", "c_fc"]
    adapter = bench.adapter(base, lora(target_modules=targets, fan_in_fan_out=True, use_dora=use_dora))
    assert_same_bits(bench.merge(base, adapter), bench.by_peft(base, adapter))


@pytest.mark.parametrize("options", [{"bias": "all"}, {"bias": "lora_only"}, {"lora_bias": True}], ids=str)
def test_trained_biases_have_the_same_bits(options: Any, bench: Any, assert_same_bits: Any) -> None:
    config = Qwen2Config(vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, pad_token_id=0)  # fmt: skip
    base = bench.base(config)
    adapter = bench.adapter(base, lora(target_modules=["q_proj", "k_proj"], **options))
    assert_same_bits(bench.merge(base, adapter), bench.by_peft(base, adapter))


def test_shards_of_any_size_hold_the_same_tensors(bench: Any, assert_same_bits: Any, tensors: Any) -> None:
    base = bench.base(max_shard_size="60KB")
    assert len(list(base.glob("*.safetensors"))) > 2
    adapter = bench.adapter(base, lora())
    merged = bench.merge(base, adapter, max_shard_size="100KB")
    assert_same_bits(merged, bench.by_peft(base, adapter))
    loaded = AutoModelForCausalLM.from_pretrained(merged)  # the index is right
    assert torch.equal(loaded.lm_head.weight, tensors(merged)["lm_head.weight"])


def test_a_product_in_strips_has_the_same_bits(bench: Any, assert_same_bits: Any, monkeypatch: Any) -> None:
    """Strips of 64 rows, the least that there are, on a weight of 2,500 rows."""
    monkeypatch.setattr("modelpress_plugins.merge_adapter.deltas.Change.row_ranges.__defaults__", (64 * 64,))
    config = Phi3Config(vocab_size=96, hidden_size=64, intermediate_size=1250, num_hidden_layers=1,
                        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0)  # fmt: skip
    base = bench.base(config)
    wide = ["gate_up_proj"]
    product = {"r": 4, "alpha": 6, "target_modules": wide}
    for method in (
        lora(target_modules=wide),
        lora(target_modules=wide, use_dora=True),
        LoHaConfig(**product),
        LoKrConfig(**product),
    ):
        adapter = bench.adapter(base, method)
        assert_same_bits(bench.merge(base, adapter), bench.by_peft(base, adapter))


@pytest.mark.parametrize("alpha", [3, 8])
def test_strips_of_a_float32_base_do_not_overwrite_each_other(
    alpha: int, bench: Any, assert_same_bits: Any, monkeypatch: Any
) -> None:
    """Nothing is rounded there, so the sum itself would be handed on, in memory that the next strip uses."""
    monkeypatch.setattr("modelpress_plugins.merge_adapter.deltas.Change.row_ranges.__defaults__", (64 * 64,))
    config = Phi3Config(vocab_size=96, hidden_size=64, intermediate_size=4096, num_hidden_layers=1,
                        num_attention_heads=4, num_key_value_heads=2, pad_token_id=0)  # fmt: skip
    base = bench.base(config, dtype=torch.float32)
    adapter = bench.adapter(base, lora(r=4, lora_alpha=alpha, target_modules=["gate_up_proj"]))
    assert_same_bits(bench.merge(base, adapter), bench.by_peft(base, adapter))


def test_a_checkpoint_of_the_inner_model_alone_is_matched(bench: Any, tensors: Any) -> None:
    """AutoModel saves `layers.0…`; the adapter of a causal model says `model.layers.0…`."""
    base = bench.base()
    adapter = bench.adapter(base, lora())
    wanted = bench.by_peft(base, adapter)
    AutoModel.from_pretrained(base).save_pretrained(bench.folder / "inner")
    found = tensors(bench.merge(bench.folder / "inner", adapter))
    assert found
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[f"model.{name}"])


def test_tensors_that_transformers_renames_on_loading_are_found(bench: Any, assert_same_bits: Any) -> None:
    """GPT-NeoX checkpoints say `embed_out`, its modules and so its adapters `lm_head`."""
    base = bench.base(
        GPTNeoXConfig(vocab_size=96, hidden_size=64, num_hidden_layers=1, num_attention_heads=4,
                      intermediate_size=96, max_position_embeddings=32, tie_word_embeddings=False)
    )  # fmt: skip
    assert "embed_out.weight" in load_file(base / "model.safetensors")
    adapter = bench.adapter(base, lora(target_modules=["query_key_value", "lm_head"]))
    assert_same_bits(bench.merge(base, adapter), bench.by_peft(base, adapter))
