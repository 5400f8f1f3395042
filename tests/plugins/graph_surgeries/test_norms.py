"""Other spellings of a norm give the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.plugins.graph_surgeries.table import graph, operate, same

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 5, 16)).astype(np.float32)
SKIP = RNG.standard_normal((2, 5, 16)).astype(np.float32)
W = RNG.standard_normal(16).astype(np.float32)
TWO, HALF, LAST = np.array(2, np.float32), np.array(0.5, np.float32), np.array([-1], np.int64)


@pytest.mark.parametrize("product", ["Mul (r, a)", "Mul (a, r)"])
def test_a_product_with_a_reciprocal_becomes_a_quotient(tmp_path: Path, product: str) -> None:
    source = graph(
        f"m (float[2, 5, 16] x, float[2, 5, 16] a) => (float[2, 5, 16] y) {{ r = Reciprocal (x)  "
        f"y = {product} }}"
    )
    result = operate(source, tmp_path, "ReciprocalMulToDiv")
    assert (result.changed, result.kinds) == (1, ["Div"])
    same(source, result, {"x": X, "a": SKIP})


def test_a_reciprocal_that_others_read_stays_for_them(tmp_path: Path) -> None:
    source = graph(
        "m (float[n] x, float[n] a) => (float[n] y, float[n] r) { r = Reciprocal (x)  y = Mul (r, a) }"
    )
    result = operate(source, tmp_path, "ReciprocalMulToDiv")
    assert sorted(result.kinds) == ["Div", "Reciprocal"]
    same(source, result, {"x": X.ravel(), "a": SKIP.ravel()})


def _rms(weight: np.ndarray, skip: bool) -> object:
    if skip:
        return graph(
            "m (float[2, 5, 16] x, float[2, 5, 16] s) => (float[2, 5, 16] y, float[2, 5, 16] sum) "
            "{ y, , , sum = com.microsoft.SkipSimplifiedLayerNormalization <epsilon = 1e-12> (x, s, w) }",
            {"w": weight},
        )
    return graph(
        "m (float[2, 5, 16] x) => (float[2, 5, 16] y, float[2, 5, 16] z) "
        "{ y = SimplifiedLayerNormalization <epsilon = 1e-12, axis = -1> (x, w)  "
        "z = SimplifiedLayerNormalization <epsilon = 1e-12, axis = -1> (y, w) }",
        {"w": weight},
    )


@pytest.mark.parametrize("weight", [W, np.ones(16, np.float32)], ids=["weights", "ones"])
def test_rms_norms_become_l2_norms_with_a_larger_weight(tmp_path: Path, weight: np.ndarray) -> None:
    source = _rms(weight, skip=False)
    result = operate(source, tmp_path, "SimplifiedLayerNormToL2Norm")
    assert (result.changed, result.kinds) == (2, ["LpNormalization", "Mul"] * 2)
    same(source, result, {"x": X}, 1e-4)
    shape = (1,) if np.all(weight == 1) else (16,)
    assert list(result.weights.values()) == [shape], "one weight serves both"


def test_a_norm_with_a_skip_gets_an_add_whose_sum_can_be_read(tmp_path: Path) -> None:
    source = _rms(W, skip=True)
    result = operate(source, tmp_path, "SimplifiedLayerNormToL2Norm")
    assert (result.changed, result.kinds) == (1, ["Add", "LpNormalization", "Mul"])
    same(source, result, {"x": X, "s": SKIP}, 1e-4)


def test_a_norm_whose_weight_is_computed_stays(tmp_path: Path) -> None:
    source = graph(
        "m (float[n, 16] x, float[16] w) => (float[n, 16] y) "
        "{ y = SimplifiedLayerNormalization <axis = -1> (x, w) }"
    )
    result = operate(source, tmp_path, "SimplifiedLayerNormToL2Norm")
    assert result.changed == 0
    assert "computed" in result.told[0]


def _l2(opset: int, keepdims: int = 1) -> object:
    total = (
        f"t = ReduceSum <keepdims = {keepdims}> (q, last)"
        if opset >= 13
        else f"t = ReduceSum <axes = [-1], keepdims = {keepdims}> (q)"
    )
    weights = {"two": TWO, "half": HALF} | ({"last": LAST} if opset >= 13 else {})
    return graph(
        f"m (float[2, 5, 16] x) => (float[2, 5, 16] y) {{ q = Pow (x, two)  {total}  n = Pow (t, half)  "
        f"y = Div (x, n) }}",
        weights,
        opset,
    )


@pytest.mark.parametrize("opset", [12, 21])
def test_a_norm_written_out_becomes_one_node(tmp_path: Path, opset: int) -> None:
    source = _l2(opset)
    result = operate(source, tmp_path, "PowReduceSumPowDiv2LpNorm")
    assert (result.changed, result.kinds) == (1, ["LpNormalization"])
    same(source, result, {"x": X})


def test_a_sum_over_all_is_no_norm_of_one_axis(tmp_path: Path) -> None:
    source = graph(
        "m (float[2, 16] x) => (float[2, 16] y) { q = Pow (x, two)  t = ReduceSum (q)  "
        "n = Pow (t, half)  y = Div (x, n) }",
        {"two": TWO, "half": HALF},
    )
    result = operate(source, tmp_path, "PowReduceSumPowDiv2LpNorm")
    assert result.changed == 0
    assert "one axis" in result.told[0]
    same(source, result, {"x": X[0, :2]})
