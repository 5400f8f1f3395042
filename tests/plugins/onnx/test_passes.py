"""What each pass does to a graph, seen in the file that it wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_np_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from modelpress.errors import ModelpressError, WorkflowError
from modelpress_plugins.onnx.float16 import to_float16

Press = Callable[..., Any]
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
DRAW = np.random.default_rng(0)


def info(name: str, kind: int, *dims: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, dims)


def save(
    folder: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: Mapping[str, np.ndarray],
    **options: Any,
) -> Path:
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, held),
        opset_imports=options.get("opsets") or [helper.make_opsetid("", 21)],
        ir_version=options.get("ir_version", 10),
    )
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx", save_as_external_data=options.get("external", False))
    return folder / "model.onnx"


@pytest.fixture
def mlp(tmp_path: Path) -> Path:
    """logits = relu(x @ w1) @ w2, in a folder with nothing else."""
    weights = {
        "w1": DRAW.normal(size=(64, 128)).astype(np.float32) / 8,
        "w2": DRAW.normal(size=(128, 16)).astype(np.float32) / 8,
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("MatMul", ["b", "w2"], ["logits"], "second"),
    ]
    ends = [info("x", FLOAT, "batch", 64)], [info("logits", FLOAT, "batch", 16)]
    return save(tmp_path / "mlp", nodes, *ends, weights)


def types(graph: onnx.ModelProto) -> dict[str, int]:
    return {tensor.name: tensor.data_type for tensor in graph.graph.initializer}


def ends(graph: onnx.ModelProto) -> Iterator[tuple[str, int, list[int | str]]]:
    for value in (*graph.graph.input, *graph.graph.output):
        kind = value.type.tensor_type
        yield value.name, kind.elem_type, [dim.dim_value or dim.dim_param for dim in kind.shape.dim]


class TestFloat16:
    def test_it_is_what_onnxruntimes_converter_gives(self, mlp: Path, press: Press) -> None:
        own = OnnxModel(onnx.load(mlp))
        own.convert_float_to_float16(keep_io_types=False, min_positive_val=1e-7, max_finite_val=1e4)
        pressed = press(mlp, {"type": "OnnxFloatToFloat16"})
        assert pressed.graph.graph.node == own.model.graph.node
        ours, theirs = (
            {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
            for graph in (pressed.graph, own.model)
        )
        assert {name: array.tobytes() for name, array in ours.items()} == {
            name: array.tobytes() for name, array in theirs.items()
        }
        assert any("cosine 0.99" in note or "cosine 1.0" in note for note in pressed.notes)

    def test_numbers_are_rounded_as_onnxruntime_does(self) -> None:
        draw = np.random.default_rng(0).standard_normal(100_000) * np.logspace(-12, 8, 100_000)
        special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-7, -1e-7, 9.9e-8, 1e4, -1e4, 10001, 65504, 1e-40]
        values = np.concatenate([draw, special]).astype(np.float32)
        with np.errstate(all="ignore"):
            theirs = convert_np_to_float16(values, 1e-7, 1e4)
        assert to_float16(values, 1e-7, 1e4).tobytes() == theirs.tobytes()

    def test_listed_nodes_stay_in_float32(self, mlp: Path, press: Press) -> None:
        pressed = press(mlp, {"type": "OnnxFloatToFloat16", "node_block_list": ["second"]})
        assert types(pressed.graph) == {"w1": HALF, "w2": FLOAT}

    def test_only_listed_operators_are_converted(self, mlp: Path, press: Press) -> None:
        pressed = press(mlp, {"type": "OnnxFloatToFloat16", "op_include_list": ["Relu"]})
        assert types(pressed.graph) == {"w1": FLOAT, "w2": FLOAT}

    def test_named_ends_keep_their_type(self, mlp: Path, press: Press) -> None:
        pressed = press(mlp, {"type": "OnnxFloatToFloat16", "keep_io_types": ["logits"]})
        assert [(name, kind) for name, kind, _ in ends(pressed.graph)] == [("x", HALF), ("logits", FLOAT)]

    def test_both_lists_are_refused(self, mlp: Path, press: Press) -> None:
        step = {"type": "OnnxFloatToFloat16", "op_include_list": ["Relu"], "op_block_list": ["MatMul"]}
        with pytest.raises(WorkflowError, match="op_include_list and op_block_list exclude each other"):
            press(mlp, step)

    def test_what_overflows_is_refused(self, tmp_path: Path, press: Press) -> None:
        node = helper.make_node("Mul", ["x", "w"], ["m"], "m"), helper.make_node("Exp", ["m"], ["y"], "e")
        ends = [info("x", FLOAT, 1, 4)], [info("y", FLOAT, 1, 4)]
        weights = {"w": np.full((1, 4), 40, np.float32)}
        file = save(tmp_path / "m", list(node), *ends, weights)
        with pytest.raises(ModelpressError, match="no numbers, where its source gives numbers"):
            press(file, {"type": "OnnxFloatToFloat16"})

    def test_a_second_time_it_changes_nothing_and_says_so(self, mlp: Path, press: Press) -> None:
        half = {"type": "OnnxFloatToFloat16"}
        assert "model.onnx: changed nothing." in press(mlp, half, half).notes
        with pytest.raises(ModelpressError, match="came out as it went in, and require_change is true"):
            press(mlp, half, {**half, "require_change": True})


class TestIoTypes:
    def test_outputs_of_half_precision_become_float32(self, mlp: Path, press: Press) -> None:
        pressed = press(mlp, {"type": "OnnxFloatToFloat16"}, {"type": "OnnxIODataTypeConverter"})
        assert [(name, kind) for name, kind, _ in ends(pressed.graph)] == [("x", HALF), ("logits", FLOAT)]
        assert "model.onnx: 1 input or output changed." in pressed.notes

    def test_inputs_too_by_their_names(self, mlp: Path, press: Press) -> None:
        step = {
            "type": "OnnxIODataTypeConverter",
            "name_pattern": "^x$",
            "source_dtype": 1,
            "target_dtype": 11,
        }
        pressed = press(mlp, step)
        assert next(ends(pressed.graph))[:2] == ("x", TensorProto.DOUBLE)
        session = onnxruntime.InferenceSession(pressed.folder / "model.onnx")
        assert session.run(None, {"x": np.ones((1, 64), np.float64)})[0].dtype == np.float32

    def test_an_input_that_is_an_output_gets_a_cast_between(self, tmp_path: Path, press: Press) -> None:
        nodes = [helper.make_node("Relu", ["x"], ["y"], "r")]
        file = save(
            tmp_path / "m", nodes, [info("x", FLOAT, 2)], [info("y", FLOAT, 2), info("x", FLOAT, 2)], {}
        )
        step = {"type": "OnnxIODataTypeConverter", "name_pattern": "y", "source_dtype": 1, "target_dtype": 11}
        assert [kind for _, kind, _ in ends(press(file, step).graph)] == [FLOAT, TensorProto.DOUBLE, FLOAT]

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ({"source_dtype": 99}, "onnx has no type with the number 99"),
            ({"name_pattern": "("}, "name_pattern is no regular expression"),
            (
                {"require_change": True},
                "No input or output of type float16 matches 'logits': the model has x",
            ),
        ],
    )
    def test_bad_options_are_told_before_any_work(
        self, option: Mapping[str, object], message: str, mlp: Path, press: Press
    ) -> None:
        with pytest.raises(WorkflowError, match=message):
            press(mlp, {"type": "OnnxIODataTypeConverter", **option})


class TestFixedShape:
    def test_a_named_dimension_is_fixed_everywhere(self, mlp: Path, press: Press) -> None:
        pressed = press(mlp, {"type": "DynamicToFixedShape", "dim_param": ["batch"], "dim_value": [3]})
        assert [dims for _, _, dims in ends(pressed.graph)] == [[3, 64], [3, 16]]
        assert "model.onnx: 2 dimensions changed." in pressed.notes

    def test_an_input_whose_dimensions_have_no_names_gets_a_shape(self, packaged: Any, press: Press) -> None:
        file = packaged("rapidocr_onnxruntime", "*cls_infer.onnx")
        step = {"type": "DynamicToFixedShape", "input_name": ["x"], "input_shape": [[1, 3, 48, 192]]}
        pressed = press(file, step)
        graph = onnx.load(pressed.folder / file.name)
        assert next(ends(graph))[2] == [1, 3, 48, 192]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"dim_param": ["bath"], "dim_value": [1]}, "has a dimension 'bath'. Did you mean 'batch'?"),
            ({"dim_param": ["batch"], "dim_value": [1, 2]}, "There are 1 names, and 2 entries of dim_value"),
            ({}, "Give either dim_param with dim_value, or input_name with input_shape"),
            ({"input_name": ["z"], "input_shape": [[1]]}, "The model has no input 'z'"),
            ({"input_name": ["x"], "input_shape": [[1, 8]]}, "is .'batch', 64., and cannot become .1, 8."),
        ],
    )
    def test_what_fixes_nothing_is_told_before_any_work(
        self, options: Mapping[str, object], message: str, mlp: Path, press: Press
    ) -> None:
        with pytest.raises(WorkflowError, match=message):
            press(mlp, {"type": "DynamicToFixedShape", **options})

    def test_what_stays_dynamic_is_told(self, tmp_path: Path, press: Press) -> None:
        nodes = [helper.make_node("Relu", ["x"], ["y"], "r")]
        file = save(tmp_path / "m", nodes, [info("x", FLOAT, "a", "b")], [info("y", FLOAT, "a", "b")], {})
        pressed = press(file, {"type": "DynamicToFixedShape", "dim_param": ["a"], "dim_value": [2]})
        assert any("Nothing fixes every dimension of x [2, 'b']" in note for note in pressed.notes)


class TestPeephole:
    def test_nodes_that_do_nothing_go(self, tmp_path: Path, press: Press) -> None:
        nodes = [
            helper.make_node("Identity", ["x"], ["a"], "i"),
            helper.make_node("Reshape", ["a", "four"], ["b"], "r1"),
            helper.make_node("Reshape", ["b", "flat"], ["c"], "r2"),
            helper.make_node("Relu", ["c"], ["y"], "relu"),
        ]
        weights = {"four": np.array([2, 2]), "flat": np.array([-1])}
        file = save(tmp_path / "m", nodes, [info("x", FLOAT, 4)], [info("y", FLOAT, 4)], weights)
        pressed = press(file, {"type": "OnnxPeepholeOptimizer"})
        assert len(pressed.graph.graph.node) < 3
        assert any(note.endswith("nodes changed.") for note in pressed.notes)

    def test_olives_small_rewrites(self, tmp_path: Path, press: Press) -> None:
        nodes = [
            helper.make_node("Relu", ["x"], ["r"], "relu"),
            helper.make_node("Cast", ["r"], ["h"], "down", to=HALF),
            helper.make_node("Cast", ["h"], ["f"], "up", to=FLOAT),
            helper.make_node("Neg", ["f"], ["y"], "neg"),
        ]
        file = save(tmp_path / "m", nodes, [info("x", FLOAT, 4)], [info("y", FLOAT, 4)], {})
        step = {
            "type": "OnnxPeepholeOptimizer",
            "onnxoptimizer_optimize": False,
            "cast_chain_elimination": True,
            "fix_com_microsoft_opset": True,
        }
        pressed = press(file, step)
        assert [node.op_type for node in pressed.graph.graph.node] == ["Relu", "Neg"]
        assert "com.microsoft" in {opset.domain for opset in pressed.graph.opset_import}


class TestMetadata:
    def test_name_and_entries_are_written(self, mlp: Path, press: Press) -> None:
        model = {"model_path": str(mlp), "model_attributes": {"_name_or_path": "org/mlp", "hf_task": "any"}}
        step = {"type": "AddOliveMetadata", "graph_name": "mlp", "custom_metadata": {"owner": "me", "n": 1}}
        graph = press(model, step).graph
        told = {entry.key: entry.value for entry in graph.metadata_props}
        assert graph.graph.name == "mlp"
        assert told.keys() >= {"modelpress_version", "model_hash"}
        assert (told["owner"], told["n"], told["hf_model_name"], told["hf_task"]) == (
            "me",
            "1",
            "org/mlp",
            "any",
        )


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("magika", "model.onnx"),
        ("rapidocr_onnxruntime", "*cls_infer.onnx"),
        ("silero_vad", "silero_vad.onnx"),
    ],
)
def test_real_models_go_through_and_compute_the_same(
    package: str, name: str, packaged: Any, press: Press
) -> None:
    pressed = press(
        packaged(package, name), {"type": "OnnxPeepholeOptimizer"}, {"type": "OnnxFloatToFloat16"}
    )
    compared = [note for note in pressed.notes if "compared with its source" in note]
    assert len(compared) == 2, pressed.notes
    assert all("cosine 0.99" in note or "cosine 1.0" in note for note in compared), compared
