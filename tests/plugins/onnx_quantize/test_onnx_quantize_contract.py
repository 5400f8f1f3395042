"""The quantizers of graphs keep the contract of every pass."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from modelpress.api import Artifact
from modelpress.testing import PassContract, input_artifact


def shared() -> ModuleType:
    """The conftest beside this file: a contract is also imported in processes of its own."""
    spec = importlib.util.spec_from_file_location("graphs", Path(__file__).with_name("conftest.py"))
    if spec is None or spec.loader is None:
        raise ImportError("conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Rows:
    """A data source: what the small graph takes."""

    name = "rows"
    prompt_template: str | None = None

    def records(self) -> Iterator[dict[str, Any]]:
        yield {"ids": [1, 2, 3]}
        yield {"ids": [5, 0, 29]}


class GraphContract(PassContract):
    size_within = 3.0  # of a graph as small as this one, names and biases are half

    def make_input(self, folder: Path) -> Artifact:
        helper = shared()
        helper.saved(helper.small_model(opset=21), folder)
        return input_artifact(folder, "onnx")


class TestBlockWiseRtn(GraphContract):
    pass_name = "OnnxBlockWiseRtnQuantization"
    bad_options: ClassVar[dict[str, Any]] = {"block_size": 20}


class TestKQuant(GraphContract):
    pass_name = "OnnxKQuantQuantization"


class TestHqq(GraphContract):
    pass_name = "OnnxHqqQuantization"


class TestBnb4(GraphContract):
    pass_name = "OnnxBnb4Quantization"
    options: ClassVar[dict[str, Any]] = {"precision": "nf4"}


class TestDynamic(GraphContract):
    pass_name = "OnnxDynamicQuantization"


class TestStatic(GraphContract):
    pass_name = "OnnxStaticQuantization"
    data: ClassVar[dict[str, Any]] = {"calibration": Rows()}
    options: ClassVar[dict[str, Any]] = {"data_config": "data"}


class TestEither(GraphContract):
    pass_name = "OnnxQuantization"
    options: ClassVar[dict[str, Any]] = {"quant_mode": "dynamic"}
