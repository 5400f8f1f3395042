"""Surgeons of attention: its mask, its lengths, its tables of angles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from modelpress.api import UserError
from modelpress_plugins.graph_surgeries.edit import (
    Array,
    Feeds,
    Operation,
    constant_of,
    drop_unused,
    initializer,
    nodes,
    producer,
    remove_unused,
    scalar_of,
)
from modelpress_plugins.graph_surgeries.surgeons import (
    AttentionMaskToSequenceLengths,
    RemoveRopeMultiCache,
    ReplaceAttentionMaskValue,
)
from modelpress_plugins.onnx_graph.graph import MadeTensor, initializers, strips

_GQA = "GroupQueryAttention"
_MASK, _PAST, _TOTAL = "attention_mask", "past_seq_len", "total_seq_len"
_MASK_READERS = {"Add", "Mul", "Expand", "Where", "Shape"}
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)
_TABLES = {_GQA: (7, 8), "RotaryEmbedding": (2, 3)}
"""Inputs that are tables of cosines and sines, by kind of node."""


def replace_attention_mask_value(
    model: ir.Model, options: ReplaceAttentionMaskValue, operation: Operation
) -> int:
    """Constants, ConstantOfShape and initializers that only Add, Mul, Expand, Where and Shape read."""
    count = 0
    for node in nodes(model, "Constant", "ConstantOfShape"):
        attribute = node.attributes.get("value")
        if attribute is None or attribute.type != ir.AttributeType.TENSOR or not _is_mask(node.outputs[0]):
            continue
        tensor = attribute.as_tensor()
        if tensor.dtype in _FLOATS and _is_below(tensor.numpy(), options.threshold):
            raised = ir.Tensor(_raised(np.asarray(tensor.numpy()), options), name=tensor.name)
            node.attributes["value"] = ir.AttrTensor("value", raised)
            count += 1
    for value in list(initializers(model)):
        found = value.const_value
        if found is None or found.dtype not in _FLOATS or not _is_mask(value):
            continue
        if any(_is_below(strip, options.threshold) for strip in strips(found)):
            value.const_value = _raised_tensor(found, options)
            count += 1
    return count


def _is_mask(value: ir.Value) -> bool:
    uses = list(value.uses())
    return bool(uses) and all(use.node.op_type in _MASK_READERS for use in uses)


def _is_below(values: Array, threshold: float) -> bool:
    return bool(np.any(np.less(values, threshold)))


def _raised(values: Array, options: ReplaceAttentionMaskValue) -> Array:
    return np.where(np.less(values, options.threshold), options.replacement, values).astype(values.dtype)


def _raised_tensor(tensor: ir.TensorProtocol, options: ReplaceAttentionMaskValue) -> MadeTensor:
    return MadeTensor(
        tensor.name or "",
        tensor.dtype,
        tuple(tensor.shape.numpy()),
        lambda: (_raised(strip, options) for strip in strips(tensor)),
    )


def remove_rope_multi_cache(model: ir.Model, options: RemoveRopeMultiCache, operation: Operation) -> int:
    """If(longer than the short table) -> one of its two pairs of tables, for every node that reads them."""
    chosen: dict[ir.Value, ir.Value] = {}
    changed: set[ir.Node] = set()
    longest = 0
    for node in nodes(model, *_TABLES):
        for index in _TABLES[node.op_type]:
            table = node.inputs[index] if len(node.inputs) > index else None
            branch = producer(table, "If")
            if table is None or branch is None:
                continue
            if table not in chosen:
                tensor = _table(branch, table, large=options.use_large_cache)
                name = "cos_cache_single" if index == _TABLES[node.op_type][0] else "sin_cache_single"
                chosen[table] = initializer(model, name, tensor)
                if not options.use_large_cache:
                    longest = min(tensor.shape.numpy()[0], _limit(branch) or tensor.shape.numpy()[0])
            node.replace_input_with(index, chosen[table])
            changed.add(node)
    for table in chosen:
        remove_unused(table)
    if longest:
        operation.longest = longest
        operation.tell(f"The model reads at most {longest} tokens now: the longer table is gone.")
    return len(changed)


def _table(branch: ir.Node, output: ir.Value, *, large: bool) -> ir.TensorProtocol:
    """What one of the branches gives at this output: the one whose name says so, else by its length."""
    index = output.index() or 0
    found: list[tuple[str, ir.TensorProtocol]] = []
    for graph in _branches(branch):
        value = graph.outputs[index]
        inner = value.producer()
        if inner is not None and inner.op_type == "Identity":
            value = inner.inputs[0] or value
        tensor = constant_of(value)
        if tensor is None:
            raise UserError(
                f"{branch.name} chooses between tables that are computed.", "It cannot be removed."
            )
        found.append((f"{value.name} {tensor.name}", tensor))
    word = "large" if large else "small"
    named = [tensor for name, tensor in found if word in name]
    by_length = sorted((tensor for _, tensor in found), key=lambda tensor: tensor.shape.numpy()[0])
    return named[0] if len(named) == 1 else by_length[-1 if large else 0]


def _branches(node: ir.Node) -> Iterator[ir.Graph]:
    return (attribute.as_graph() for attribute in node.attributes.values())


def _limit(branch: ir.Node) -> int:
    """The number of tokens up to which the short table is meant; 0 where that is not a comparison."""
    compared = producer(branch.inputs[0], "Greater")
    limit = scalar_of(compared.inputs[1]) if compared is not None else None
    return int(limit) if limit else 0


def attention_mask_to_sequence_lengths(
    model: ir.Model, options: AttentionMaskToSequenceLengths, operation: Operation
) -> int:
    """seqlens_k and total_sequence_length of each GroupQueryAttention become inputs of the graph; all that
    attention_mask went through is taken out, and the mask with it."""
    graph = model.graph
    attention = [node for node in nodes(model, _GQA) if len(node.inputs) > 6]
    mask = next((value for value in graph.inputs if value.name == _MASK), None)
    if not attention or mask is None:
        operation.tell(f"The graph has no {_GQA}, or no input {_MASK}.")
        return 0
    lengths = [(node.inputs[5], node.inputs[6]) for node in attention]
    other = _other_reader(mask, attention)
    if other:
        raise UserError(
            f"{_MASK} is needed by {other}, too.",
            "Where that chooses a table of angles, put RemoveRopeMultiCache in front.",
        )
    batch = mask.shape[0] if mask.shape is not None else 1
    past = ir.Value(name=_PAST, shape=ir.Shape([batch, 1]), type=ir.TensorType(ir.DataType.INT32))
    total = ir.Value(name=_TOTAL, shape=ir.Shape([]), type=ir.TensorType(ir.DataType.INT32))
    for node in attention:
        node.replace_input_with(5, past)
        node.replace_input_with(6, total)
    for pair in lengths:
        for value in pair:
            remove_unused(value)
    graph.inputs.remove(mask)
    graph.inputs.insert(0, past)
    graph.inputs.insert(0, total)
    drop_unused(mask)
    operation.change_inputs(_lengths)
    operation.removed_inputs.add(_MASK)
    return len(attention)


def _other_reader(mask: ir.Value, attention: list[ir.Node]) -> str:
    """A node, or output, that needs the mask beside the lengths of attention; empty where there is none."""
    seen: set[ir.Node] = set()
    waiting = [mask]
    while waiting:
        value = waiting.pop()
        if value.is_graph_output():
            return f"the output {value.name}"
        for use in value.uses():
            node = use.node
            if node in attention and use.idx in (5, 6):
                continue
            if node in attention or any(
                True for _ in node.attributes.values() if _.type == ir.AttributeType.GRAPH
            ):
                return node.name or node.op_type
            if node not in seen:
                seen.add(node)
                waiting.extend(node.outputs)
    return ""


def _lengths(feeds: Feeds) -> Feeds:
    """The two lengths that a mask says: as many as it lets through, less one; and its whole length."""
    mask = feeds[_MASK]
    kept = {name: array for name, array in feeds.items() if name != _MASK}
    past = (mask.astype(np.int64).sum(axis=1, keepdims=True) - 1).astype(np.int32)
    return kept | {_PAST: past, _TOTAL: np.array(mask.shape[1], np.int32)}
