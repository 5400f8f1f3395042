"""The float model that a checkpoint in fp8 or mxfp4 stands for: bit for bit what transformers computes."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, FineGrainedFP8Config, Mxfp4Config

from modelpress.api import Artifact, UserError
from modelpress.testing import make_tiny_model
from modelpress_plugins.hf.config import read_config
from modelpress_plugins.hf.float_form import write_float_form
from modelpress_plugins.hf.float_methods import has_float_form

ROOT = Path(__file__).parents[3]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "campaigns"))
    import published

    return published


def _float(folder: Path, out: Path) -> dict[str, torch.Tensor]:
    write_float_form(Artifact(folder, "hf-model", ""), out)
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize(("architecture", "made"), [("qwen3", "as_fp8"), ("gpt_oss", "as_mxfp4")])
def test_it_is_what_transformers_dequantizes(
    published: ModuleType, tmp_path: Path, architecture: str, made: str
) -> None:
    folder = make_tiny_model(
        tmp_path / "model", architecture=architecture, dtype="bfloat16", spread=0.2, intermediate_size=64
    )
    getattr(published, made)(folder)
    found = _float(folder, tmp_path / "float")
    asked = {"as_fp8": FineGrainedFP8Config, "as_mxfp4": Mxfp4Config}[made](dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=asked, dtype=torch.bfloat16)
    expected = model.state_dict()
    assert set(found) <= set(expected)
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name
    assert not read_config(tmp_path / "float").quantization
    assert (tmp_path / "float" / "tokenizer.json").is_file()


def test_last_blocks_may_be_cut(tmp_path: Path) -> None:
    """As in DeepSeek, whose 576 rows are no multiple of 128."""
    codes = torch.arange(-30, 30).reshape(6, 10).to(torch.float8_e4m3fn)
    scales = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    folder = _folder(tmp_path, {"a.weight": codes, "a.weight_scale_inv": scales}, [4, 4])
    expected = codes.float() * scales.repeat_interleave(4, 0)[:6].repeat_interleave(4, 1)[:, :10]
    assert torch.equal(_float(folder, tmp_path / "out")["a.weight"].float(), expected)


def test_a_whole_tensor_may_have_one_scale(tmp_path: Path) -> None:
    """As in Ministral, which keeps scales of activations besides."""
    codes = torch.arange(-8, 8).reshape(2, 8).to(torch.float8_e4m3fn)
    more = {"a.weight_scale_inv": torch.tensor(0.5), "a.activation_scale": torch.tensor(3.0)}
    folder = _folder(tmp_path, {"a.weight": codes, **more}, None)
    found = _float(folder, tmp_path / "out")
    assert set(found) == {"a.weight"}
    assert torch.equal(found["a.weight"].float(), codes.float() / 2)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"a.weight": torch.ones(2, 8).to(torch.float8_e4m3fn)}, "F8_E4M3 without a scale"),
        (
            {"a.weight": torch.ones(2, 8).to(torch.float8_e4m3fn), "a.weight_scale_inv": torch.ones(3, 3)},
            r"shape \[3, 3\]; for blocks of 4 x 4 .* end with \[1, 2\]",
        ),
    ],
)
def test_another_layout_is_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], said: str) -> None:
    with pytest.raises(UserError, match=said):
        _float(_folder(tmp_path, tensors, [4, 4]), tmp_path / "out")


def _folder(place: Path, tensors: dict[str, torch.Tensor], block: list[int] | None) -> Path:
    folder = place / "model"
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    section = {"quant_method": "fp8", "weight_block_size": block}
    document = {"model_type": "llama", "torch_dtype": "bfloat16", "quantization_config": section}
    (folder / "config.json").write_text(json.dumps(document))
    assert has_float_form(read_config(folder))
    return folder
