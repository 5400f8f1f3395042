"""The surgeon of copies between a device and its host."""

from __future__ import annotations

import onnx_ir as ir

from modelpress_plugins.graph_surgeries.edit import Operation, nodes, remove, replace
from modelpress_plugins.graph_surgeries.surgeons import RemoveMemcpy


def remove_memcpy(model: ir.Model, options: RemoveMemcpy, operation: Operation) -> int:
    """What read the copy reads what was copied."""
    count = 0
    for node in nodes(model, "MemcpyToHost", "MemcpyFromHost"):
        copied = node.inputs[0] if len(node.inputs) == 1 and len(node.outputs) == 1 else None
        if copied is None:
            continue
        if node.outputs[0].is_graph_output() and (copied.is_graph_input() or copied.is_graph_output()):
            operation.tell(f"{node.name} copies an input to an output; it stays.")
            continue
        replace(node.outputs[0], copied)
        remove(node)
        count += 1
    return count
