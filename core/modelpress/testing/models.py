"""A model small enough to be made anew in every test: `hf-model`, with a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def make_tiny_model(folder: Path, *, dtype: str = "float32", seed: int = 0, **config: Any) -> Path:
    """A Llama of two layers and some 50,000 random weights, as save_pretrained() writes it.

    dtype: float32, float16, bfloat16. config: options of LlamaConfig that should differ. Its tokenizer knows
    the printable ASCII characters. Needs torch and transformers.
    """
    # Here, not at the top: the rest of this package serves authors whose passes need neither.
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _character_tokenizer()
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**{**sizes, **heads, **special, **config}))
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _character_tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", "<unk>", *(chr(code) for code in range(32, 127))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )
