"""Dynamic and static quantization, compared with what onnxruntime's own functions give from files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from modelpress_plugins.onnx_quantize import absent

Small = Callable[..., onnx.ModelProto]
PACKAGES = Path(onnxruntime.__file__).parent.parent
CARRIED = (
    PACKAGES / "rapidocr_onnxruntime" / "models" / "ch_PP-OCRv4_rec_infer.onnx",
    PACKAGES / "magika" / "models" / "standard_v3_3" / "model.onnx",
)


class Given:
    """Data whose rows are what the graph takes."""

    name = "given"
    prompt_template: str | None = None

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def records(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)


class Theirs(CalibrationDataReader):
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = iter(rows)

    def get_next(self) -> dict[str, Any] | None:
        return next(self.rows, None)


def ids(count: int = 4) -> list[dict[str, Any]]:
    draw = np.random.default_rng(3)
    return [{"ids": draw.integers(0, 30, 5)} for _ in range(count)]


def by_onnxruntime(file: Path, folder: Path, *, first: bool = True, **options: Any) -> onnx.ModelProto:
    folder.mkdir(exist_ok=True)
    source = file
    if first:
        source = folder / "first.onnx"
        quant_pre_process(str(file), str(source), auto_merge=True, save_as_external_data=True)
    quantize_dynamic(str(source), str(folder / "out.onnx"), use_external_data_format=True, **options)
    return onnx.load(folder / "out.onnx")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("external", [True, False])
@pytest.mark.parametrize("options", [
    {}, {"per_channel": True}, {"precision": "uint8"}, {"reduce_range": True, "per_channel": True},
])  # fmt: skip
def test_dynamic_int8_is_onnxruntimes_graph_bit_for_bit(
    small: Small, save: Any, press: Any, parts_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    first: bool, external: bool, options: dict[str, Any],
) -> None:  # fmt: skip
    monkeypatch.setattr(absent, "STRIP_ELEMENTS", 900)  # several strips of each weight
    file = save(small(), tmp_path / "in", external=external)
    made = press("OnnxDynamicQuantization", file, quant_preprocess=first, **options).model
    theirs = {**options, "weight_type": QuantType.QUInt8} if "precision" in options else dict(options)
    theirs.pop("precision", None)
    wanted = by_onnxruntime(file, tmp_path / "theirs", first=first, **theirs)
    assert parts_of(made) == parts_of(wanted)


@pytest.mark.parametrize("file", CARRIED, ids=["convolutions", "embeddings"])
def test_dynamic_int8_of_models_that_packages_carry_is_onnxruntimes(
    press: Any, parts_of: Any, save: Any, tmp_path: Path, file: Path
) -> None:
    if not file.is_file():
        pytest.skip(f"{file.parent.parent.name} is not installed")
    copy = tmp_path / "in" / "model.onnx"
    copy.parent.mkdir()
    copy.write_bytes(file.read_bytes())
    made = press("OnnxDynamicQuantization", copy).model
    assert parts_of(made) == parts_of(by_onnxruntime(copy, tmp_path / "theirs"))


def test_operators_and_nodes_are_left_out(small: Small, save: Any, press: Any, tmp_path: Path) -> None:
    file = save(small(), tmp_path / "in")
    made = press(
        "OnnxDynamicQuantization", file, op_types_to_exclude=["Gather"], quant_preprocess=False
    ).model
    kinds = [node.op_type for node in made.graph.node]
    assert "DequantizeLinear" not in kinds
    assert kinds.count("MatMulInteger") == 5
    only = press(
        "OnnxDynamicQuantization", file, nodes_to_quantize=["/layer/o/MatMul"], quant_preprocess=False
    )
    assert [n.op_type for n in only.model.graph.node].count("MatMulInteger") == 1


@pytest.mark.parametrize("method", ["MinMax", "Entropy", "Percentile"])
def test_static_quantization_is_onnxruntimes_bit_for_bit(
    small: Small, save: Any, press: Any, parts_of: Any, tmp_path: Path, method: str
) -> None:
    file = save(small(), tmp_path / "in")
    made = press(
        "OnnxStaticQuantization", file, data={"calibration": Given(ids())}, data_config="given",
        quant_preprocess=False, prepare_qdq_config=False, calibrate_method=method, precision="uint8",
        activation_type="QUInt8",
    ).model  # fmt: skip
    out = tmp_path / "theirs.onnx"
    quantize_static(
        str(file), str(out), Theirs(ids()), quant_format=QuantFormat.QDQ, weight_type=QuantType.QUInt8,
        activation_type=QuantType.QUInt8, calibrate_method=CalibrationMethod[method],
        extra_options={"ActivationSymmetric": False},
    )  # fmt: skip
    assert parts_of(made) == parts_of(onnx.load(out))


def test_whole_graphs_of_16_bits_are_made_for_npus(
    small: Small, save: Any, press: Any, tmp_path: Path
) -> None:
    made = press(
        "OnnxQuantization", save(small(opset=21), tmp_path / "in"), data={"calibration": Given(ids())},
        data_config="given", precision="uint8", activation_type="uint16",
    ).model  # fmt: skip
    types = {tensor.data_type for tensor in made.graph.initializer if tensor.name.endswith("_zero_point")}
    assert onnx.TensorProto.UINT16 in types


def test_either_is_dynamic_when_it_is_told(small: Small, save: Any, press: Any, tmp_path: Path) -> None:
    made = press("OnnxQuantization", save(small(), tmp_path / "in"), quant_mode="dynamic").model
    assert "MatMulInteger" in {node.op_type for node in made.graph.node}
