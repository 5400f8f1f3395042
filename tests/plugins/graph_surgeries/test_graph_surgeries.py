"""The pass as users run it: told before any work, changed, compared, written down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from tests.plugins.graph_surgeries.table import graph, run

import modelpress
from modelpress.api import Artifact, ModelpressError
from modelpress.testing import PassContract, input_artifact

RNG = np.random.default_rng(0)
WEIGHTS = {
    "w": RNG.standard_normal((6, 8)).astype(np.float32),
    "v": RNG.standard_normal((6, 8)).astype(np.float32),
    "b": RNG.standard_normal(6).astype(np.float32),
}
WEIGHTS["v"] = WEIGHTS["w"].copy()
TEXT = (
    "m (float[n, 8] pixels) => (float[n, 6] scores, float[n, 6] more) "
    "{ scores = Gemm <transB = 1> (pixels, w, b)  more = Gemm <transB = 1> (pixels, v) }"
)
FEEDS = {"pixels": RNG.standard_normal((3, 8)).astype(np.float32)}


def save(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(graph(TEXT, WEIGHTS), folder / "model.onnx")
    return folder / "model.onnx"


def workflow(model: Path, *surgeries: Mapping[str, object], **options: object) -> dict[str, object]:
    return {
        "input_model": {"type": "ONNXModel", "model_path": str(model)},
        "passes": {"cut": {"type": "GraphSurgeries", "surgeries": list(surgeries), **options}},
        "output_dir": str(model.parent / "out"),
    }


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tmp_path / "source")


def problems(written: dict[str, object]) -> list[str]:
    return [f"{problem.message} {problem.hint}" for problem in modelpress.validate(written)]


def test_surgeries_follow_each_other_and_are_compared(model: Path) -> None:
    result = modelpress.run(
        workflow(
            model,
            {"surgeon": "gemmtomatmuladd"},
            {"surgeon": "RenameInputs", "old_names": ["pixels"], "new_names": ["x"]},
            {"surgeon": "RenameOutputs", "old_names": ["scores"], "new_names": ["logits"]},
        )
    )
    file = result.artifact.path / "model.onnx"
    before, after = run(model, FEEDS), run(file, {"x": FEEDS["pixels"]})
    np.testing.assert_allclose(after["logits"], before["scores"], rtol=1e-5)
    written = onnx.load(file)
    assert [node.op_type for node in written.graph.node] == ["MatMul", "Add", "MatMul"]
    assert len(written.graph.initializer) == 2, "equal weights are kept once"


def test_a_misspelt_surgeon_is_told_before_any_work(model: Path) -> None:
    told = problems(workflow(model, {"surgeon": "GemmToMatmulAd"}))
    assert told == ["There is no surgeon 'GemmToMatmulAd'. Did you mean 'GemmToMatMulAdd'?"]


@pytest.mark.parametrize(
    ("surgery", "told"),
    [
        ({"surgeon": "RenameInputs", "old_names": ["pixel"], "new_names": ["x"]}, "no input 'pixel'"),
        ({"surgeon": "RenameInputs", "old_names": ["pixels"], "new_names": []}, "as many new_names"),
        ({"surgeon": "ReplaceAttentionMaskValue", "replacment": -50.0}, "'replacement'"),
        ({"surgeon": "RenameOutputDims", "output_idx": 0, "dim_idx": 0}, "dim_name"),
        ({"old_names": ["pixels"]}, "surgeon"),
    ],
)
def test_what_is_wrong_with_a_surgery_is_told_before_any_work(
    model: Path, surgery: dict[str, object], told: str
) -> None:
    (found,) = problems(workflow(model, surgery))
    assert told in found


def test_no_surgery_at_all_is_told(model: Path) -> None:
    assert "nothing is to be done" in problems(workflow(model))[0]


def test_a_pass_that_changes_nothing_fails_where_a_change_is_required(model: Path) -> None:
    with pytest.raises(ModelpressError, match="came out as it went in"):
        modelpress.run(
            workflow(
                model, {"surgeon": "RemoveMemcpy"}, require_change=True, remove_duplicate_initializers=False
            )
        )


def test_the_run_says_how_many_nodes_each_surgeon_changed(model: Path) -> None:
    notes: list[str] = []
    modelpress.run(
        workflow(model, {"surgeon": "RemoveMemcpy"}, {"surgeon": "GemmToMatMulAdd"}),
        on_event=lambda event: notes.append(str(getattr(event, "message", ""))),
    )
    assert any("RemoveMemcpy 0, GemmToMatMulAdd 2" in note for note in notes)


class TestGraphSurgeries(PassContract):
    pass_name = "GraphSurgeries"
    golden = Path(__file__).with_name("golden")
    options: ClassVar[dict[str, Any]] = {"surgeries": [{"surgeon": "GemmToMatMulAdd"}]}
    bad_options: ClassVar[dict[str, Any]] = {"surgeries": [{"surgeon": 3}]}

    def make_input(self, folder: Path) -> Artifact:
        save(folder)
        return input_artifact(folder, "onnx")
