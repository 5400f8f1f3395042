"""What is there twice. Nodes and initializers of subgraphs make a file no valid graph, which onnx_ir refuses:
they are mended as they are read. Weights that are equal are found by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import onnx
import onnx_ir as ir

from modelpress.api import UserError
from modelpress_plugins.graph_surgeries.edit import Operation
from modelpress_plugins.graph_surgeries.surgeons import DeduplicateNodes, DeduplicateSubgraphInitializers
from modelpress_plugins.onnx_graph.graph import pieces_of


def deduplicate_nodes(model: onnx.ModelProto, options: DeduplicateNodes, operation: Operation) -> int:
    """The first of the nodes that give one value stays. Raises UserError when they do not do the same."""
    return sum(_without_second_nodes(graph) for graph in _graphs(model.graph))


def deduplicate_subgraph_initializers(
    model: onnx.ModelProto, options: DeduplicateSubgraphInitializers, operation: Operation
) -> int:
    """The first initializer of a name stays. Raises UserError when another one differs."""
    graphs = _graphs(model.graph)
    next(graphs)
    return sum(_without_second_initializers(graph) for graph in graphs)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and all below it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for below in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _graphs(below)


def _without_second_nodes(graph: onnx.GraphProto) -> int:
    makers: dict[str, onnx.NodeProto] = {}
    kept = []
    for node in graph.node:
        seen = {name: makers[name] for name in node.output if name in makers}
        if not seen:
            kept.append(node)
            makers.update((name, node) for name in node.output if name)
            continue
        name, first = next(iter(seen.items()))
        if _told(first) != _told(node):
            raise UserError(
                f"Two nodes give {name!r}, and they differ: {_named(first)} and {_named(node)}.",
                "Which of them is right cannot be known: export the model again.",
            )
    removed = len(graph.node) - len(kept)
    if removed:
        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(kept)
    return removed


def _told(node: onnx.NodeProto) -> tuple[object, ...]:
    """All that decides what a node gives."""
    attributes = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
    return (node.op_type, node.domain, *node.input, "->", *node.output, *attributes)


def _named(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name!r}"


def _without_second_initializers(graph: onnx.GraphProto) -> int:
    kept: dict[str, onnx.TensorProto] = {}
    for tensor in graph.initializer:
        first = kept.setdefault(tensor.name, tensor)
        if first is not tensor and first.SerializeToString() != tensor.SerializeToString():
            raise UserError(
                f"A subgraph has two initializers {tensor.name!r}, and they differ.",
                "Which of them is right cannot be known: export the model again.",
            )
    removed = len(graph.initializer) - len(kept)
    if removed:
        tensors = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept.values()]
        del graph.initializer[:]
        graph.initializer.extend(tensors)
    return removed


def keep_one_of_equals(model: ir.Model) -> int:
    """Of initializers with the same type, shape and bytes one stays. Returns how many went. Only those that
    have a twin by shape are read, strip by strip."""
    graph = model.graph
    alike: dict[tuple[object, ...], list[ir.Value]] = {}
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is None or value.is_graph_output() or value.is_graph_input():
            continue
        alike.setdefault((tensor.dtype, tuple(tensor.shape.numpy())), []).append(value)
    count = 0
    for values in alike.values():
        first: dict[str, ir.Value] = {}
        for value in values if len(values) > 1 else ():
            kept = first.setdefault(_digest(value), value)
            if kept is not value:
                value.replace_all_uses_with(kept)
                graph.initializers.pop(value.name or "")
                count += 1
    return count


def _digest(value: ir.Value) -> str:
    state = hashlib.sha256()
    if value.const_value is not None:
        for piece in pieces_of(value.const_value):
            state.update(piece)
    return state.hexdigest()
