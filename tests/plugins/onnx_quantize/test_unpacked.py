"""MatMulNBits as DequantizeLinear and MatMul: the same numbers, bit for bit, in standard operators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

Small = Callable[..., onnx.ModelProto]


@pytest.fixture
def blocks(small: Small, save: Any, press: Any, tmp_path: Path) -> Callable[..., Path]:
    """A graph of MatMulNBits at opset 21, its tables in float."""

    def make(opset: int = 21, **options: Any) -> Path:
        file = save(small(opset=opset), tmp_path / f"in{opset}")
        made = press("OnnxBlockWiseRtnQuantization", file, nodes_to_exclude=["gather"], **options)
        return Path(made.folder / "model.onnx")

    return make


@pytest.mark.parametrize("options", [
    {}, {"use_transpose_op": True}, {"use_int4": True}, {"use_signed_int": True, "add_zero_point": True},
])  # fmt: skip
@pytest.mark.parametrize("given", [
    {"block_size": 32}, {"block_size": 32, "is_symmetric": False}, {"block_size": 128},
    {"bits": 8, "block_size": 16},
])  # fmt: skip
def test_it_computes_what_the_blocks_do(
    blocks: Any, press: Any, outputs_of: Any, given: dict[str, Any], options: dict[str, Any]
) -> None:
    file = blocks(**given)
    made = press("MatMulNBitsToQDQ", file, **options).model
    kinds = {node.op_type for node in made.graph.node}
    assert "MatMulNBits" not in kinds
    assert "DequantizeLinear" in kinds
    onnx.checker.check_model(made)
    np.testing.assert_allclose(outputs_of(made), outputs_of(onnx.load(file)), rtol=1e-4, atol=1e-3)


def test_signed_symmetric_codes_need_no_zero_points(blocks: Any, press: Any) -> None:
    made = press("MatMulNBitsToQDQ", blocks(), use_int4=True).model
    assert {len(n.input) for n in made.graph.node if n.op_type == "DequantizeLinear"} == {2}
    types = {t.data_type for t in made.graph.initializer if t.name.endswith(".qweight")}
    assert types == {onnx.TensorProto.INT4}


def test_nodes_keep_their_name_in_the_new_ones(blocks: Any, press: Any) -> None:
    made = press("MatMulNBitsToQDQ", blocks(), nodes_to_exclude=["/layer/v/MatMul_Q4"]).model
    names = {node.name for node in made.graph.node}
    assert {"/layer/q/DequantizeLinear", "/layer/q/MatMul", "/layer/v/MatMul_Q4"} <= names


def test_an_older_opset_is_converted_and_that_is_told(blocks: Any, press: Any, outputs_of: Any) -> None:
    file = blocks(opset=19)
    made = press("MatMulNBitsToQDQ", file)
    assert {o.version for o in made.model.opset_import if o.domain == ""} == {21}
    assert "from opset 19 to 21" in made.notes
    np.testing.assert_allclose(outputs_of(made.model), outputs_of(onnx.load(file)), rtol=1e-4, atol=1e-3)
