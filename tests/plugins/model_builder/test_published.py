"""Models as their makers publish them, in fp8 and mxfp4: built, and compared with the float model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from modelpress.testing import make_tiny_model

ROOT = Path(__file__).parents[3]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "campaigns"))
    import published

    return published


def _gpt_oss(published: ModuleType, folder: Path) -> Path:
    sizes = {"intermediate_size": 64, "head_dim": 32, "sliding_window": 32}
    made = make_tiny_model(folder, architecture="gpt_oss", dtype="bfloat16", spread=0.15, **sizes)
    return Path(published.as_mxfp4(made))


@pytest.mark.parametrize("precision", ["int4", "int8", "fp32"])
def test_the_experts_of_gpt_oss_come_from_mxfp4(
    published: ModuleType, tmp_path: Path, built: Callable[..., Any], context: Any, precision: str
) -> None:
    built(_gpt_oss(published, tmp_path / "model"), precision=precision)
    assert context.reports["logits_error"] < (0.01 if precision == "fp32" else 0.1)
    if precision == "int8":
        assert context.reports["rounding_error"] < 0.2  # with experts of 4 bits 0.5
    assert any("The checkpoint is in mxfp4" in note for note in context.notes)


def test_fp8_is_built_as_the_float_model_that_it_stands_for(
    published: ModuleType, tmp_path: Path, built: Callable[..., Any], context: Any
) -> None:
    folder = make_tiny_model(
        tmp_path / "model", architecture="qwen3", dtype="bfloat16", spread=0.15, head_dim=16
    )
    built(published.as_fp8(folder), precision="int4")
    assert context.reports["logits_error"] < 0.1
    assert any("The checkpoint is in fp8" in note for note in context.notes)
