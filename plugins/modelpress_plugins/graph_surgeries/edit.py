"""What surgeons do a graph with: find nodes, make constants and nodes, put one value in another's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

MICROSOFT = "com.microsoft"
Array = npt.NDArray[np.generic]
Feeds = dict[str, Array]


def _silent(text: str) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class Operation:
    """One surgery under way: what a surgeon says of it, beside the number of nodes that it changed.

    tell: a sentence for the user: why something was left as it is
    """

    tell: Callable[[str], None] = _silent
    input_names: dict[str, str] = field(default_factory=dict)
    output_names: dict[str, str] = field(default_factory=dict)
    removed_inputs: set[str] = field(default_factory=set)
    longest: int = 0
    """Tokens that the model can still read, where a surgeon has limited them; 0 where none has."""
    _steps: list[Callable[[Feeds], Feeds]] = field(default_factory=list)

    def rename_inputs(self, names: Mapping[str, str]) -> None:
        """Inputs of the graph have other names now: old name -> new."""
        renamed = dict(names)
        self.input_names = _followed_by(self.input_names, renamed)
        self._steps.append(lambda feeds: {renamed.get(name, name): a for name, a in feeds.items()})

    def rename_outputs(self, names: Mapping[str, str]) -> None:
        """Outputs of the graph have other names now: old name -> new."""
        self.output_names = _followed_by(self.output_names, dict(names))

    def change_inputs(self, step: Callable[[Feeds], Feeds]) -> None:
        """The graph takes other inputs now: what they are, where the old ones were these."""
        self._steps.append(step)

    def feeds(self, feeds: Feeds) -> Feeds:
        """What the result is fed with, where the source is fed with these."""
        for step in self._steps:
            feeds = step(feeds)
        return feeds


def _followed_by(first: dict[str, str], second: dict[str, str]) -> dict[str, str]:
    """Both renamings, one after the other."""
    later = {old: new for old, new in second.items() if old not in first.values()}
    return {old: second.get(new, new) for old, new in first.items()} | later


def nodes(model: ir.Model, *kinds: str) -> Iterator[ir.Node]:
    """The nodes of these kinds, those of subgraphs too. The graph may be changed meanwhile."""
    found = [node for graph in model.graphs() for node in graph]
    return (node for node in found if node.op_type in kinds and node.graph is not None)


def fresh(model: ir.Model, wish: str) -> str:
    """A name that nothing in the model has: the wish itself, or with a number."""
    taken = {
        *(value.name for graph in model.graphs() for value in (*graph.inputs, *graph.initializers.values())),
        *(output.name for graph in model.graphs() for node in graph for output in node.outputs),
        *(node.name for graph in model.graphs() for node in graph),
    }
    number = 0
    name = wish
    while name in taken:
        number += 1
        name = f"{wish}_{number}"
    return name


def array_of(value: ir.Value | None) -> Array | None:
    """The numbers of a small constant, an initializer's or a Constant node's; None for what is computed."""
    tensor = constant_of(value)
    return None if tensor is None else np.asarray(tensor.numpy())


def constant_of(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Its tensor where it is constant: of a value that is no input of the graph as well."""
    if value is None or value.is_graph_input():
        return None
    return ir.convenience.get_const_tensor(value)


def scalar_of(value: ir.Value | None) -> float | None:
    """The number of a constant with one element."""
    array = array_of(value)
    return float(array.item()) if array is not None and array.size == 1 else None


def initializer(model: ir.Model, wish: str, tensor: Array | ir.TensorProtocol) -> ir.Value:
    """A new initializer of the main graph, which its subgraphs see, too."""
    made = ir.Tensor(tensor) if isinstance(tensor, np.ndarray) else tensor
    name = fresh(model, wish)
    made.name = name
    shape, kind = ir.Shape(made.shape.numpy()), ir.TensorType(made.dtype)
    value = ir.Value(name=name, shape=shape, type=kind, const_value=made)
    model.graph.register_initializer(value)
    return value


def insert(
    model: ir.Model,
    before: ir.Node,
    kind: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, int | float | str | Sequence[int]] | None = None,
    *,
    domain: str = "",
    name: str = "",
    like: ir.Value | None = None,
) -> ir.Value:
    """A new node with one output, in front of another. like: a value of the same type and shape."""
    told = fresh(model, name or f"{before.name or before.op_type}/{kind}")
    node = ir.node(kind, inputs, dict(attributes or {}), domain=domain, name=told)
    node.outputs[0].name = fresh(model, f"{told}/output_0")
    if like is not None:
        node.outputs[0].type, node.outputs[0].shape = like.type, like.shape
    if domain and domain not in model.opset_imports:
        model.opset_imports[domain] = 1
    _graph_of(before).insert_before(before, node)
    return node.outputs[0]


def replace(old: ir.Value, new: ir.Value) -> None:
    """Let whatever reads the old value read the new one; as an output of the graph, the new one has the old
    one's name, since that is what users ask for."""
    is_output = old.is_graph_output()
    name, kind, shape = old.name, old.type, old.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    if is_output:
        old.name = None
        new.name, new.type, new.shape = name, kind, shape


def remove(node: ir.Node) -> None:
    """Take out a node that nothing reads, and the initializers that it alone has read."""
    for value in _taken_out(node):
        drop_unused(value)


def remove_unused(value: ir.Value | None) -> None:
    """Take out what computes a value that nothing reads, and what that alone has read."""
    if value is None or value.uses() or value.is_graph_output():
        return
    node = value.producer()
    if node is None or node.graph is None:
        drop_unused(value)
        return
    if any(output.uses() or output.is_graph_output() for output in node.outputs):
        return
    for each in _taken_out(node):
        remove_unused(each)


def _taken_out(node: ir.Node) -> list[ir.Value]:
    """Take a node out of its graph; what it has read, inside its subgraphs too."""
    read = [value for value in node.inputs if value is not None]
    _graph_of(node).remove(node, safe=True)
    for attribute in node.attributes.values():
        if attribute.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
            continue
        below = [attribute.as_graph()] if attribute.type == ir.AttributeType.GRAPH else attribute.as_graphs()
        for inner in [inner for graph in below for inner in graph.all_nodes()]:
            read += [value for value in inner.inputs if value is not None]
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)
    return read


def drop_unused(value: ir.Value) -> None:
    """Take out an initializer that nothing reads."""
    graph = value.graph
    if graph is not None and value.is_initializer() and not value.uses() and not value.is_graph_output():
        graph.initializers.pop(value.name or "", None)


def only_user(value: ir.Value) -> ir.Node | None:
    """The one node that reads a value, where it is one and the value no output of the graph."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def producer(value: ir.Value | None, kind: str) -> ir.Node | None:
    """The node that gives a value, where it is of this kind."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == kind else None


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """Its shape where every dimension is a number."""
    if value is None or value.shape is None:
        return None
    dims = value.shape.dims
    return tuple(int(dim) for dim in dims if isinstance(dim, int)) if value.shape.is_static() else None


def integer(node: ir.Node, name: str, default: int) -> int:
    """An attribute of a node."""
    found = node.attributes.get_int(name, default)
    return default if found is None else found


def _graph_of(node: ir.Node) -> ir.Graph:
    graph = node.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"{node.name} stands in no graph")
    return graph
