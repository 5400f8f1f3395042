"""Change a graph by hand: the pass GraphSurgeries and its table of surgeons (`surgeons.py`)."""

from __future__ import annotations

from modelpress.api import PassSpec, hookimpl
from modelpress_plugins.ranges import NUMPY, ONNX, ONNX_IR, ONNXRUNTIME

MODELPRESS_API = 1


@hookimpl
def modelpress_passes() -> list[PassSpec]:
    return [
        PassSpec(
            name="GraphSurgeries",
            summary="Change an ONNX graph by hand: tie embeddings, rename inputs, replace patterns of nodes.",
            accepts=("onnx", "ort-genai"),
            produces="same",
            run="modelpress_plugins.graph_surgeries.run:run",
            config="modelpress_plugins.graph_surgeries.config:GraphSurgeriesOptions",
            plan="modelpress_plugins.graph_surgeries.plan:plan",
            requires=(ONNXRUNTIME, ONNX, ONNX_IR, NUMPY),
            extra="onnx",
            devices=("cpu",),
            parts="modelpress.surgeons",
        )
    ]
