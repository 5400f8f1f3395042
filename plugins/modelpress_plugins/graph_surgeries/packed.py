"""The surgeon of packed attention: several sequences in one, each of which sees itself alone."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, RemoveUnusedOpsetsPass

from modelpress.api import UserError
from modelpress_plugins.graph_surgeries.edit import MICROSOFT, Operation, nodes
from modelpress_plugins.graph_surgeries.surgeons import PackedAttentionToLoopMHA

_DOMAIN, _KIND = "custom", "PackedAttention"

# query, key, value: (batch, heads, length, width); cu_seqlens: int32 (segments + 1), where each segment
# begins and the last one ends. Returns (batch, length, heads, width).
_LOOP = """
<opset_import: ["" : %d, "com.microsoft" : 1], domain: "custom">
PackedAttention <scale, num_heads> (query, key, value, cu_seqlens) => (attended)
{
    flat = Constant <value_ints = [0, 0, -1]> ()
    one = Constant <value_ints = [1]> ()
    zero = Constant <value_ints = [0]> ()
    query_4d = Transpose <perm = [0, 2, 1, 3]> (query)
    key_4d = Transpose <perm = [0, 2, 1, 3]> (key)
    value_4d = Transpose <perm = [0, 2, 1, 3]> (value)
    shape = Shape (query_4d)
    query_3d = Reshape (query_4d, flat)
    key_3d = Reshape (key_4d, flat)
    value_3d = Reshape (value_4d, flat)
    points = Size (cu_seqlens)
    single = Constant <value_int = 1> ()
    segments = Sub (points, single)
    going = Constant <value = bool {1}> ()
    empty = Slice (value_3d, zero, zero, one)
    joined = Loop (segments, going, empty)
        <body = segment (int64 index, bool go_in, so_far) => (bool go_on, with_this)
    {
        at = Reshape (index, one)
        behind = Add (at, one)
        first = Gather <axis = 0> (cu_seqlens, at)
        last = Gather <axis = 0> (cu_seqlens, behind)
        start = Cast <to = 7> (first)
        stop = Cast <to = 7> (last)
        query_part = Slice (query_3d, start, stop, one)
        key_part = Slice (key_3d, start, stop, one)
        value_part = Slice (value_3d, start, stop, one)
        this = com.microsoft.MultiHeadAttention <num_heads: int = @num_heads, scale: float = @scale>
            (query_part, key_part, value_part)
        with_this = Concat <axis = 1> (so_far, this)
        go_on = Identity (go_in)
    }>
    attended = Reshape (joined, shape)
}
"""


def packed_attention_to_loop_mha(
    model: ir.Model, options: PackedAttentionToLoopMHA, operation: Operation
) -> int:
    """The loop takes the place of each node, as a function that is put in line."""
    found = [node for node in nodes(model, _KIND) if node.domain == _DOMAIN]
    if not found:
        return 0
    if any(function.domain != _DOMAIN for function in model.functions.values()):
        raise UserError("The graph has functions of its own.", "Export it without, or have them put in line.")
    proto = onnx.parser.parse_function(_LOOP % model.opset_imports.get("", 20))
    function = ir.serde.deserialize_function(proto)
    model.functions[function.identifier()] = function
    model.opset_imports.setdefault(MICROSOFT, 1)
    InlinePass()(model)
    RemoveUnusedOpsetsPass()(model)
    return len(found)
