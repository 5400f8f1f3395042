"""What is wrong with a graph, or does not fit it, is told before any work: what was found, what to do."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import modelpress

FLOAT = TensorProto.FLOAT
HALF = {"type": "OnnxFloatToFloat16"}
QNN = "QNNExecutionProvider"


def make(
    *, opset: int = 21, ir_version: int = 10, domain: str = "", dims: tuple[int | str, ...] = ("batch", 64)
) -> onnx.ModelProto:
    """y = x @ w"""
    w = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], "product"),
        helper.make_node("Fold" if domain else "Relu", ["m"], ["y"], "last", domain=domain),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, dims)],
        [helper.make_tensor_value_info("y", FLOAT, ["batch", 32])],
        [numpy_helper.from_array(w, "w")],
    )
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def save(folder: Path, model: onnx.ModelProto | None = None, *, external: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.onnx"
    onnx.save(model or make(), file, save_as_external_data=external, location="weights.bin", size_threshold=0)
    return file


def problems(model: Path | Mapping[str, object], *passes: Mapping[str, object], **more: object) -> list[str]:
    """All that is told, with its hint. It may not take long."""
    named = {"model_path": str(model)} if isinstance(model, Path) else dict(model)
    workflow = {
        "input_model": {"type": "ONNXModel", **named},
        "passes": {f"step{i}": dict(step) for i, step in enumerate(passes or [HALF])},
        **more,
    }
    started = time.process_time()
    found = [f"{problem.message} {problem.hint}" for problem in modelpress.validate(workflow)]
    assert time.process_time() - started < 5
    return found


def data(folder: Path, name: str = "x", array: np.ndarray | None = None) -> dict[str, object]:
    """Data in a file: one sample, the array given under the name given."""
    (folder / "data").mkdir()
    np.savez(folder / "data" / "0.npz", **{name: np.zeros((2, 64), np.float32) if array is None else array})
    load = {"data_dir": str(folder / "data")}
    return {"data_configs": [{"name": "d", "type": "TensorDataContainer", "load_dataset_config": load}]}


def moved(file: Path, key: str, value: str) -> None:
    """Let the graph say something else of where its weights lie."""
    model = onnx.load(file, load_external_data=False)
    for entry in (entry for tensor in model.graph.initializer for entry in tensor.external_data):
        if entry.key == key:
            entry.value = value
    file.write_bytes(model.SerializeToString())


class TestFiles:
    """The graph's file, and that of its weights."""

    def test_weights_that_are_not_there(self, tmp_path: Path) -> None:
        file = save(tmp_path / "m", external=True)
        (file.parent / "weights.bin").unlink()
        (told,) = problems(file)
        assert "keeps its weights in 'weights.bin', which is not beside it" in told
        assert "Copy that file into the same folder." in told

    def test_weights_that_are_cut(self, tmp_path: Path) -> None:
        file = save(tmp_path / "m", external=True)
        os.truncate(file.parent / "weights.bin", 100)
        (told,) = problems(file)
        assert "weights.bin is cut short: 100 bytes, model.onnx needs 8,192" in told

    def test_an_offset_beyond_the_file(self, tmp_path: Path) -> None:
        file = save(tmp_path / "m", external=True)
        moved(file, "offset", str(10**12))
        assert "weights.bin is cut short" in problems(file)[0]

    @pytest.mark.parametrize("place", ["../weights.bin", "/etc/passwd", "a/../../b", "C:\\weights"])
    def test_weights_outside_the_folder(self, tmp_path: Path, place: str) -> None:
        file = save(tmp_path / "m", external=True)
        moved(file, "location", place)
        assert "keeps weights outside its folder" in problems(file)[0]

    def test_weights_in_a_folder(self, tmp_path: Path) -> None:
        file = save(tmp_path / "m", external=True)
        (file.parent / "weights.bin").unlink()
        (file.parent / "weights.bin").mkdir()
        assert "which is not beside it" in problems(file)[0]

    @pytest.mark.parametrize("offset", ["here", "-5"])
    def test_an_offset_that_is_no_number(self, tmp_path: Path, offset: str) -> None:
        file = save(tmp_path / "m", external=True)
        moved(file, "offset", offset)
        assert f"no ONNX file: w has the offset {offset!r}" in problems(file)[0]

    def test_a_single_file_of_more_than_2_gb(self, tmp_path: Path) -> None:
        file = save(tmp_path / "m")
        os.truncate(file, 2**31 + 1)  # sparse
        (told,) = problems(file)
        assert "2.0 GiB in a single file; onnxruntime reads no more than 2" in told
        assert "save_as_external_data=True" in told

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "model.onnx cannot be read: it is empty"),
            (b"This is a text, and no graph at all.\n", "model.onnx is cut short or no ONNX file"),
            (b"\x08\x0a", "model.onnx is no ONNX file: it holds no graph"),
            (make().SerializeToString()[:-30], "model.onnx is cut short or no ONNX file"),
        ],
        ids=["empty", "text", "no graph", "truncated"],
    )
    def test_a_file_that_is_no_graph(self, tmp_path: Path, content: bytes, told: str) -> None:
        file = tmp_path / "model.onnx"
        file.write_bytes(content)
        assert told in problems(file)[0]

    def test_a_weight_with_fewer_bytes_than_its_shape_asks_for(self, tmp_path: Path) -> None:
        model = make()
        model.graph.initializer[0].raw_data = bytes(16)
        assert "w has 16 bytes, its shape asks for 8,192" in problems(save(tmp_path / "m", model))[0]

    def test_a_folder_without_a_graph(self, tmp_path: Path) -> None:
        assert "holds no .onnx file" in problems(tmp_path)[0]

    def test_a_graph_that_the_folder_does_not_have(self, tmp_path: Path) -> None:
        file = save(tmp_path / "m")
        (told,) = problems({"model_path": str(file.parent), "onnx_file_name": "modle.onnx"})
        assert "has no modle.onnx. It holds model.onnx" in told


class TestVersions:
    """Of opsets, of the format, of operators."""

    def test_an_opset_from_the_future(self, tmp_path: Path) -> None:
        (told,) = problems(save(tmp_path / "m", make(opset=99)))
        assert "model.onnx is of opset 99; onnxruntime" in told

    def test_an_ir_version_from_the_future(self, tmp_path: Path) -> None:
        (told,) = problems(save(tmp_path / "m", make(ir_version=99)))
        assert "model.onnx is of IR version 99; onnxruntime" in told

    @pytest.mark.parametrize(
        "step",
        [
            HALF,
            {"type": "OnnxDynamicQuantization"},
            {"type": "OnnxBlockWiseRtnQuantization"},
            {"type": "OrtSessionParamsTuning"},
            {"type": "GraphSurgeries", "surgeries": [{"surgeon": "RemoveMemcpy"}]},
        ],
        ids=lambda step: str(step["type"]),
    )
    def test_an_operator_that_onnxruntime_does_not_know(
        self, tmp_path: Path, step: Mapping[str, object]
    ) -> None:
        (told,) = problems(save(tmp_path / "m", make(domain="acme")), step)
        assert "uses the custom operator Fold of acme, which onnxruntime does not know" in told
        assert "custom_ops_library" in told

    def test_an_operator_that_the_named_library_brings_is_taken(self, tmp_path: Path) -> None:
        file = save(tmp_path / "m", make(domain="acme"))
        (file.parent / "ops.so").write_bytes(b"\x7fELF")
        assert problems({"model_path": str(file), "custom_ops_library": "ops.so"}) == []

    def test_a_library_that_is_not_there(self, tmp_path: Path) -> None:
        file = save(tmp_path / "m", make(domain="acme"))
        assert "has no ops.so" in problems({"model_path": str(file), "custom_ops_library": "ops.so"})[0]

    def test_a_scale_for_each_channel_before_its_opset(self, tmp_path: Path) -> None:
        step = {"type": "OnnxStaticQuantization", "data_config": "d", "per_channel": True}
        file = save(tmp_path / "m", make(opset=12, ir_version=7))
        (told,) = problems(file, step, **data(tmp_path))
        assert "model.onnx is of opset 12; a scale for each channel came with opset 13" in told


class TestShapes:
    """Dimensions that nothing fixes."""

    def test_what_an_npu_cannot_run(self, tmp_path: Path) -> None:
        file = save(tmp_path / "m", make(dims=("batch", "length")))
        target = {"type": "LocalSystem", "accelerators": [{"device": "npu", "execution_providers": [QNN]}]}
        step = {"type": "DynamicToFixedShape", "dim_param": ["batch"], "dim_value": [1]}
        (told,) = problems(file, step, systems={"t": target}, target="t")
        assert "Nothing fixes every dimension of x [1, 'length'], and QNNExecutionProvider" in told

    def test_quantization_for_an_npu(self, tmp_path: Path) -> None:
        target = {"type": "LocalSystem", "accelerators": [{"device": "npu", "execution_providers": [QNN]}]}
        step = {"type": "OnnxStaticQuantization", "data_config": "d"}
        file = save(tmp_path / "m")
        (told,) = problems(file, step, systems={"t": target}, target="t", **data(tmp_path))
        assert "nothing fixes x ['batch', 64]. Put DynamicToFixedShape before it" in told


class TestCalibrationData:
    """That do not fit the inputs."""

    @pytest.mark.parametrize(
        ("name", "array", "told"),
        [
            ("z", np.zeros((2, 64), np.float32), "have the columns z; model.onnx also takes x"),
            (
                "x",
                np.zeros((2, 63), np.float32),
                "give x as float32 [2, 63]; model.onnx takes float32 [batch",
            ),
            ("x", np.zeros((2, 1, 64), np.float32), "give x as float32 [2, 1, 64]; model.onnx takes"),
            ("x", np.array(["a"]), "give x as string [1]; model.onnx takes float32"),
        ],
        ids=["name", "size", "dimensions", "type"],
    )
    def test_is_told(self, tmp_path: Path, name: str, array: np.ndarray, told: str) -> None:
        step = {"type": "OnnxStaticQuantization", "data_config": "d"}
        (found,) = problems(save(tmp_path / "m"), step, **data(tmp_path, name, array))
        assert told in found

    def test_none_at_all(self, tmp_path: Path) -> None:
        told = problems(save(tmp_path / "m"), {"type": "OnnxStaticQuantization"})
        assert "Static quantization needs data to calibrate on" in told[0]

    def test_text_without_a_tokenizer(self, tmp_path: Path) -> None:
        model = make()
        model.graph.input[0].name = "input_ids"
        model.graph.node[0].input[0] = "input_ids"
        (tmp_path / "text.json").write_text('{"text": "one"}\n')
        load = {"data_name": "json", "data_files": str(tmp_path / "text.json")}
        given = [{"name": "d", "type": "HuggingfaceContainer", "load_dataset_config": load}]
        step = {"type": "OnnxStaticQuantization", "data_config": "d"}
        (told,) = problems(save(tmp_path / "m", model), step, data_configs=given)
        assert "The data are text, and beside the model there is no tokenizer" in told


class TestOptions:
    """That would write over what is there, or name what is not."""

    def test_a_file_of_weights_for_two_graphs(self, tmp_path: Path) -> None:
        save(tmp_path / "m")
        (tmp_path / "m" / "model.onnx").rename(tmp_path / "m" / "first.onnx")
        save(tmp_path / "m")
        step = {**HALF, "save_as_external_data": True, "external_data_name": "weights"}
        (told,) = problems(tmp_path / "m", step)
        assert "external_data_name is one file, and the model has the graphs first.onnx, model.onnx" in told

    @pytest.mark.parametrize("name", ["../weights", "/tmp/weights", "below/weights", "model.onnx"])
    def test_a_file_of_weights_that_is_elsewhere_or_the_graph(self, tmp_path: Path, name: str) -> None:
        step = {**HALF, "save_as_external_data": True, "external_data_name": name}
        assert f"external_data_name is {name!r}" in problems(save(tmp_path / "m"), step)[0]

    def test_a_misspelt_surgeon(self, tmp_path: Path) -> None:
        step = {"type": "GraphSurgeries", "surgeries": [{"surgeon": "RemoveMemcopy"}]}
        (told,) = problems(save(tmp_path / "m"), step)
        assert told == "There is no surgeon 'RemoveMemcopy'. Did you mean 'RemoveMemcpy'?"

    def test_shapes_that_the_graph_does_not_have(self, tmp_path: Path) -> None:
        io_config = {"input_names": ["x"], "input_shapes": [[1, 63]]}
        (told,) = problems(save(tmp_path / "m"), {**HALF, "io_config": io_config})
        assert "The input 'x' is ['batch', 64], io_config says [1, 63]" in told
