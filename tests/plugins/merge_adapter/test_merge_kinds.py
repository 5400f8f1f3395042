"""Bases and adapters that do not lie as plainly: two heads, other layouts, experts, images, new tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    Gemma3Config,
    GPT2Config,
    GptOssConfig,
    MixtralConfig,
    OpenAIGPTConfig,
    Qwen2_5_VLConfig,
    Qwen3MoeConfig,
)

from modelpress.errors import UserError
from modelpress.testing import make_tiny_model

HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0}
SMALL = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, **HEADS}


def lora(**options: Any) -> LoraConfig:
    return LoraConfig(
        **{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM", **options}
    )


def say(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval().float()(input_ids=torch.arange(1, 17)[None]).logits[0]


def change(model: Any) -> None:
    """Every value that an adapter trains becomes random."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.1)


def two_heads(bench: Any, llama: Any) -> Path:
    """A base whose config.json ties what its file holds twice, with other values."""
    base = bench.base(llama(tie_word_embeddings=True), torch.float32)
    weights = load_file(base / "model.safetensors")
    head = {"lm_head.weight": weights["model.embed_tokens.weight"].flip(0).contiguous()}
    save_file({**weights, **head}, base / "model.safetensors", metadata={"format": "pt"})
    return base


ON_BOTH = [
    {"target_modules": ["q_proj"]},
    {"target_modules": ["q_proj", "lm_head"]},
    {"target_modules": ["q_proj", "embed_tokens"]},
    {"modules_to_save": ["lm_head"]},
    {"trainable_token_indices": [5, 9]},
]


@pytest.mark.parametrize("options", ON_BOTH, ids=str)
def test_two_weights_that_config_json_ties_stay_two(options: Any, bench: Any, llama: Any) -> None:
    base = two_heads(bench, llama)
    adapter = bench.adapter(base, lora(**options))
    wanted = say(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter))
    merged = bench.merge(base, adapter)
    torch.testing.assert_close(say(AutoModelForCausalLM.from_pretrained(merged)), wanted, atol=2e-5, rtol=0)
    assert json.loads((merged / "config.json").read_text())["tie_word_embeddings"] is False
    assert any("holds two that differ" in note for note in bench.notes)


def test_a_head_that_is_in_the_file_as_well_follows_the_embedding(bench: Any, llama: Any) -> None:
    base = bench.base(llama(tie_word_embeddings=True), torch.float32)
    weights = load_file(base / "model.safetensors")
    head = {"lm_head.weight": weights["model.embed_tokens.weight"].clone()}
    save_file({**weights, **head}, base / "model.safetensors", metadata={"format": "pt"})
    adapter = bench.adapter(base, lora(trainable_token_indices=[5, 9]))
    wanted = say(PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter))
    merged = AutoModelForCausalLM.from_pretrained(bench.merge(base, adapter))
    assert merged.lm_head.weight is merged.model.embed_tokens.weight
    torch.testing.assert_close(say(merged), wanted, atol=2e-5, rtol=0)


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("said", [False, True])
def test_a_square_weight_is_read_by_the_kind_of_its_layer(
    said: bool, use_dora: bool, bench: Any, assert_same_bits: Any
) -> None:
    """peft writes into fan_in_fan_out what the last layer was that it met: here GPT-2's head, a Linear."""
    sizes = {"vocab_size": 64, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32}
    base = bench.base(GPT2Config(**sizes, tie_word_embeddings=False), torch.float32)
    adapter = bench.adapter(base, lora(target_modules=["c_attn", "c_proj", "lm_head"], use_dora=use_dora))
    document = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**document, "fan_in_fan_out": said}))
    assert_same_bits(bench.merge(base, adapter), bench.by_peft(base, adapter))


def test_an_architecture_without_a_row_is_asked_of_transformers(bench: Any, assert_same_bits: Any) -> None:
    base = bench.base(OpenAIGPTConfig(vocab_size=96, n_embd=64, n_layer=2, n_head=4, n_positions=32))
    adapter = bench.adapter(base, lora(target_modules=["c_attn", "c_proj"], fan_in_fan_out=False))
    assert_same_bits(bench.merge(base, adapter), bench.by_peft(base, adapter))


EXPERTS = {
    "mixtral": MixtralConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2),
    "qwen3_moe": Qwen3MoeConfig(
        **SMALL, head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32
    ),
    "gpt_oss": GptOssConfig(
        **{**SMALL, "intermediate_size": 64}, num_local_experts=4, num_experts_per_tok=2, head_dim=32
    ),
}
PARAMETERS = {
    "both": {"target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]},
    "one": {"target_parameters": ["mlp.experts.down_proj"], "use_rslora": True},
    "the other": {"target_parameters": ["experts.gate_up_proj"], "rank_pattern": {".*gate_up_proj": 2}},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("targets", PARAMETERS)
@pytest.mark.parametrize("kind", EXPERTS)
def test_experts_have_the_bits_that_peft_gives_them(
    kind: str, targets: str, dtype: torch.dtype, bench: Any, tensors: Any
) -> None:
    """However the base holds them: one by one (Mixtral), or (experts, in, out) at once, square (gpt-oss)."""
    base = bench.base(EXPERTS[kind], dtype)
    adapter = bench.adapter(base, lora(**PARAMETERS[targets]))
    wanted, found = bench.by_peft(base, adapter), tensors(bench.merge(base, adapter))
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        # peft makes all experts' products in one call, whose sums may run in another order
        torch.testing.assert_close(
            found[name], tensor, atol=1e-6, rtol=2**-7 if dtype != torch.float32 else 1e-5
        )
    assert bench.reports["merged_modules"] == bench.reports["adapter_modules"]


def test_all_linear_reaches_experts_and_router(bench: Any, tensors: Any) -> None:
    """peft turns names of linear layers that transformers 5 joined into names of parameters."""
    base = bench.base(EXPERTS["mixtral"], torch.float32)
    adapter = bench.adapter(base, lora(target_modules="all-linear"))
    wanted, found = bench.by_peft(base, adapter), tensors(bench.merge(base, adapter))
    changed = [n for n, t in tensors(base).items() if not torch.equal(t, found[n])]
    assert len(changed) == 2 * (4 + 1 + 4 * 3)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5)


VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
MROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
IMAGES = {
    "gemma3": Gemma3Config(
        text_config={**SMALL, "head_dim": 16}, mm_tokens_per_image=4,
        vision_config={**VISION, "image_size": 28, "patch_size": 14},
    ),
    "qwen2_5_vl": Qwen2_5_VLConfig(
        text_config={**SMALL, "rope_parameters": MROPE, "max_position_embeddings": 64},
        vision_config={"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2,
                       "out_hidden_size": 64, "fullatt_block_indexes": [1]},
    ),
}  # fmt: skip


def images_base(bench: Any, kind: str) -> Path:
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(IMAGES[kind])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.05)
    model.save_pretrained(bench.folder / "base")
    return bench.folder / "base"


def images_adapter(bench: Any, base: Path, config: LoraConfig) -> Path:
    model = get_peft_model(AutoModelForImageTextToText.from_pretrained(base), config)
    change(model)
    model.save_pretrained(bench.folder / "adapter")
    return bench.folder / "adapter"


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", IMAGES)
def test_models_with_images_are_merged_by_the_names_that_transformers_gives(
    kind: str, older: bool, bench: Any, assert_same_bits: Any
) -> None:
    """older: an adapter that speaks of the modules as they were called before transformers 4.52."""
    base = images_base(bench, kind)
    text_only = r".*language_model.*\.(q_proj|down_proj)"
    adapter = images_adapter(bench, base, lora(target_modules=text_only))
    theirs = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(base), adapter)
    theirs.merge_and_unload().save_pretrained(bench.folder / "peft")
    if older:
        inner = ("model.language_model.", "language_model.model." if kind == "gemma3" else "model.")
        weights = load_file(adapter / "adapter_model.safetensors")
        save_file({k.replace(*inner): v for k, v in weights.items()}, adapter / "adapter_model.safetensors")
    assert_same_bits(bench.merge(base, adapter), load_file(bench.folder / "peft" / "model.safetensors"))
    assert bench.reports["merged_modules"] == 4


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_a_tied_head_of_a_model_with_images_is_untied(target: str, bench: Any) -> None:
    base = images_base(bench, "gemma3")
    adapter = images_adapter(bench, base, lora(target_modules=[target]))
    theirs = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(base), adapter)
    merged = AutoModelForImageTextToText.from_pretrained(bench.merge(base, adapter))
    torch.testing.assert_close(say(merged), say(theirs), atol=2e-5, rtol=0)


def grown_adapter(bench: Any, base: Path, rows: int, **options: Any) -> Path:
    """An adapter of a model to which tokens were added."""
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(rows)
    adapted = get_peft_model(model, lora(**options))
    change(adapted)
    adapted.save_pretrained(bench.folder / "adapter", save_embedding_layers=True)
    return bench.folder / "adapter"


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"trainable_token_indices": [5, 161]},
    ],
    ids=str,
)
def test_a_vocabulary_that_grew_is_merged_with_its_rows(
    options: Any, tied: bool, bench: Any, llama: Any
) -> None:
    base = bench.base(llama(tie_word_embeddings=tied), torch.float32)
    adapter = grown_adapter(bench, base, 163, **options)
    grown = AutoModelForCausalLM.from_pretrained(base)
    grown.resize_token_embeddings(163)
    wanted = say(PeftModel.from_pretrained(grown, adapter))
    merged = AutoModelForCausalLM.from_pretrained(bench.merge(base, adapter))
    assert merged.config.vocab_size == 163
    torch.testing.assert_close(say(merged), wanted, atol=2e-5, rtol=0)
    assert any("163 rows" in note for note in bench.notes)


def test_half_of_a_vocabulary_is_refused_with_the_counts(bench: Any) -> None:
    """peft saves no embedding beside a head that has an adapter: its new rows are lost."""
    base = bench.base()
    adapter = grown_adapter(bench, base, 163, target_modules=["q_proj", "lm_head"])
    with pytest.raises(UserError, match=r"the embedding has 160 rows, the head 163"):
        bench.merge(base, adapter)


def test_a_tokenizer_with_more_ids_than_rows_is_refused_with_the_counts(bench: Any) -> None:
    base = bench.base()
    adapter = bench.adapter(base, lora())
    tokenizer = {"model": {"vocab": {"a": 0, "b": 159}}, "added_tokens": [{"id": 160, "content": "<new>"}]}
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UserError, match=r"ids up to 160, the embedding 160 rows"):
        bench.merge(base, adapter)
    shutil.copy(adapter / "tokenizer.json", base / "tokenizer.json")  # it was so before the adapter
    assert bench.merge(base, adapter, job="own").is_dir()


def test_a_merge_is_compared_without_a_tokenizer(bench: Any, registry: Any) -> None:
    base = make_tiny_model(bench.folder / "base")
    adapter = bench.adapter(base, lora())
    for folder in (base, adapter):
        for file in folder.glob("*token*"):
            file.unlink()
    bench.merge(base, adapter, verify="required", registry=registry)
    assert bench.reports["logits_difference"] < 1e-3
