"""What config.json promises and the weights lack is told before any work."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from modelpress.api import UserError
from modelpress_plugins.hf.complete import require_complete
from modelpress_plugins.hf.config import read_config

Change = Callable[[dict[str, torch.Tensor], dict[str, object]], object]


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    return tmp_path


def test_a_whole_checkpoint_is_complete(llama: Path) -> None:
    require_complete(llama, read_config(llama))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda t, c: t.pop("model.layers.1.mlp.down_proj.weight"),
            "layers.1.mlp.down_proj.weight is missing",
        ),
        (lambda t, c: t.pop("model.layers.0.input_layernorm.weight"), "layers.0.input_layernorm.weight is"),
        (lambda t, c: t.pop("lm_head.weight"), "no lm_head.weight, and tie_word_embeddings is false"),
        (lambda t, c: t.pop("model.embed_tokens.weight"), "no embed_tokens.weight"),
        (lambda t, c: c.update(num_hidden_layers=5), "says 5 layers, and there are 2 (none of number 2)"),
        (lambda t, c: c.update(vocab_size=40), "has 32 rows, and vocab_size is 40"),
    ],
)
def test_what_is_missing_is_named(llama: Path, change: Change, said: str) -> None:
    tensors = load_file(llama / "model.safetensors")
    config = json.loads((llama / "config.json").read_text())
    change(tensors, config)
    save_file(tensors, llama / "model.safetensors")
    (llama / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=re.escape(said)):
        require_complete(llama, read_config(llama))
