"""What config.json promises and the weights lack is told before any work."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
)

from modelpress.api import UserError
from modelpress_plugins.hf.complete import require_complete
from modelpress_plugins.hf.config import read_config
from modelpress_plugins.hf.whole import require_finite, require_whole

Change = Callable[[dict[str, torch.Tensor], dict[str, object]], object]


SIZES = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def broken(folder: Path, change: Change) -> Path:
    """The same checkpoint with changed tensors and config."""
    tensors = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    change(tensors, config)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    config = LlamaConfig(**SIZES, tie_word_embeddings=False)
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
        (
            lambda t, c: c.update(intermediate_size=64),
            "layers.0.mlp.down_proj.weight is 16 x 32, expected 16 x 64",
        ),
        (
            lambda t, c: t.update({"model.layers.1.input_layernorm.weight": torch.ones(8)}),
            "layers.1.input_layernorm.weight is 8, expected 16",
        ),
        (lambda t, c: c.update(num_key_value_heads=1), "k_proj.weight is 16 x 16, expected 8 x 16"),
    ],
)
def test_what_is_missing_is_named(llama: Path, change: Change, said: str) -> None:
    broken(llama, change)
    with pytest.raises(UserError, match=re.escape(said)):
        require_complete(llama, read_config(llama))


def test_layers_beyond_those_of_config_json_are_told(llama: Path) -> None:
    broken(llama, lambda t, c: c.update(num_hidden_layers=1))
    (told,) = require_complete(llama, read_config(llama))
    assert "1 more layers than config.json says (1), from model.layers.1 on" in told


def test_a_lost_expert_is_missed(tmp_path: Path) -> None:
    MixtralForCausalLM(MixtralConfig(**SIZES, num_local_experts=4)).save_pretrained(tmp_path)
    require_complete(tmp_path, read_config(tmp_path))
    lost = "model.layers.1.block_sparse_moe.experts.3.w{}.weight"
    broken(tmp_path, lambda t, c: [t.pop(lost.format(i)) for i in (1, 2, 3)])
    with pytest.raises(UserError, match=r"experts.3.w1.weight is missing"):
        require_complete(tmp_path, read_config(tmp_path))


def test_parts_of_a_model_with_images_are_counted_by_themselves(tmp_path: Path) -> None:
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config={**SIZES, "head_dim": 8},
        vision_config={**vision, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
    )
    Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path)
    require_complete(tmp_path, read_config(tmp_path))
    name = next(n for n in load_file(tmp_path / "model.safetensors") if "vision" not in n and "1.mlp.up" in n)
    broken(tmp_path, lambda t, c: t.pop(name))
    with pytest.raises(UserError, match=r"1.mlp.up_proj.weight is missing"):
        require_complete(tmp_path, read_config(tmp_path))
    broken(tmp_path, lambda t, c: [t.pop(n) for n in list(t) if "vision" in n and ".layers.1." in n])
    with pytest.raises(UserError, match=r"says 2 layers of \S*vision\S* and there are 1"):
        require_complete(tmp_path, read_config(tmp_path))


def test_an_architecture_that_is_not_known_misses_what_one_inner_layer_lacks(llama: Path) -> None:
    def change(t: dict[str, torch.Tensor], c: dict[str, object]) -> None:
        for layer in (2, 3, 4):
            t.update(
                {n.replace(".1.", f".{layer}."): w.clone() for n, w in list(t.items()) if ".layers.1." in n}
            )
        c.update(model_type="acme", num_hidden_layers=5)
        t.pop("model.layers.2.mlp.up_proj.weight")

    broken(llama, change)
    with pytest.raises(UserError, match=r"layers.2.mlp.up_proj.weight is missing"):
        require_complete(llama, read_config(llama))


def test_a_quantized_layer_may_not_be_lost_either(llama: Path) -> None:
    def change(t: dict[str, torch.Tensor], c: dict[str, object]) -> None:
        c.update(quantization_config={"quant_method": "gptq", "bits": 4})
        for name in [n for n in t if n.endswith("_proj.weight")]:
            t[name.replace("weight", "qweight")] = t.pop(name)
            t[name.replace("weight", "scales")] = torch.ones(2)
        t.pop("model.layers.0.mlp.up_proj.qweight")

    broken(llama, change)
    with pytest.raises(UserError, match=r"layers.0.mlp.up_proj.weight is missing"):
        require_complete(llama, read_config(llama))


def test_what_a_class_of_transformers_lacks_is_named_by_itself(tmp_path: Path) -> None:
    OPTForCausalLM(OPTConfig(**SIZES, ffn_dim=32, word_embed_proj_dim=16)).save_pretrained(tmp_path)
    assert require_whole(tmp_path, trust_remote_code=False) == []
    broken(tmp_path, lambda t, c: t.update({"model.extra": torch.ones(2)}))
    assert "takes model.extra of the weights" in require_whole(tmp_path, trust_remote_code=False)[0]
    broken(tmp_path, lambda t, c: t.pop("model.decoder.layers.0.fc1.bias"))
    broken(tmp_path, lambda t, c: t.pop("model.decoder.layers.1.fc1.bias"))
    with pytest.raises(UserError, match=r"layers.0.fc1.bias is missing; \S+layers.1.fc1.bias is missing"):
        require_whole(tmp_path, trust_remote_code=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_found_wherever_it_is(value: float, llama: Path) -> None:
    require_finite(llama)

    def change(t: dict[str, torch.Tensor], _: dict[str, object]) -> None:
        t["model.embed_tokens.weight"][31, 3] = value

    broken(llama, change)
    with pytest.raises(UserError, match=r"model.embed_tokens.weight .* not finite"):
        require_finite(llama)
