"""Quantized folders as transformers opens them: refused without the loader, the same logits with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    pipeline,
)

from modelpress.api import Artifact
from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.nearest import round_to_nearest
from modelpress_plugins.grids.stream import stream_model
from modelpress_plugins.grids.targets import Choice
from modelpress_plugins.hf.open import load_hf_model
from modelpress_plugins.hf.quantized import QuantizedCheckpoint

IDS = list(range(3, 60, 2))
SIZES: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip


def press(source: Path, out: Path, **choice: Any) -> Path:
    grid = Grid(choice.pop("bits", 4), 16, choice.pop("symmetric", True))
    stream_model(source, out, Choice(grid, **choice), round_to_nearest, "rtn", lambda done, total, unit: None)
    return out


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Callable[[str], Path]:
    """Tiny models by name: fused projections, tied, and with biases."""
    made = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
        "tied": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    }
    root = tmp_path_factory.mktemp("models")

    def get(name: str) -> Path:
        if name == "phi3":
            return model_folder
        if not (root / name).exists():
            torch.manual_seed(0)
            model: PreTrainedModel = made[name]()
            for parameter in model.parameters():
                parameter.data.normal_(std=0.2)
            model.to(torch.bfloat16).save_pretrained(root / name)
        return root / name

    return get


@pytest.fixture(scope="module")
def loader() -> Any:
    import modelpress_plugins.hf.transformers as loader

    return loader


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "symmetric": ("llama", {}),
    "zero points": ("llama", {"symmetric": False}),
    "2 bits": ("llama", {"bits": 2, "symmetric": False}),
    "fused projections": ("phi3", {"symmetric": False, "lm_head": True}),
    "biases": ("qwen2", {"lm_head": True}),
    "mixed bits": (
        "llama",
        {"lm_head": True, "overrides": {"lm_head": {"bits": 8}, "down_proj": {"bits": 8}}},
    ),
    "some modules in float": ("phi3", {"excluded": ("o_proj", "layers.0.mlp")}),
    "tied, the embedding stays": ("tied", {"lm_head": True}),
    "tied, ids looked up in the codes": ("tied", {"lm_head": True, "embeds": True}),
    "tied, the output layer stays": ("tied", {}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_those_of_modelpress_bit_for_bit(
    case: str, dtype: torch.dtype, models: Callable[[str], Path], loader: Any, tmp_path: Path
) -> None:
    name, choice = CASES[case]
    out = press(models(name), tmp_path / "out", **choice)
    model, told = AutoModelForCausalLM.from_pretrained(out, dtype=dtype, output_loading_info=True)
    assert not any(told.values()), told
    with QuantizedCheckpoint(out) as checkpoint:
        state = {name: checkpoint.read(name).to(dtype) for name in checkpoint.names()}
    found = model.state_dict()
    assert set(state) <= set(found)
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    if dtype == torch.float32:
        with torch.no_grad():
            logits = model(torch.tensor([IDS])).logits[0].numpy()
        ours = load_hf_model_without_tokenizer(out)(torch.tensor([IDS])).logits[0].detach().numpy()
        assert (logits == ours).all()


def load_hf_model_without_tokenizer(folder: Path) -> PreTrainedModel:
    from modelpress_plugins.hf.open import load_causal_lm

    return load_causal_lm(Artifact(folder, "hf-model", "content:x"), "cpu")


def test_what_was_opened_is_a_float_model_that_can_be_saved(
    models: Callable[[str], Path], loader: Any, tmp_path: Path
) -> None:
    out = press(models("phi3"), tmp_path / "out", lm_head=True)
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    model.save_pretrained(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    ids = torch.tensor([IDS])
    assert torch.equal(model(ids).logits, again(ids).logits)
    assert "quantization_config" not in (tmp_path / "saved" / "config.json").read_text()


def test_a_pipeline_opens_it_with_its_tokenizer(
    models: Callable[[str], Path], loader: Any, tmp_path: Path
) -> None:
    out = press(models("phi3"), tmp_path / "out")
    said = pipeline("text-generation", model=str(out))("the tone", max_new_tokens=3)
    assert said[0]["generated_text"].startswith("the tone")


def test_a_folder_that_olive_wrote_is_read_alike(
    models: Callable[[str], Path], loader: Any, tmp_path: Path
) -> None:
    import json

    out = press(models("llama"), tmp_path / "out", symmetric=False)
    config = json.loads((out / "config.json").read_text())
    del config["transformers_weights"]
    for key in ("algorithm", "fused", "tied"):
        del config["quantization_config"][key]
    (out / "config.json").write_text(json.dumps(config))
    model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    with QuantizedCheckpoint(out) as checkpoint:
        assert torch.equal(model.lm_head.weight, checkpoint.read("lm_head.weight").float())
        name = "model.layers.1.mlp.up_proj.weight"
        assert torch.equal(model.get_parameter(name), checkpoint.read(name))


def test_without_the_loader_transformers_fails_and_says_what_to_import(
    models: Callable[[str], Path], tmp_path: Path
) -> None:
    out = press(models("llama"), tmp_path / "out")
    open_it = f"import transformers; transformers.AutoModelForCausalLM.from_pretrained({str(out)!r})"
    plain = subprocess.run([sys.executable, "-c", open_it], capture_output=True, text=True, check=False)
    assert plain.returncode != 0
    assert "import modelpress_plugins.hf.transformers" in plain.stderr.splitlines()[-1]
    read = f"import modelpress_plugins.hf.transformers; {open_it}"
    subprocess.run([sys.executable, "-c", read], capture_output=True, check=True)


def test_modelpress_opens_it_without_the_loader(models: Callable[[str], Path], tmp_path: Path) -> None:
    out = press(models("phi3"), tmp_path / "out")
    assert load_hf_model(Artifact(out, "hf-model", "content:x"), "cpu").logits(IDS).shape[0] == len(IDS)


def test_a_checkpoint_that_is_not_whole_is_refused(
    models: Callable[[str], Path], loader: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    out = shutil.copytree(press(models("llama"), tmp_path / "out"), tmp_path / "cut")
    tensors = load_file(out / "model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.scales"]
    save_file(tensors, out / "model.safetensors")
    with pytest.raises(RuntimeError):
        AutoModelForCausalLM.from_pretrained(out)
