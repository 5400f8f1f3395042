"""ONNX models: the format `onnx`, the input model `ONNXModel`, and passes on the graph."""

from __future__ import annotations

from modelpress.api import FormatSpec, ModelSpec, PassSpec, hookimpl
from modelpress_plugins.ranges import NUMPY, ONNX, ONNX_IR, ONNXRUNTIME, SYMPY

MODELPRESS_API = 1

_HERE = "modelpress_plugins.onnx"
_REQUIRES = (ONNXRUNTIME, ONNX, ONNX_IR, NUMPY)


@hookimpl
def modelpress_formats() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="onnx",
            summary="ONNX: one graph or several, with weights inside or beside.",
            check=f"{_HERE}.check:check",
            load=f"{_HERE}.load:load",
            usage=f"{_HERE}.usage:use",
            requires=_REQUIRES,
            extra="onnx",
        )
    ]


@hookimpl
def modelpress_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="ONNXModel",
            summary="An ONNX model: its file, or a folder with one graph or several.",
            produces="onnx",
            open=f"{_HERE}.open_model:open_model",
            config=f"{_HERE}.config:ONNXModelOptions",
        )
    ]


@hookimpl
def modelpress_passes() -> list[PassSpec]:
    return [
        PassSpec(
            name="OnnxFloatToFloat16",
            summary="Turn float32 weights and computation into float16.",
            accepts=("onnx", "ort-genai"),
            produces="same",
            run=f"{_HERE}.float16:run",
            config=f"{_HERE}.config:Float16Options",
            plan=f"{_HERE}.float16_plan:plan",
            requires=(*_REQUIRES, SYMPY),
            extra="onnx",
            devices=("cpu",),
        )
    ]
