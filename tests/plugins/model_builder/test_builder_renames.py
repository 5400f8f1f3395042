"""Options of the builder that are options of the pass, and those that mean nothing for what is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelpress.cli.planning import plan_file
from modelpress.engine.plan import PlanDraft
from modelpress.registry import Registry


def planned(folder: Path, model: Path, providers: list[str] | None = None, **options: Any) -> PlanDraft:
    document: dict[str, Any] = {
        "input_model": {"type": "HfModel", "model_path": str(model)},
        "passes": {"b": {"type": "ModelBuilder", "precision": "int4", **options}},
    }
    if providers:
        document["execution_providers"] = providers
    path = folder / "w.json"
    path.write_text(json.dumps(document))
    return plan_file(path, Registry.load(), offline=True, cache_dir=folder / "cache")


def options_of(plan: PlanDraft) -> dict[str, Any]:
    assert not [problem for problem in plan.problems if problem.kind == "input"]
    return dict(plan.workflow.native["passes"]["b"])


def test_extra_options_that_are_options_of_the_pass_are_lifted(tmp_path: Path, model_folder: Path) -> None:
    extra = {"int4_accuracy_level": 0, "exclude_lm_head": "0", "is_symmetric": 1, "filename": "text.onnx"}
    options = options_of(planned(tmp_path, model_folder, extra_options=extra))
    assert options["accuracy_level"] == 0
    assert options["exclude_lm_head"] is False
    assert options["is_symmetric"] is True
    assert options["extra_options"] == {"filename": "text.onnx"}


def test_an_option_given_at_both_places_is_a_problem(tmp_path: Path, model_folder: Path) -> None:
    plan = planned(tmp_path, model_folder, block_size=32, extra_options={"int4_block_size": 64})
    assert "the same option" in next(iter(plan.problems)).message


def test_cuda_graphs_and_gemm_have_no_effect_where_there_are_none(tmp_path: Path, model_folder: Path) -> None:
    plan = planned(tmp_path, model_folder, enable_cuda_graph=True, op_types_to_quantize=["MatMul", "Gemm"])
    options_of(plan)
    assert any("enable_cuda_graph has no effect" in note for note in plan.notes)


def test_tensorrt_rtx_captures_cuda_graphs_always(tmp_path: Path, model_folder: Path) -> None:
    providers = ["NvTensorRTRTXExecutionProvider"]
    plan = planned(tmp_path, model_folder, providers, enable_cuda_graph=True)
    options_of(plan)
    assert not any("enable_cuda_graph" in note for note in plan.notes)
    plan = planned(tmp_path, model_folder, providers, enable_cuda_graph=False)
    assert any("enable_cuda_graph has no effect" in note for note in plan.notes)
