"""What the surgeon does. Imported where the pass runs."""

from __future__ import annotations

from typing import Protocol

import onnx_ir as ir

from modelpress_surgeon import RemoveDropout


class Operation(Protocol):
    """What a surgeon says beside the number of nodes that it changed."""

    def tell(self, text: str, /) -> None: ...


def remove_dropout(model: ir.Model, options: RemoveDropout, operation: Operation) -> int:
    """Returns how many nodes went. One whose mask is read, or that trains, stays."""
    found = [n for n in model.graph if n.op_type == "Dropout" and n.name not in options.keep]
    gone = [node for node in found if not any(output.uses() for output in node.outputs[1:])]
    for node in gone:
        source, output = node.inputs[0], node.outputs[0]
        if source is None:
            continue
        if output.is_graph_output():  # that name is what users ask for
            identity = ir.node("Identity", [source], name=node.name)
            model.graph.insert_before(node, identity)
            identity.outputs[0].name, identity.outputs[0].type = output.name, output.type
            identity.outputs[0].shape = output.shape
            source = identity.outputs[0]
        output.replace_all_uses_with(source, replace_graph_outputs=True)
        model.graph.remove(node, safe=True)
    if len(gone) < len(found):
        operation.tell(f"{len(found) - len(gone)} nodes give masks that are read, and stay.")
    return len(gone)
