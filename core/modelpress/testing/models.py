"""A model small enough to be made anew in every test: `hf-model`, with a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "max_position_embeddings": 128}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
_SPECIAL = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
_EXPERTS = {
    **{"num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2},
    **{"moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "n_group": 1, "topk_group": 1},
}


def make_tiny_model(
    folder: Path,
    *,
    architecture: str = "llama",
    dtype: str = "float32",
    seed: int = 0,
    spread: float | None = None,
    **config: Any,
) -> Path:
    """A model of two layers and some 50,000 random weights, as save_pretrained() writes it.

    architecture: any causal language model of transformers, by its model_type (`qwen3`, `gemma2`, `gpt_oss`).
    dtype: float32, float16, bfloat16. config: options of its config class that should differ.
    spread: standard deviation of the weights, with norms and biases moved off 1 and 0; None: as transformers
    draws them, so small that attention hardly matters to the logits. 0.15 makes every part count.
    Its tokenizer knows the printable ASCII characters. Needs torch and transformers.
    """
    # Here, not at the top: the rest of this package serves authors whose passes need neither.
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = _character_tokenizer()
    known = AutoConfig.for_model(architecture).to_dict()
    experts = {key: value for key, value in _EXPERTS.items() if key in known}
    sizes = {"vocab_size": len(tokenizer), **_SIZES, **_HEADS, **_SPECIAL, **experts, **config}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        chosen = AutoConfig.for_model(architecture, **sizes)
        model = AutoModelForCausalLM.from_config(chosen)  # type: ignore[no-untyped-call]
        if spread is not None:
            _spread(model, spread)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _spread(model: Any, spread: float) -> None:
    for parameter in model.parameters():
        noise = parameter.data.clone().normal_()
        parameter.data = noise * spread if parameter.dim() > 1 else parameter.data + noise * 0.2


def _character_tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", "<unk>", *(chr(code) for code in range(32, 127))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )
