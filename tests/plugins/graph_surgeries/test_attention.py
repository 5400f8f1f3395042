"""Masks, lengths and tables of angles of attention."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.plugins.graph_surgeries.table import graph, operate, run, same

import modelpress
from modelpress.api import UserError

RNG = np.random.default_rng(0)
LOWEST = np.finfo(np.float32).min
HEADS, WIDTH, LENGTH = 2, 16, 5


def test_the_lowest_number_of_a_mask_is_replaced_wherever_it_stands(tmp_path: Path) -> None:
    source = graph(
        "m (float[2, 4] x, bool[2, 4] seen) => (float[2, 4] y) "
        "{ none = Constant <value = float {-3.4028234e38}> ()  "
        "m1 = Where (seen, zero, none)  m2 = Where (seen, zero, low)  s = Shape (x)  "
        "m3 = ConstantOfShape <value = float[1] {-3.4028234e38}> (s)  m4 = Where (seen, zero, m3)  "
        "t = Add (x, m1)  u = Add (t, m2)  v = Add (u, m4)  y = Softmax (v) }",
        {"zero": np.array(0, np.float32), "low": np.full((2, 4), LOWEST)},
    )
    result = operate(source, tmp_path, "ReplaceAttentionMaskValue", replacement=-50.0)
    assert result.changed == 3
    assert all(onnx.numpy_helper.to_array(t).min() >= -50 for t in result.model.graph.initializer)
    seen = np.array([[True, True, False, True], [True, False, False, False]])
    same(source, result, {"x": RNG.standard_normal((2, 4)).astype(np.float32), "seen": seen})


def test_a_number_that_more_than_masks_read_stays(tmp_path: Path) -> None:
    source = graph("m (float[4] x) => (float[4] y) { y = Min (x, low) }", {"low": np.full(4, LOWEST)})
    assert operate(source, tmp_path, "ReplaceAttentionMaskValue").changed == 0


def test_a_threshold_says_what_is_replaced(tmp_path: Path) -> None:
    source = graph(
        "m (float[4] x) => (float[4] y) { y = Add (x, low) }",
        {"low": np.array([0, -10, -2000, -5], np.float32)},
    )
    result = operate(source, tmp_path, "ReplaceAttentionMaskValue", threshold=-1000.0, replacement=-100.0)
    np.testing.assert_array_equal(run(result.model, {"x": np.zeros(4, np.float32)})["y"], [0, -10, -100, -5])


def _decoder(rotary: str = ", , ", before: str = "", more: str = "") -> onnx.ModelProto:
    """One layer of attention as builders write it, with its lengths computed from the mask."""
    size = HEADS * WIDTH
    return graph(
        f"m (float[b, s, {size}] q, int64[b, t] attention_mask, float[b, {HEADS}, past, {WIDTH}] pk, "
        f"float[b, {HEADS}, past, {WIDTH}] pv) "
        f"=> (float[b, s, {size}] y, float[b, {HEADS}, t, {WIDTH}] k, float[b, {HEADS}, t, {WIDTH}] v) {{"
        "one = Constant <value = int64[1] {1}> ()  place = Constant <value = int64 {1}> ()  "
        "count = ReduceSum <keepdims = 0> (attention_mask, one)  "
        "less = Sub (count, one)  past_lengths = Cast <to = 6> (less)  shape = Shape (attention_mask)  "
        "long = Gather <axis = 0> (shape, place)  total = Cast <to = 6> (long) "
        f"{before} y, k, v = com.microsoft.GroupQueryAttention <num_heads = {HEADS}, kv_num_heads = "
        f"{HEADS}, do_rotary = {int('cos' in rotary)}> "
        f"(q, q, q, pk, pv, past_lengths, total{rotary}) {more} }}",
        _tables(),
    )


def _tables() -> dict[str, np.ndarray]:
    angles = np.outer(np.arange(64), 1 / 10 ** np.arange(0, 1, 1 / (WIDTH // 2)))
    short, long = angles[:16], angles / 3
    return {
        "cos_cache_small": np.cos(short).astype(np.float32),
        "sin_cache_small": np.sin(short).astype(np.float32),
        "cos_cache_large": np.cos(long).astype(np.float32),
        "sin_cache_large": np.sin(long).astype(np.float32),
        "limit": np.array(16, np.int64),
    }


_IF = (
    "far = Greater (long, limit)  cos, sin = If (far) "
    "<then_branch = a () => (float[m, 8] c1, float[m, 8] s1) { c1 = Identity (cos_cache_large)  "
    "s1 = Identity (sin_cache_large) }, "
    "else_branch = b () => (float[m, 8] c2, float[m, 8] s2) { c2 = Identity (cos_cache_small)  "
    "s2 = Identity (sin_cache_small) }>"
)


def _feeds(length: int = LENGTH, past: int = 0) -> dict[str, np.ndarray]:
    cache = RNG.standard_normal((1, HEADS, past, WIDTH)).astype(np.float32)
    return {
        "q": RNG.standard_normal((1, length, HEADS * WIDTH)).astype(np.float32),
        "attention_mask": np.ones((1, past + length), np.int64), "pk": cache, "pv": cache + 1,
    }  # fmt: skip


@pytest.mark.parametrize("past", [0, 3])
def test_lengths_come_in_place_of_a_mask(tmp_path: Path, past: int) -> None:
    source = _decoder()
    result = operate(source, tmp_path, "AttentionMaskToSequenceLengths")
    assert (result.changed, result.kinds) == (1, ["GroupQueryAttention"])
    assert [value.name for value in result.model.graph.input][:2] == ["total_seq_len", "past_seq_len"]
    assert "attention_mask" not in [value.name for value in result.model.graph.input]
    same(source, result, _feeds(1 if past else LENGTH, past))


def test_a_mask_that_something_else_needs_is_told(tmp_path: Path) -> None:
    source = _decoder(", cos, sin", _IF)
    with pytest.raises(UserError, match="is needed by"):
        operate(source, tmp_path, "AttentionMaskToSequenceLengths")


def test_a_graph_without_such_attention_is_left_and_that_is_told(tmp_path: Path) -> None:
    result = operate(
        graph("m (float[4] x) => (float[4] y) { y = Neg (x) }"), tmp_path, "AttentionMaskToSequenceLengths"
    )
    assert result.changed == 0
    assert "GroupQueryAttention" in result.told[0]


def test_the_short_table_of_two_stays(tmp_path: Path) -> None:
    source = _decoder(", cos, sin", _IF)
    result = operate(source, tmp_path, "RemoveRopeMultiCache")
    assert result.changed == 1
    assert not {"If", "Greater"} & set(result.kinds)
    assert result.operation.longest == 16
    assert "at most 16 tokens" in result.told[0]
    same(source, result, _feeds())
    assert not {"cos_cache_large", "cos_cache_small"} & set(result.weights)


def test_the_long_table_of_two_stays_where_that_is_asked_for(tmp_path: Path) -> None:
    source = _decoder(", cos, sin", _IF)
    result = operate(source, tmp_path, "RemoveRopeMultiCache", use_large_cache=True)
    assert result.operation.longest == 0
    same(source, result, _feeds(20))


def test_both_surgeries_follow_each_other_as_in_workflows_for_npus(tmp_path: Path) -> None:
    source = _decoder(", cos, sin", _IF)
    one = operate(source, tmp_path, "RemoveRopeMultiCache")
    two = operate(one.model, tmp_path, "AttentionMaskToSequenceLengths")
    assert two.kinds == ["GroupQueryAttention"]
    same(source, two, _feeds())


def test_a_graph_with_one_table_is_left(tmp_path: Path) -> None:
    source = _decoder(", cos_cache_small, sin_cache_small")
    assert operate(source, tmp_path, "RemoveRopeMultiCache").changed == 0


_PACKED = (
    f"m (float[1, {HEADS}, s, 16] q, float[1, {HEADS}, s, 16] k, float[1, {HEADS}, s, 16] v, int32[n] "
    f"cu) => (float[1, s, {HEADS}, 16] y) "
    f"{{ y = custom.PackedAttention <scale: float = 0.25, num_heads: int = {HEADS}> (q, k, v, cu) }}"
)


def _packed_reference(q: np.ndarray, k: np.ndarray, v: np.ndarray, cu: np.ndarray) -> np.ndarray:
    """Each segment sees itself alone."""
    place = np.arange(q.shape[2])
    segment = np.searchsorted(cu, place, side="right")
    scores = q @ k.transpose(0, 1, 3, 2) * 0.25 + np.where(segment[:, None] == segment[None], 0, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray((weights / weights.sum(-1, keepdims=True)) @ v).transpose(0, 2, 1, 3)


@pytest.mark.parametrize("points", [[0, 4, 9], [0, 9], [0, 1, 2, 9]])
def test_packed_attention_becomes_a_loop_over_its_segments(tmp_path: Path, points: list[int]) -> None:
    model = onnx.parser.parse_model('<ir_version: 10, opset_import: ["" : 21, "custom" : 1]>\n' + _PACKED)
    result = operate(model, tmp_path, "PackedAttentionToLoopMHA")
    assert result.changed == 1
    assert "Loop" in result.kinds
    assert not result.model.functions
    assert {opset.domain for opset in result.model.opset_import} == {"", "com.microsoft"}
    q, k, v = (RNG.standard_normal((1, HEADS, 9, 16)).astype(np.float32) for _ in range(3))
    cu = np.array(points, np.int32)
    found = run(result.model, {"q": q, "k": k, "v": v, "cu": cu})["y"]
    np.testing.assert_allclose(found, _packed_reference(q, k, v, cu), atol=1e-5)


def test_a_graph_whose_operator_the_surgeon_takes_away_is_taken(tmp_path: Path) -> None:
    model = onnx.parser.parse_model('<ir_version: 10, opset_import: ["" : 21, "custom" : 1]>\n' + _PACKED)
    (tmp_path / "m").mkdir()
    onnx.save(model, tmp_path / "m" / "model.onnx")

    def workflow(surgeon: str) -> dict[str, object]:
        return {
            "input_model": {"type": "ONNXModel", "model_path": str(tmp_path / "m" / "model.onnx")},
            "passes": {
                "cut": {"type": "GraphSurgeries", "surgeries": [{"surgeon": surgeon}]},
                "half": {"type": "OnnxFloatToFloat16"},
            },
        }

    (problem, *_) = modelpress.validate(workflow("RemoveMemcpy"))
    assert "uses the custom operator PackedAttention of custom" in problem.message
    assert not modelpress.validate(workflow("PackedAttentionToLoopMHA"))
    out = modelpress.run(
        {**workflow("PackedAttentionToLoopMHA")}, output_dir=tmp_path / "out", in_process=True
    )
    kinds = {node.op_type for node in onnx.load(out.artifact.path / "model.onnx").graph.node}
    assert "PackedAttention" not in kinds
