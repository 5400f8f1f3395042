"""The two ends of a language model: one weight for both, in float and quantized, and what is no such "
"model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.plugins.graph_surgeries.table import graph, operate, run, same

from modelpress.api import UserError

RNG = np.random.default_rng(0)
ROWS, WIDTH, BLOCK = 48, 64, 32
E = RNG.standard_normal((ROWS, WIDTH)).astype(np.float32)
IDS = {"input_ids": np.array([[3, 7, 0, 47]], np.int64)}
_HEADER = "m (int64[b, s] input_ids) => (float[b, s, 48] logits) { "


def _float(head: np.ndarray, behind: str = "logits = MatMul (h, head)") -> onnx.ModelProto:
    return graph(
        f"{_HEADER} e = Gather (embed, input_ids)  h = Tanh (e)  {behind} }}", {"embed": E, "head": head}
    )


@pytest.mark.parametrize(
    "behind",
    [
        "logits = MatMul (h, head)",
        "p = MatMul (h, head)  d = Div (p, ten)  t = Tanh (d)  logits = Mul (t, ten)",
    ],
    ids=["plain", "capped"],
)
def test_equal_float_weights_become_one(tmp_path: Path, behind: str) -> None:
    source = _float(E.T.copy(), behind)
    source.graph.initializer.append(onnx.numpy_helper.from_array(np.array(10, np.float32), "ten"))
    result = operate(source, tmp_path, "TieWordEmbeddings")
    assert result.changed == 1
    assert "Gemm" in result.kinds
    assert "MatMul" not in result.kinds
    assert [name for name, dims in result.weights.items() if len(dims) == 2] == ["embed"]
    same(source, result, IDS)


def test_weights_that_differ_in_one_number_are_not_tied(tmp_path: Path) -> None:
    head = E.T.copy()
    head[-1, -1] += 1e-6
    result = operate(_float(head), tmp_path, "TieWordEmbeddings")
    assert result.changed == 0
    assert "differ" in result.told[0]


def test_large_weights_are_compared_by_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpress_plugins.graph_surgeries.weights._BLOCK", 2048)
    assert operate(_float(E.T.copy()), tmp_path, "TieWordEmbeddings").changed == 1


def _packed(
    weight: np.ndarray, bits: int, zero: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Codes (rows, bytes), scales and zero points of a weight rounded to nearest in blocks."""
    blocks = weight.reshape(ROWS, -1, BLOCK)
    half = 2 ** (bits - 1)
    scales = (np.abs(blocks).max(axis=2) / (half - 1)).astype(np.float32)
    centre = half if zero is None else zero
    codes = np.clip(np.rint(blocks / scales[:, :, None]) + centre, 0, 2 * half - 1).astype(np.uint8)
    codes = codes.reshape(ROWS, -1)
    blocks_a_row = WIDTH // BLOCK
    if bits == 4:
        codes = codes[:, ::2] | codes[:, 1::2] << 4
    zeros = None
    if zero is not None:
        per_byte = 8 // bits
        byte = sum(zero << (bits * i) for i in range(per_byte))
        zeros = np.full((ROWS, -(-blocks_a_row // per_byte)), byte, np.uint8)
    return codes, scales, zeros


def _quantized(
    bits: int, zero: int | None, head: np.ndarray = E, *, flat_scales: bool = False
) -> onnx.ModelProto:
    ours, theirs = _packed(E, bits, zero), _packed(head, bits, zero)
    weights = {
        "q": ours[0], "s": ours[1], "hq": theirs[0].reshape(ROWS, WIDTH // BLOCK, -1),
        "hs": theirs[1].ravel() if flat_scales else theirs[1],
    }  # fmt: skip
    if ours[2] is not None and theirs[2] is not None:
        weights |= {"z": ours[2], "hz": theirs[2]}
    last, head_last = (", z", ", hz") if zero is not None else ("", "")
    return graph(
        f"{_HEADER} e = com.microsoft.GatherBlockQuantized <bits = {bits}, block_size = {BLOCK}, "
        f"gather_axis = 0, quantize_axis = 1> (q, input_ids, s{last})  "
        f"h = Tanh (e)  logits = com.microsoft.MatMulNBits <K = {WIDTH}, N = {ROWS}, bits = {bits}, "
        f"block_size = {BLOCK}> (h, hq, hs{head_last}) }}",
        weights,
    )


@pytest.mark.parametrize(("bits", "zero"), [(4, None), (4, 8), (8, 128)])
@pytest.mark.parametrize("flat_scales", [False, True])
def test_equal_quantized_weights_become_one(
    tmp_path: Path, bits: int, zero: int | None, flat_scales: bool
) -> None:
    source = _quantized(bits, zero, flat_scales=flat_scales)
    result = operate(source, tmp_path, "TieWordEmbeddings")
    assert result.changed == 1
    assert {"q", "s"} <= set(result.weights)
    assert not {"hq", "hs", "hz"} & set(result.weights)
    same(source, result, IDS)
    again = operate(result.model, tmp_path, "TieWordEmbeddings")
    assert again.changed == 0
    assert "already" in again.told[0]


def test_quantized_weights_that_differ_are_not_tied(tmp_path: Path) -> None:
    result = operate(_quantized(4, 8, E[::-1].copy()), tmp_path, "TieWordEmbeddings")
    assert result.changed == 0
    assert "differ" in result.told[0]


def _float_lookup(head: np.ndarray = E, zero: int | None = 8) -> onnx.ModelProto:
    """As an int4 build has it that leaves the embedding in float."""
    codes, scales, zeros = _packed(head, 4, zero)
    weights = {"embed": E, "hq": codes.reshape(ROWS, WIDTH // BLOCK, -1), "hs": scales}
    weights |= {"hz": zeros} if zeros is not None else {}
    last = ", hz" if zeros is not None else ""
    return graph(
        f"{_HEADER} e = Gather (embed, input_ids)  h = Tanh (e)  "
        f"logits = com.microsoft.MatMulNBits <K = {WIDTH}, N = {ROWS}, bits = 4, block_size = {BLOCK}> "
        f"(h, hq, hs{last}) }}",
        weights,
    )


def test_one_in_float_and_one_quantized_are_not_tied(tmp_path: Path) -> None:
    result = operate(_float_lookup(), tmp_path, "TieWordEmbeddings")
    assert result.changed == 0
    assert "one is quantized" in result.told[0]


def test_an_embedding_is_looked_up_in_8_bits(tmp_path: Path) -> None:
    source = _float(E.T.copy())
    result = operate(source, tmp_path, "QuantizeEmbeddingInt8")
    assert result.changed == 1
    assert result.kinds[0] == "GatherBlockQuantized"
    assert result.weights["embed_Q8"] == (ROWS, WIDTH)
    assert "embed" not in result.weights
    difference = np.abs(run(source, IDS)["logits"] - run(result.model, IDS)["logits"])
    assert 0 < difference.max() < np.abs(E).max() / 127 * 8 * np.sqrt(WIDTH)


def test_rows_of_zeros_stay_zeros(tmp_path: Path) -> None:
    weight = E.copy()
    weight[3] = 0
    source = graph(
        f"{_HEADER} e = Gather (embed, input_ids)  logits = MatMul (e, head) }}",
        {"embed": weight, "head": E.T.copy()},
    )
    result = operate(source, tmp_path, "QuantizeEmbeddingInt8")
    assert not run(result.model, IDS)["logits"][0, 0].any()


@pytest.mark.parametrize("zero", [None, 8])
def test_the_output_layer_reads_the_embedding_in_8_bits(tmp_path: Path, zero: int | None) -> None:
    source = _float_lookup(zero=zero)
    one = operate(source, tmp_path, "QuantizeEmbeddingInt8")
    two = operate(one.model, tmp_path, "ShareEmbeddingLmHead")
    assert two.changed == 1
    assert not {"hq", "hs", "hz"} & set(two.weights)
    exact = run(_float(E.T.copy()), IDS)["logits"]
    rounded, shared = (np.abs(run(m, IDS)["logits"] - exact).max() for m in (source, two.model))
    assert shared < rounded, "8 bits are nearer than 4"
    assert operate(two.model, tmp_path, "ShareEmbeddingLmHead").changed == 0


def test_an_output_layer_of_its_own_is_not_replaced(tmp_path: Path) -> None:
    one = operate(
        _float_lookup(RNG.standard_normal(E.shape).astype(np.float32)), tmp_path, "QuantizeEmbeddingInt8"
    )
    with pytest.raises(UserError, match="no rounding of the embedding"):
        operate(one.model, tmp_path, "ShareEmbeddingLmHead")


def test_a_model_without_ids_is_left_and_that_is_told(tmp_path: Path) -> None:
    source = graph("m (float[4] x) => (float[4] y) { y = Neg (x) }")
    for surgeon in ("TieWordEmbeddings", "QuantizeEmbeddingInt8", "ShareEmbeddingLmHead"):
        result = operate(source, tmp_path, surgeon)
        assert result.changed == 0
        assert "finds no" in result.told[0]


def _with_codes_of_four_bits(signed: bool, head: np.ndarray = E) -> onnx.ModelProto:
    """As onnxruntime's quantizers write an embedding: codes of less than a byte."""
    zero = None if signed else 8
    ours, theirs = _packed(E, 4, zero), _packed(head, 4, zero)
    packed = ours[0] ^ 0x88 if signed else ours[0]
    kind = onnx.TensorProto.INT4 if signed else onnx.TensorProto.UINT4
    weights = {"s": ours[1], "hq": theirs[0].reshape(ROWS, WIDTH // BLOCK, -1), "hs": theirs[1]}
    last = ("", "") if signed else (", z", ", hz")
    if theirs[2] is not None:
        weights["hz"] = theirs[2]
    source = graph(
        f"{_HEADER} e = com.microsoft.GatherBlockQuantized <block_size = {BLOCK}, gather_axis = 0, "
        f"quantize_axis = 1> (q, input_ids, s{last[0]})  h = Tanh (e)  logits = com.microsoft.MatMulNBits "
        f"<K = {WIDTH}, N = {ROWS}, bits = 4, block_size = {BLOCK}> (h, hq, hs{last[1]}) }}",
        weights,
    )
    codes = {"q": (packed, [ROWS, WIDTH])}
    if not signed:
        assert ours[2] is not None
        codes["z"] = (ours[2], [ROWS, WIDTH // BLOCK])
    for name, (array, dims) in codes.items():
        source.graph.initializer.append(
            onnx.TensorProto(name=name, dims=dims, data_type=kind, raw_data=array.tobytes())
        )
    return source


@pytest.mark.parametrize("signed", [True, False])
def test_codes_of_less_than_a_byte_are_tied_to_whole_bytes(tmp_path: Path, signed: bool) -> None:
    source = _with_codes_of_four_bits(signed)
    result = operate(source, tmp_path, "TieWordEmbeddings")
    assert result.changed == 1
    assert not {"q", "z", "hs"} & set(result.weights)
    same(source, result, IDS)
    assert operate(result.model, tmp_path, "TieWordEmbeddings").told == [
        "Embedding and output layer read the same weight already."
    ]


def test_codes_of_less_than_a_byte_that_differ_are_not_tied(tmp_path: Path) -> None:
    result = operate(_with_codes_of_four_bits(True, E[::-1].copy()), tmp_path, "TieWordEmbeddings")
    assert result.changed == 0


@pytest.mark.parametrize("surgeon", ["TieWordEmbeddings", "QuantizeEmbeddingInt8"])
def test_a_weight_that_the_builder_shares_already_stays(tmp_path: Path, surgeon: str) -> None:
    source = graph(
        f"{_HEADER} t = Transpose <perm = [1, 0]> (head)  e = Gather (t, input_ids)  h = Tanh (e)  "
        "logits = MatMul (h, head) }",
        {"head": E.T.copy()},
    )
    result = operate(source, tmp_path, surgeon)
    assert result.changed == 0
    assert "already" in result.told[0]
