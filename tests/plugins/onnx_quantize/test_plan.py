"""What is told before a graph is quantized."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from modelpress.api import DataFacts, Meta, ModelFacts
from modelpress_plugins.onnx_quantize import config, plan
from modelpress_plugins.onnx_quantize.settings import bnb4_settings

Small = Callable[..., onnx.ModelProto]


@pytest.fixture
def facts(small: Small, save: Any, tmp_path: Path) -> ModelFacts:
    file = save(small(), tmp_path / "in")
    return ModelFacts("onnx", path=file.parent, size=sum(p.stat().st_size for p in file.parent.iterdir()))


def test_levels_have_to_be_named_or_known(facts: ModelFacts, told: Any) -> None:
    plan.plan_bnb4(facts, config.OnnxBnb4QuantizationConfig(), told)
    assert "Nothing says whether FP4 or NF4" in told.text
    known = Meta(extra={"model_attributes": {"quantization_config": {"bnb_4bit_quant_type": "nf4"}}})
    assert bnb4_settings(config.OnnxBnb4QuantizationConfig(), known).precision == "nf4"


def test_a_graph_without_the_operators_is_told(facts: ModelFacts, told: Any) -> None:
    plan.plan_unpack(facts, config.MatMulNBitsToQDQConfig(), told)
    assert told.notes == ["model.onnx holds no MatMulNBits: nothing will change."]
    plan.plan_unpack(facts, config.MatMulNBitsToQDQConfig(require_change=True), told)
    assert "require_change" in told.text


def test_static_quantization_needs_data(facts: ModelFacts, told: Any) -> None:
    plan.plan_static(facts, config.OnnxStaticQuantizationConfig(), told)
    assert "data_config: Static quantization needs data" in told.text


def test_columns_that_do_not_match_are_told(
    facts: ModelFacts, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(told), "data", lambda self, role: DataFacts(columns=("text",)))
    plan.plan_static(facts, config.OnnxStaticQuantizationConfig(data_config="d"), told)
    assert "have the columns text; model.onnx also takes ids" in told.text


def test_dynamic_quantization_has_bytes_alone(facts: ModelFacts, told: Any) -> None:
    plan.plan_either(facts, config.OnnxQuantizationConfig(quant_mode="dynamic", precision="int16"), told)
    assert "int8 and uint8 weights, not int16" in told.text


def test_a_smaller_result_is_planned(facts: ModelFacts, told: Any) -> None:
    made = plan.plan_nearest(facts, config.OnnxBlockWiseRtnQuantizationConfig(), told)
    assert made.size < facts.size / 4
    assert made.path is None
