"""Weights in blocks, compared with what onnxruntime's own quantizers make of the same graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import matmul_nbits_quantizer as theirs
from onnxruntime.quantization.matmul_bnb4_quantizer import MatMulBnb4Quantizer
from onnxruntime.quantization.neural_compressor.weight_only import rtn_quantize

from modelpress_plugins.onnx_quantize import codes
from modelpress_plugins.onnx_quantize.blocks import Blocks, pack, unpack
from modelpress_plugins.onnx_quantize.choice import Choice, named, unmatched
from modelpress_plugins.onnx_quantize.embeddings import code_table
from modelpress_plugins.onnx_quantize.kernels import round_to_nearest
from modelpress_plugins.onnx_quantize.weights import Weight

Small = Callable[..., onnx.ModelProto]


def by_onnxruntime(model: onnx.ModelProto, config: Any, excluded: tuple[str, ...] = ()) -> onnx.ModelProto:
    copy = copied(model)
    quantizer = theirs.MatMulNBitsQuantizer(
        copy, 32, op_types_to_quantize=config.op_types_to_quantize, algo_config=config,
        nodes_to_exclude=list(excluded),
    )  # fmt: skip
    quantizer.process()
    made: onnx.ModelProto = quantizer.model.model
    return made


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(model.SerializeToString())


def plain(bits: int, size: int, symmetric: bool) -> Any:
    operators = ("MatMul", "Gather") if bits == 4 else ("MatMul",)
    return theirs.DefaultWeightOnlyQuantConfig(
        block_size=size, is_symmetric=symmetric, bits=bits, op_types_to_quantize=operators
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("bits", "size", "symmetric"), list(itertools.product((4, 8, 2), (16, 128), (True, False)))
)
def test_round_to_nearest_is_onnxruntimes_graph_bit_for_bit(
    small: Small, save: Any, press: Any, parts_of: Any, outputs_of: Any,
    tmp_path: Path, dtype: str, bits: int, size: int, symmetric: bool,
) -> None:  # fmt: skip
    model = small(dtype)
    excluded = () if bits == 4 else ("gather",)
    made = press(
        "OnnxBlockWiseRtnQuantization", save(model, tmp_path / "in"),
        bits=bits, block_size=size, is_symmetric=symmetric, nodes_to_exclude=excluded,
    ).model  # fmt: skip
    wanted = by_onnxruntime(model, plain(bits, size, symmetric))
    ours, others = parts_of(made), parts_of(wanted)
    del (
        ours["opsets"],
        others["opsets"],
    )  # it says 21 without converting, for tables; nothing of ours needs that
    assert ours == others
    np.testing.assert_array_equal(outputs_of(made), outputs_of(wanted))


def test_strips_give_the_bytes_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = np.random.default_rng(0).standard_normal((330, 24)).astype(np.float32)
    blocks = Blocks(4, 32, symmetric=False)
    whole = round_to_nearest(weight, blocks)
    monkeypatch.setattr(Blocks, "strip_rows", lambda self, outputs: 64)
    made = codes.code_weight(Weight(ir.tensor(weight)), blocks, round_to_nearest)
    np.testing.assert_array_equal(made["packed"], whole.packed)
    np.testing.assert_array_equal(made["scales"], whole.scales)
    np.testing.assert_array_equal(made["zeros"], whole.zeros)


def test_a_weight_that_is_used_twice_is_quantized_once(
    small: Small, save: Any, press: Any, tmp_path: Path
) -> None:
    made = press("OnnxBlockWiseRtnQuantization", save(small(), tmp_path / "in")).model
    users = [node.name for node in made.graph.node if "first_Q4" in node.input]
    assert users == ["/layer/q/MatMul_Q4", "/layer/k/MatMul_Q4"]
    assert [tensor.name for tensor in made.graph.initializer].count("first_Q4") == 1
    assert "first" not in [tensor.name for tensor in made.graph.initializer]


@pytest.mark.parametrize("name", ["OnnxKQuantQuantization", "OnnxHqqQuantization"])
def test_searched_grids_have_no_more_error_than_onnxruntimes(
    small: Small, save: Any, press: Any, tmp_path: Path, name: str
) -> None:
    model = small()
    odd = ("/layer/q/MatMul", "/layer/k/MatMul")  # onnxruntime's k_quant fails where blocks are an odd number
    made = press(name, save(model, tmp_path / "in"), block_size=32, nodes_to_exclude=odd).model
    if name == "OnnxKQuantQuantization":
        left = dict.fromkeys(odd, "fp32")
        wanted = rtn_quantize(copied(model), left, 4, 32, algorithm="k_quant").model
    else:
        config = theirs.HQQWeightOnlyQuantConfig(block_size=32, op_types_to_quantize=("MatMul",))
        wanted = by_onnxruntime(model, config, odd)
    assert operators(made) == operators(wanted)
    floats = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for weight in ("second", "third"):
        allowed = 1.0 if name == "OnnxKQuantQuantization" else 1.02  # its zero points are floats for hqq
        assert error_of(made, weight, floats[weight]) <= allowed * error_of(wanted, weight, floats[weight])


def operators(model: onnx.ModelProto) -> list[Any]:
    """Of each node: operator, name and numbers; weights are called otherwise by onnxruntime here."""
    return sorted(
        (node.op_type, node.name, sorted((a.name, a.i) for a in node.attribute)) for node in model.graph.node
    )


def error_of(model: onnx.ModelProto, weight: str, floats: np.ndarray) -> float:
    """Mean square, of a weight as MatMulNBits reads it."""
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    node = next(n for n in model.graph.node if n.op_type == "MatMulNBits" and n.input[1].startswith(weight))
    packed, scales, zeros = (held[name] for name in node.input[1:4])
    outputs, along, _ = packed.shape
    values = unpack(packed, 4).astype(np.float64)
    if zeros.dtype == np.uint8:
        zeros = unpack(zeros.reshape(outputs, -1), 4)[:, :along]
    values = (values - zeros.reshape(outputs, along, 1)) * scales.reshape(outputs, along, 1)
    return float(np.mean((values.reshape(outputs, -1)[:, : len(floats)].T - floats) ** 2))


def test_one_node_can_have_other_bits(small: Small, save: Any, press: Any, tmp_path: Path) -> None:
    own = {"/layer/o/MatMul": {"bits": 8, "group_size": 64}, "/misspelt": {"bits": 8}}
    made = press("OnnxKQuantQuantization", save(small(), tmp_path / "in"), customized_weight_config=own)
    numbers = {
        node.name: {a.name: a.i for a in node.attribute}
        for node in made.model.graph.node
        if node.op_type == "MatMulNBits"
    }
    assert numbers["/layer/o/MatMul_Q8"]["block_size"] == 64
    assert numbers["/layer/q/MatMul_Q4"]["block_size"] == 32
    assert "customized_weight_config: no node is named /misspelt" in made.notes


@pytest.mark.parametrize(("levels", "number"), [("fp4", 0), ("nf4", 1)])
def test_levels_of_bitsandbytes_are_onnxruntimes_bit_for_bit(
    small: Small, save: Any, press: Any, parts_of: Any, tmp_path: Path, levels: str, number: int
) -> None:
    model = small()
    made = press("OnnxBnb4Quantization", save(model, tmp_path / "in"), precision=levels).model
    wanted = MatMulBnb4Quantizer(model, number, 64)
    wanted.process()
    assert parts_of(made) == parts_of(wanted.model.model)


def test_modules_say_which_nodes_get_levels(small: Small, save: Any, press: Any, tmp_path: Path) -> None:
    file = save(small(), tmp_path / "in")
    made = press("OnnxBnb4Quantization", file, precision="nf4", quantized_modules=["q", "k"]).model
    names = [node.name for node in made.graph.node if node.op_type == "MatMulBnb4"]
    assert names == ["/layer/q/MatMul_Bnb4", "/layer/k/MatMul_Bnb4"]


def test_nodes_are_excluded_and_included_by_name_and_pattern(
    small: Small, save: Any, press: Any, tmp_path: Path
) -> None:
    file = save(small(), tmp_path / "in")
    made = press(
        "OnnxBlockWiseRtnQuantization", file, nodes_to_include=["/layer/*"], nodes_to_exclude=["*/v/*"]
    )
    quantized = [node.name for node in made.model.graph.node if node.op_type == "MatMulNBits"]
    assert quantized == ["/layer/q/MatMul_Q4", "/layer/o/MatMul_Q4", "/layer/k/MatMul_Q4"]
    assert not any(node.op_type == "GatherBlockQuantized" for node in made.model.graph.node)


def test_brackets_in_a_name_are_no_pattern() -> None:
    assert named("layer[0]/MatMul", ("layer[0]/*",))
    assert not named("layer0/MatMul", ("layer[0]/*",))
    assert unmatched(("a", "b*"), ("a", "c")) == ["b*"]
    assert Choice(frozenset(("MatMul",)), included=("a",)).takes("MatMul", "a")


def test_a_quantized_graph_stays_as_it_is(small: Small, save: Any, press: Any, tmp_path: Path) -> None:
    first = press("OnnxBlockWiseRtnQuantization", save(small(), tmp_path / "in"))
    again = press("OnnxBlockWiseRtnQuantization", first.folder / "model.onnx")
    assert "changed nothing" in again.notes


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_a_table_is_near_to_its_source(bits: int, symmetric: bool) -> None:
    floats = np.random.default_rng(0).standard_normal((6, 40)).astype(np.float32)
    floats[2] = 0
    made = code_table(Weight(ir.tensor(floats)), Blocks(bits, 16, symmetric))
    stored = unpack(made["packed"], bits).reshape(6, 40).astype(int)
    if symmetric and bits == 4:
        stored = np.where(stored > 7, stored - 16, stored)
    middle = 128 if bits == 8 else 0
    zeros = unpack(made["zeros"], bits).reshape(6, 3) if not symmetric else np.full((6, 3), middle)
    near = (stored - np.repeat(zeros, 16, 1)[:, :40]) * np.repeat(made["scales"], 16, 1)[:, :40]
    step = np.repeat(np.abs(made["scales"]), 16, 1)[:, :40]
    assert (np.abs(near - floats) <= step * 1.01).all()


def test_codes_are_packed_and_unpacked() -> None:
    given = np.arange(14, dtype=np.uint8).reshape(2, 7) % 4
    for bits in (2, 4, 8):
        assert (unpack(pack(given, bits), bits)[:, :7] == given).all()


def test_a_genai_folder_stays_one(small: Small, save: Any, press: Any, tmp_path: Path) -> None:
    file = save(small(), tmp_path / "in")
    config = '{"model": {"decoder": {"filename": "model.onnx"}}}'
    (file.parent / "genai_config.json").write_text(config, encoding="utf-8")
    (file.parent / "tokenizer.json").write_text("{}", encoding="utf-8")
    made = press("OnnxKQuantQuantization", file, format="ort-genai", accuracy_level=4)
    assert (made.folder / "genai_config.json").read_text("utf-8") == config
    assert (made.folder / "tokenizer.json").is_file()
    assert any(node.op_type == "MatMulNBits" for node in made.model.graph.node)
