"""Shapes and a first optimization, ahead of quantizing: what onnxruntime's `quant_pre_process` does, without
the weights.

onnxruntime maps weights that lie beside a graph, and hardly touches them while it optimizes at its basic
level; it writes them as it found them, by file and place. So no weight is ever held.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime  # type: ignore[import-untyped]
from onnx.external_data_helper import uses_external_data
from onnxruntime.quantization.quant_utils import (  # type: ignore[import-untyped]
    add_pre_process_metadata,
)
from onnxruntime.tools.symbolic_shape_infer import (  # type: ignore[import-untyped]
    SymbolicShapeInference,
)

from modelpress_plugins.onnx_quantize.absent import load_external

_LARGEST_INT = 2**31 - 1
"""Sizes beyond it are taken as boundless by the symbolic inference; the default of quant_pre_process."""


def prepare(
    proto: onnx.ModelProto, folder: Path, scratch: Path, tell: Callable[[str], None]
) -> onnx.ModelProto:
    """The graph with the shapes that can be inferred, constants folded and simple patterns fused.

    proto: as `located` gives it; its weights lie in the folder, and those of the result do. A step that is
    beyond its library is left out, and told.
    """
    shaped, optimized = proto, None
    try:
        shaped = infer_symbolic_shapes(proto, folder, scratch)
    except Exception as error:  # noqa: BLE001 - it asserts what it does not know, and raises of all kinds
        tell(f"Symbolic shapes were not inferred: {_short(error)}.")
    try:
        optimized = optimize(shaped, folder, scratch)
    except Exception as error:  # noqa: BLE001 - onnxruntime has a class of its own for each code
        tell(f"The graph was not optimized first: {_short(error)}.")
    inferred = onnx.shape_inference.infer_shapes(optimized or shaped)
    add_pre_process_metadata(inferred)
    return inferred


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def infer_symbolic_shapes(proto: onnx.ModelProto, folder: Path, scratch: Path) -> onnx.ModelProto:
    """Weights stand among the inputs for a while: their shapes are known then, and nobody asks for more."""
    changed = onnx.ModelProto.FromString(proto.SerializeToString())
    graph = changed.graph
    for tensor in graph.initializer:
        if uses_external_data(tensor) and len(tensor.dims) < 2:
            load_external(tensor, folder)
    kept = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in graph.initializer]
    given = {value.name for value in graph.input}
    away = {t.name: t for t in kept if uses_external_data(t) and t.name not in given}
    here = [tensor for tensor in kept if tensor.name not in away]
    del graph.initializer[:]
    graph.initializer.extend(here)
    for tensor in away.values():
        graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    with contextlib.chdir(scratch):  # when it fails, it writes the graph to where it is
        shaped: onnx.ModelProto = SymbolicShapeInference.infer_shapes(changed, _LARGEST_INT, True, False, 0)
    inputs = [value for value in shaped.graph.input if value.name not in away]
    del shaped.graph.input[:], shaped.graph.initializer[:]
    shaped.graph.input.extend(inputs)
    shaped.graph.initializer.extend(kept)
    return shaped


def optimize(proto: onnx.ModelProto, folder: Path, scratch: Path) -> onnx.ModelProto:
    """As onnxruntime optimizes a graph at its basic level, for its CPU."""
    out = scratch / "optimized.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(out)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(out, load_external_data=False)
    out.unlink()
    return optimized
