"""Tiny random models of many architectures, with weights so large that attention, rope and norms matter.

Each row is what a family has of its own: windows, rope factors, experts, norms that add one. All come with the
tokenizer of the example, so that every pass and every comparison runs as it does on a real model.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from published import as_fp8, as_mxfp4

TOKENIZER = Path(__file__).parents[1] / "examples" / "emotions" / "model"
CONTEXT = 512
WINDOW = 32

_BASE = {
    "vocab_size": 2048,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1 + i / 10 for i in range(8)],
    "long_factor": [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0],
    "rope_theta": 10000.0,
    "original_max_position_embeddings": 64,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_theta": 10000.0,
}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_QWEN_MOE = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "decoder_sparse_step": 1,
}
_DEEPSEEK = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 32,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16,
    "v_head_dim": 16,
    "num_key_value_heads": 4,
}


def _causal(name: str, **changes: Any) -> Callable[[], hf.PreTrainedModel]:
    """`{name}ForCausalLM` of `{name}Config`, the common sizes with some changed."""

    def make() -> hf.PreTrainedModel:
        config = getattr(hf, f"{name}Config")(**{**_BASE, **changes})
        model: hf.PreTrainedModel = getattr(hf, f"{name}ForCausalLM")(config)
        return model

    return make


def _gpt(name: str, **changes: Any) -> Callable[[], hf.PreTrainedModel]:
    """Of those that have their sizes under older names."""
    sizes = {"vocab_size": 2048, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}

    def make() -> hf.PreTrainedModel:
        model: hf.PreTrainedModel = getattr(hf, f"{name}")(
            getattr(hf, name.replace("LMHeadModel", "").replace("ForCausalLM", "") + "Config")(
                **{**sizes, **changes}
            )
        )
        return model

    return make


def _gemma3_vision() -> hf.PreTrainedModel:
    text = {**_BASE, "num_hidden_layers": 6, "head_dim": 32, "sliding_window": WINDOW}
    config = hf.Gemma3Config(
        text_config={**text, "query_pre_attn_scalar": 32}, vision_config=_VISION, mm_tokens_per_image=4
    )
    return hf.Gemma3ForConditionalGeneration(config)


def _qwen25_vision() -> hf.PreTrainedModel:
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    config = hf.Qwen2_5_VLConfig(text_config={**_BASE, "rope_parameters": rope}, vision_config=vision)
    return hf.Qwen2_5_VLForConditionalGeneration(config)


def _mistral3_vision() -> hf.PreTrainedModel:
    text = {**_BASE, "model_type": "mistral", "head_dim": 16, "sliding_window": None}
    vision = {**_VISION, "model_type": "pixtral", "head_dim": 16}
    config = hf.Mistral3Config(text_config=text, vision_config=vision)
    return hf.Mistral3ForConditionalGeneration(config)


def _bert() -> hf.PreTrainedModel:
    sizes = {k: v for k, v in _BASE.items() if k not in ("num_key_value_heads", "bos_token_id")}
    return hf.BertForMaskedLM(hf.BertConfig(**sizes))


def _encoder_decoder(name: str, **changes: Any) -> Callable[[], hf.PreTrainedModel]:
    def make() -> hf.PreTrainedModel:
        model: hf.PreTrainedModel = getattr(hf, f"{name}ForConditionalGeneration")(
            getattr(hf, f"{name}Config")(
                vocab_size=2048, pad_token_id=0, bos_token_id=1, eos_token_id=2, **changes
            )
        )
        return model

    return make


_WHISPER = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
    "decoder_start_token_id": 1,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}
_GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}

MODELS: Mapping[str, Callable[[], hf.PreTrainedModel]] = {
    "llama": _causal("Llama"),
    "llama3_tied": _causal("Llama", rope_parameters=_LLAMA3, tie_word_embeddings=True),
    "mistral": _causal("Mistral", sliding_window=None),
    "mistral_window": _causal("Mistral", sliding_window=WINDOW),
    "qwen2": _causal("Qwen2", tie_word_embeddings=True),
    "qwen3": _causal("Qwen3", head_dim=32),
    "qwen3_window": _causal(
        "Qwen3", head_dim=32, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1
    ),
    "phi2": _causal("Phi", num_key_value_heads=4, hidden_size=128, partial_rotary_factor=0.5),
    "phi3": _causal("Phi3", original_max_position_embeddings=CONTEXT),
    "phi3_window": _causal("Phi3", original_max_position_embeddings=CONTEXT, sliding_window=WINDOW),
    "phi3_longrope": _causal("Phi3", original_max_position_embeddings=64, rope_parameters=_LONGROPE),
    "gemma": _causal("Gemma", head_dim=32),
    "gemma2": _causal("Gemma2", head_dim=32, sliding_window=WINDOW, query_pre_attn_scalar=32),
    "gemma3": lambda: hf.Gemma3ForCausalLM(
        hf.Gemma3TextConfig(
            **{**_BASE, "num_hidden_layers": 6}, head_dim=32, sliding_window=WINDOW, query_pre_attn_scalar=32
        )
    ),
    "smollm3": _causal("SmolLM3", num_hidden_layers=4, no_rope_layer_interval=4),
    "olmo": _causal("Olmo"),
    "olmo2": _causal("Olmo2"),
    "granite": _causal(
        "Granite",
        embedding_multiplier=12.0,
        logits_scaling=8.0,
        residual_multiplier=0.22,
        attention_multiplier=0.0625,
    ),
    "nemotron": _causal("Nemotron", head_dim=32, partial_rotary_factor=0.5),
    "ernie": _causal("Ernie4_5", head_dim=16),
    "hunyuan": _causal("HunYuanDenseV1", head_dim=16),
    "lfm2": _causal("Lfm2", layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False),
    "stablelm": _causal("StableLm"),
    "cohere": _causal("Cohere"),
    "glm4": _causal("Glm4", head_dim=16),
    "starcoder2": _causal("Starcoder2", sliding_window=None),
    "gpt2": _gpt("GPT2LMHeadModel", **_GPT2),
    "gpt_neox": _causal("GPTNeoX"),
    "gptj": _gpt("GPTJForCausalLM", **_GPT2, rotary_dim=16),
    "bloom": _gpt("BloomForCausalLM", hidden_size=64, n_layer=2, n_head=4),
    "falcon": _gpt("FalconForCausalLM", hidden_size=64, num_hidden_layers=2, num_attention_heads=4),
    "opt": _gpt(
        "OPTForCausalLM",
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=128,
        word_embed_proj_dim=64,
        max_position_embeddings=CONTEXT,
    ),
    "mixtral": _causal("Mixtral", **_EXPERTS, sliding_window=None),
    "qwen2_moe": _causal("Qwen2Moe", **_QWEN_MOE, shared_expert_intermediate_size=64),
    "qwen3_moe": _causal("Qwen3Moe", **_QWEN_MOE, head_dim=16),
    "gptoss": _causal("GptOss", **_EXPERTS, head_dim=32, sliding_window=WINDOW, intermediate_size=64),
    "gptoss_mxfp4": _causal("GptOss", **_EXPERTS, head_dim=32, sliding_window=WINDOW, intermediate_size=64),
    "qwen3_fp8": _causal("Qwen3", head_dim=16, use_sliding_window=False),
    "deepseek_v3": _causal("DeepseekV3", **_DEEPSEEK),
    "phimoe": _causal("Phimoe", **_EXPERTS, sliding_window=None),
    "mamba": _gpt("MambaForCausalLM", hidden_size=64, num_hidden_layers=2, state_size=8),
    "gemma3_vision": _gemma3_vision,
    "qwen25_vision": _qwen25_vision,
    "mistral3_vision": _mistral3_vision,
    "bert": _bert,
    "whisper": _encoder_decoder("Whisper", **_WHISPER),
    "t5": _encoder_decoder(
        "T5", d_model=64, d_ff=128, d_kv=16, num_layers=2, num_heads=4, decoder_start_token_id=0
    ),
}

PUBLISHED: Mapping[str, Callable[[Path], Path]] = {"gptoss_mxfp4": as_mxfp4, "qwen3_fp8": as_fp8}
"""Models whose checkpoints are quantized as their makers publish them."""


def make(name: str, folder: Path, seed: int) -> Path:
    """Save the model `name` with a tokenizer as folder/name, in bfloat16, unless it is there."""
    target = folder / name
    if (target / "tokenizer.json").is_file():
        return target
    torch.manual_seed(seed)
    model = MODELS[name]()
    _shake(model, seed)
    shutil.rmtree(target, ignore_errors=True)
    model.eval().to(torch.bfloat16).save_pretrained(target)
    if name in PUBLISHED:
        PUBLISHED[name](target)
    for file in ("tokenizer_config.json", "tokenizer.json"):
        shutil.copyfile(TOKENIZER / file, target / file)
    return target


def _shake(model: hf.PreTrainedModel, seed: int, spread: float = 0.15) -> None:
    """Random weights of that spread; norms and biases moved off 1 and 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() >= 2:
                parameter.copy_(noise * spread)
            else:
                parameter.add_(noise * 0.2)
