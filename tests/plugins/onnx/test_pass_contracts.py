"""The passes on floats keep the contract of every pass, and give what they gave."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from onnx import TensorProto
from pydantic import JsonValue
from tests.plugins.onnx.test_onnx_contracts import write_model

from modelpress.api import Artifact
from modelpress.testing import PassContract, input_artifact

Options = Mapping[str, JsonValue]


class OnGraph(PassContract):
    golden = Path(__file__).with_name("golden")

    def make_input(self, folder: Path) -> Artifact:
        return input_artifact(write_model(folder), "onnx")


class TestIODataTypeConverter(OnGraph):
    pass_name = "OnnxIODataTypeConverter"
    options: ClassVar[Options] = {
        "name_pattern": "",
        "source_dtype": TensorProto.FLOAT,
        "target_dtype": TensorProto.FLOAT16,
    }
    bad_options: ClassVar[Mapping[str, object]] = {"source_dtype": "float"}


class TestPeepholeOptimizer(OnGraph):
    pass_name = "OnnxPeepholeOptimizer"
    bad_options: ClassVar[Mapping[str, object]] = {"onnxscript_optimise": True}


class TestDynamicToFixedShape(OnGraph):
    pass_name = "DynamicToFixedShape"
    options: ClassVar[Options] = {"dim_param": ["batch"], "dim_value": [2]}
    bad_options: ClassVar[Mapping[str, object]] = {"dim_param": ["batch"], "dim_value": [-1]}


class TestAddOliveMetadata(OnGraph):
    pass_name = "AddOliveMetadata"
    options: ClassVar[Options] = {"graph_name": "mlp", "custom_metadata": {"owner": "me"}}
    bad_options: ClassVar[Mapping[str, object]] = {"graph_name": 3}


class TestSessionParamsTuning(OnGraph):
    """With one setting to try: which of several is fastest depends on the day."""

    pass_name = "OrtSessionParamsTuning"
    options: ClassVar[Options] = {"intra_thread_num_list": 1, "repeat_test_num": 1}
    bad_options: ClassVar[Mapping[str, object]] = {"repeat_test_num": 0}
