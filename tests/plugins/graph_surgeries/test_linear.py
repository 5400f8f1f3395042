"""MatMul, Gemm and MatMulNBits under the knife: the same numbers, other nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.plugins.graph_surgeries.table import graph, operate, run, same

RNG = np.random.default_rng(0)
W = RNG.standard_normal((8, 6)).astype(np.float32)
B = RNG.standard_normal(6).astype(np.float32)


def x(*shape: int) -> dict[str, np.ndarray]:
    return {"x": RNG.standard_normal(shape).astype(np.float32)}


def test_matmul_and_add_on_a_matrix_become_gemm(tmp_path: Path) -> None:
    source = graph(
        "m (float[n, 8] x) => (float[n, 6] y) { p = MatMul (x, w)  y = Add (p, b) }", {"w": W, "b": B}
    )
    result = operate(source, tmp_path, "MatMulAddToGemm")
    assert (result.changed, result.kinds) == (1, ["Gemm"])
    same(source, result, x(5, 8))


def test_a_matmul_of_more_dimensions_is_reshaped_where_they_are_known(tmp_path: Path) -> None:
    source = graph(
        "m (float[2, 3, 8] x) => (float[2, 3, 6] y) { p = MatMul (x, w)  s = Add (b, p)  y = Relu (s) }",
        {"w": W, "b": B},
    )
    result = operate(source, tmp_path, "MatMulAddToGemm")
    assert (result.changed, result.kinds) == (1, ["Reshape", "Gemm", "Relu", "Reshape"])
    same(source, result, x(2, 3, 8))


@pytest.mark.parametrize(
    "text",
    [
        "m (float[n, 3, 8] x) => (float[n, 3, 6] y) { p = MatMul (x, w)  y = Add (p, b) }",  # unknown length
        "m (float[n, 8] x) => (float[n, 6] y, float[n, 6] p) { p = MatMul (x, w)  y = Add (p, b) }",
    ],
)
def test_a_matmul_that_gemm_cannot_stand_for_stays(tmp_path: Path, text: str) -> None:
    source = graph(text, {"w": W, "b": B})
    assert operate(source, tmp_path, "MatMulAddToGemm").changed == 0


def test_a_bias_that_widens_the_product_stays_an_add(tmp_path: Path) -> None:
    source = graph(
        "m (float[n, 8] x) => (float[n, 6] y) { p = MatMul (x, w)  y = Add (p, b) }", {"w": W[:, :1], "b": B}
    )
    result = operate(source, tmp_path, "MatMulAddToGemm")
    assert result.changed == 0
    same(source, result, x(5, 8))


@pytest.mark.parametrize("turned", [0, 1])
def test_gemm_becomes_matmul_and_add(tmp_path: Path, turned: int) -> None:
    weight = W.T.copy() if turned else W
    source = graph(
        f"m (float[n, 8] x) => (float[n, 6] y, float[n, 6] z) "
        f"{{ y = Gemm <transB = {turned}> (x, w, b)  z = Gemm <transB = {turned}> (x, w) }}",
        {"w": weight, "b": B},
    )
    result = operate(source, tmp_path, "GemmToMatMulAdd")
    assert (result.changed, result.kinds) == (2, ["MatMul", "Add", "MatMul"])
    same(source, result, x(5, 8))
    assert list(result.weights.values()).count((8, 6)) == 1, "the weight is turned once for both"


def test_gemm_with_a_weight_that_is_computed_gets_a_transpose(tmp_path: Path) -> None:
    source = graph("m (float[n, 8] x, float[6, 8] v) => (float[n, 6] y) { y = Gemm <transB = 1> (x, v) }")
    result = operate(source, tmp_path, "GemmToMatMulAdd")
    assert result.kinds == ["Transpose", "MatMul"]
    same(source, result, x(5, 8) | {"v": W.T.copy()})


def test_gemm_with_factors_stays_and_that_is_told(tmp_path: Path) -> None:
    source = graph(
        "m (float[n, 8] x) => (float[n, 6] y) { y = Gemm <alpha = 2.0> (x, w, b) }", {"w": W, "b": B}
    )
    result = operate(source, tmp_path, "GemmToMatMulAdd")
    assert result.changed == 0
    assert "stays" in result.told[0]


def test_gemm_there_and_back_gives_the_first_numbers(tmp_path: Path) -> None:
    source = graph("m (float[n, 8] x) => (float[n, 6] y) { y = Gemm (x, w, b) }", {"w": W, "b": B})
    there = operate(source, tmp_path, "GemmToMatMulAdd")
    back = operate(there.model, tmp_path, "MatMulAddToGemm")
    assert back.kinds == ["Gemm"]
    same(source, back, x(4, 8))


def test_a_large_weight_is_turned_by_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress_plugins.graph_surgeries.weights._BLOCK", 512)
    weight = RNG.standard_normal((96, 64)).astype(np.float32)
    source = graph("m (float[n, 64] x) => (float[n, 96] y) { y = Gemm <transB = 1> (x, w) }", {"w": weight})
    same(source, operate(source, tmp_path, "GemmToMatMulAdd"), x(3, 64))


def _n_bits(index: np.ndarray, bias: bool = False) -> object:
    weights = {
        "q": RNG.integers(0, 256, (16, 4, 16), dtype=np.uint8),
        "s": RNG.random((16, 4)).astype(np.float32),
        "g": index.astype(np.int32),
        **({"b": RNG.random(16).astype(np.float32)} if bias else {}),
    }
    last = ", b" if bias else ""
    return graph(
        "m (float[n, 128] x) => (float[n, 16] y) { y = com.microsoft.MatMulNBits <K = 128, N = 16, bits = 4, "
        f"block_size = 32> (x, q, s, , g{last}) }}",
        weights,
    )


@pytest.mark.parametrize("bias", [False, True])
def test_an_order_of_columns_that_changes_nothing_goes(tmp_path: Path, bias: bool) -> None:
    source = _n_bits(np.arange(128) // 32, bias)
    result = operate(source, tmp_path, "RemoveGidxFromMatMulNBits")
    assert (result.changed, "g" in result.weights) == (1, False)
    without = run(result.model, x(3, 128))
    assert without["y"].shape == (3, 16)
    if not bias:  # the runtime takes no g_idx beside a bias
        same(source, result, x(3, 128))


def test_an_order_of_columns_that_matters_stays(tmp_path: Path) -> None:
    result = operate(_n_bits(np.arange(128)[::-1] // 32), tmp_path, "RemoveGidxFromMatMulNBits")
    assert result.changed == 0
    assert "another order" in result.told[0]
