"""OnnxPeepholeOptimizer: onnxscript's optimizer, and two small rewrites of Olive's."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript import optimizer

from modelpress.api import Artifact, PassContext
from modelpress_plugins.onnx.pass_config import PeepholeOptions
from modelpress_plugins.onnx_graph.press import press

_MICROSOFT = "com.microsoft"


def run(model: Artifact, config: PeepholeOptions, ctx: PassContext) -> Artifact:
    """For PassSpec.run."""

    def change(graph: ir.Model) -> ir.Model:
        if config.onnxscript_optimize:
            optimizer.optimize(graph)
        if config.fuse_reshape_operations:
            fuse_reshapes(graph)
        if config.fix_com_microsoft_opset:
            for imports in (graph.opset_imports, *(f.opset_imports for f in graph.functions.values())):
                imports.setdefault(_MICROSOFT, 1)
        if config.cast_chain_elimination:
            drop_round_trips(graph)
        return graph

    return press(model, config, ctx, change, exact=not config.cast_chain_elimination)


def fuse_reshapes(model: ir.Model) -> None:
    """Reshape(Reshape(x, any), [-1]) is Reshape(x, [-1])."""
    for graph in model.graphs():
        for node in graph:
            before = node.inputs[0].producer() if node.op_type == "Reshape" and node.inputs[0] else None
            if before is None or before.op_type != "Reshape" or not _makes_flat(node):
                continue
            if before.graph is graph:
                node.replace_input_with(0, before.inputs[0])
    RemoveUnusedNodesPass()(model)


def _makes_flat(node: ir.Node) -> bool:
    shape = ir.convenience.get_const_tensor(node.inputs[1]) if node.inputs[1] is not None else None
    return shape is not None and shape.numpy().ravel().tolist() == [-1]


def drop_round_trips(model: ir.Model) -> None:
    """Cast(Cast(x: T, U), T) is x."""
    for graph in model.graphs():
        for node in graph:
            first = node.inputs[0].producer() if node.op_type == "Cast" and node.inputs[0] else None
            if first is None or first.op_type != "Cast" or first.graph is not graph:
                continue
            source, output = first.inputs[0], node.outputs[0]
            if source is None or source.dtype is None or output.is_graph_output():
                continue
            if source.dtype.value == node.attributes.get_int("to", 0):
                output.replace_all_uses_with(source)
    RemoveUnusedNodesPass()(model)
