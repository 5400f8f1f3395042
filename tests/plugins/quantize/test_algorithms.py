"""An algorithm of `quantize` is its module and a row: all else comes from the row."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from modelpress.api import ModelFacts
from modelpress.config.load import load_workflow
from modelpress.registry import Registry
from modelpress.testing import RecordingPlan, input_artifact, make_tiny_model, pass_context
from modelpress_plugins import quantize
from modelpress_plugins.grids.grid import Codes, Grid
from modelpress_plugins.grids.nearest import round_to_nearest
from modelpress_plugins.hf.quantized import QuantizedCheckpoint
from modelpress_plugins.quantize import config
from modelpress_plugins.quantize.algorithms import table
from modelpress_plugins.quantize.algorithms.code import code_of
from modelpress_plugins.quantize.algorithms.table import Option, Row
from modelpress_plugins.quantize.inputs import InputStatistics
from modelpress_plugins.quantize.layer import LayerView

MODULE = "toy_algorithms"


def towards_zero(weight: Tensor, grid: Grid, *, share: float) -> Codes:
    return round_to_nearest(weight * share, grid)


class Calibrated:
    prepares: ClassVar[bool] = False

    def __init__(self, share: float) -> None:
        self.share = share

    def prepare(self, layer: LayerView) -> dict[str, Tensor]:
        return {}

    def quantize(self, weight: Tensor, grid: Grid, inputs: InputStatistics) -> Codes:
        return towards_zero(weight, grid, share=self.share)


ROWS = (
    Row(
        name="Toy",
        summary="Shrink, then round.",
        code=f"{MODULE}:towards_zero",
        options=(Option("share", 0.5, "What is left of each weight.", gt=0, le=1),),
    ),
    Row(
        name="CalibratedToy",
        summary="The same, slowly.",
        code=f"{MODULE}:Calibrated",
        calibrated=True,
        options=(Option("share", 0.5, "What is left of each weight.", gt=0, le=1),),
    ),
)


@pytest.fixture(params=ROWS, ids=lambda row: row.name)
def row(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Row:
    """A row more in the table, and the module that it names."""
    module = types.ModuleType(MODULE)
    module.towards_zero, module.Calibrated = towards_zero, Calibrated  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    monkeypatch.setattr(table, "ROWS", (*table.ROWS, request.param))
    monkeypatch.setattr(quantize, "ROWS", table.ROWS)
    added: Row = request.param
    return added


def test_a_row_is_all_that_a_new_algorithm_needs(row: Row, tmp_path: Path) -> None:
    spec = next(spec for spec in quantize.modelpress_passes() if spec.name == row.name)
    assert spec.summary == row.summary
    options = getattr(config, spec.config.partition(":")[2])
    assert options.model_json_schema()["properties"]["share"]["default"] == 0.5
    with pytest.raises(ValidationError):
        options.parse({"share": 2})

    model = make_tiny_model(tmp_path / "model")
    given = {"group_size": 16, "share": 0.25, "lm_head": True}
    chosen = options.parse({**given, **({"data_config": "d"} if row.calibrated else {})})
    planning = RecordingPlan()
    plan = code_of_reference(spec.plan)
    plan(ModelFacts("hf-model", config={"hidden_size": 64}), chosen, planning)
    assert planning.problems == []
    context = pass_context(tmp_path / "job", produces="hf-model")
    context.data = lambda role: Rows()  # type: ignore[assignment, return-value]
    result = code_of_reference(spec.run)(input_artifact(model, "hf-model"), chosen, context)
    with QuantizedCheckpoint(result.path) as after, torch.no_grad():
        assert after.config.algorithm == row.key
        from safetensors.torch import load_file

        head = load_file(model / "model.safetensors")["lm_head.weight"].float()
        assert torch.equal(
            after.read("lm_head.weight"), towards_zero(head, chosen_grid(), share=0.25).dequantize()
        )


def test_every_row_names_code_that_is_there() -> None:
    for row in table.ROWS:
        assert callable(code_of(row)), row.name
        assert getattr(config, f"{row.name}Config").row is row


def test_files_for_other_quantizers_are_read(tmp_path: Path) -> None:
    dynamic = {"+:.*lm_head*": {"bits": 8, "sym": True}}
    passes = {
        "awq": {"type": "AutoAWQQuantizer", "zero_point": True, "q_group_size": 64, "version": "gemm"},
        "gptq": {
            "type": "GptqModel",
            "device": "cuda",
            "dynamic": dynamic,
        },
        "old": {"type": "GptqQuantizer", "desc_act": True, "group_size": -1},
    }
    file = tmp_path / "w.json"
    file.write_text(json.dumps({"input_model": {"type": "HfModel", "model_path": "m"}, "passes": passes}))
    workflow = load_workflow(file, Registry.load())
    assert [problem.message for problem in workflow.problems if "passes" in str(problem.where)] == []
    awq, gptq, old = (step.options for step in workflow.passes)
    assert isinstance(awq, config.CalibratedConfig)
    assert (awq.sym, awq.group_size) == (False, 64)
    assert isinstance(gptq, config.CalibratedConfig)
    assert (gptq.sym, gptq.group_size, gptq.true_sequential) == (True, -1, True)
    assert isinstance(old, config.CalibratedConfig)
    assert (old.sym, old.group_size) == (False, -1)
    assert {"device", "version", "desc_act"} <= {t.old.rpartition(".")[2] for t in workflow.translations}


class Rows:
    """A data source of random ids."""

    def samples(
        self, tokenizer: object, limit: int | None = None, seed: int | None = None
    ) -> Iterator[object]:
        from modelpress.api import Sample

        for _ in range(4):
            ids = torch.randint(3, 90, (16,), generator=torch.Generator().manual_seed(0)).tolist()
            yield Sample(ids, ids)


def chosen_grid() -> Grid:
    return Grid(4, 16, config.QuantizerConfig().sym)


def code_of_reference(reference: str):  # type: ignore[no-untyped-def]
    import importlib

    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
