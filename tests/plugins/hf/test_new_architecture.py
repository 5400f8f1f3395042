"""An architecture of a known family is one row: with it, every pass takes the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from modelpress.api import UserError
from modelpress.testing import RecordingPlan, input_artifact, make_tiny_model, model_facts, pass_context
from modelpress_plugins.grids.stream import quantize_checkpoint
from modelpress_plugins.hf import families
from modelpress_plugins.hf.families import Family, Parts
from modelpress_plugins.hf.quantized import QuantizedCheckpoint
from modelpress_plugins.lora.config import LoRAConfig
from modelpress_plugins.lora.plan import plan as plan_lora
from modelpress_plugins.merge_adapter.config import MergeAdapterOptions
from modelpress_plugins.merge_adapter.run import merge_adapter
from modelpress_plugins.quantize.quarot import rotate_model

ROW = Family(
    "glm",
    parts=Parts(
        {
            **{role: f"self_attn.{role}_proj" for role in ("q", "k", "v", "o")},
            **{role: f"mlp.{role}_proj" for role in ("gate_up", "down")},
        }
    ),
    rotatable=True,
)


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The row is there for a test, and gone afterwards."""
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, ROW))
    forget()
    yield
    monkeypatch.undo()
    forget()


def forget() -> None:
    families._by_type.cache_clear()
    families._patterns.cache_clear()


@pytest.fixture(scope="module")
def glm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glm")
    return make_tiny_model(folder, architecture="glm", spread=0.15, head_dim=16, attention_bias=True)


def say(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval().float()(torch.arange(1, 17)[None]).logits[0]


def opened(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def done(done: int, total: int, unit: str) -> None:
    pass


def test_without_the_row_a_rotation_is_refused_and_a_quantizer_leaves_a_part(
    glm: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="glm cannot be rotated"):
        rotate_model(glm, tmp_path / "rotated", "hadamard", 0, done)
    quantize_checkpoint(glm, tmp_path / "rtn")
    with QuantizedCheckpoint(tmp_path / "rtn") as checkpoint:
        assert not checkpoint.config.fused


def test_quarot_rotates_it(row: None, glm: Path, tmp_path: Path) -> None:
    rotate_model(glm, tmp_path / "rotated", "hadamard", 0, done)
    torch.testing.assert_close(say(opened(tmp_path / "rotated")), say(opened(glm)), atol=1e-3, rtol=1e-3)


def test_rtn_quantizes_all_of_it(row: None, glm: Path, tmp_path: Path) -> None:
    quantize_checkpoint(glm, tmp_path / "rtn")
    with QuantizedCheckpoint(tmp_path / "rtn") as checkpoint:
        assert list(checkpoint.config.fused["model.layers.0.mlp.gate_up_proj"]) == [
            "model.layers.0.mlp.gate_proj",
            "model.layers.0.mlp.up_proj",
        ]
        kept = checkpoint.read("model.layers.1.mlp.gate_up_proj.weight")
        error = kept - opened(glm).model.layers[1].mlp.gate_up_proj.weight
        assert 0 < float(error.abs().max()) < 0.1


def test_lora_plans_for_it_and_its_adapter_is_merged(row: None, glm: Path, tmp_path: Path) -> None:
    base = input_artifact(glm, "hf-model")
    noted = RecordingPlan()
    plan_lora(model_facts(base), LoRAConfig.parse({"train_data_config": "d", "r": 4}), noted)
    assert not noted.problems
    model = get_peft_model(opened(glm), LoraConfig(r=4, target_modules=["gate_up_proj", "q_proj"]))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter.normal_(0, 0.1)
    model.save_pretrained(tmp_path / "adapter")
    adapter = input_artifact(tmp_path / "adapter", "hf-adapter", base)
    merged = merge_adapter(adapter, MergeAdapterOptions(verify="never"), pass_context(tmp_path / "job"))
    wanted = say(PeftModel.from_pretrained(opened(glm), tmp_path / "adapter"))
    torch.testing.assert_close(say(opened(merged.path)), wanted, atol=1e-3, rtol=1e-3)
