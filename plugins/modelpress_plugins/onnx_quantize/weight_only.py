"""Replace MatMul and Gather by their block-quantized kin, as onnxruntime's MatMulNBitsQuantizer does.

Nodes and initializers get the names that it gives. Nothing is computed here: the new initializers are
computed when they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import onnx_ir as ir

from modelpress_plugins.onnx_quantize.blocks import Blocks, Quantizer
from modelpress_plugins.onnx_quantize.choice import Choice
from modelpress_plugins.onnx_quantize.codes import Together, code_weight
from modelpress_plugins.onnx_quantize.embeddings import code_table, table_shapes
from modelpress_plugins.onnx_quantize.weights import Weight, as_matrix

MICROSOFT = "com.microsoft"
INT4_IR_VERSION = 10
"""The IR version that knows tensors of 4 bits."""

Attributes: TypeAlias = dict[str, int]
BlocksOf: TypeAlias = Callable[[str], Blocks]
"""By name of a node."""


@dataclass(slots=True)
class WeightOnly:
    """One quantization of a graph.

    quantize: of the weights of MatMul
    accuracy_level: of MatMulNBits; 0 leaves it out
    """

    choice: Choice
    blocks_of: BlocksOf
    quantize: Quantizer
    accuracy_level: int = 0
    _made: dict[tuple[int, Blocks, str], list[ir.Value]] = field(default_factory=dict)

    def apply(self, model: ir.Model) -> int:
        """Change the graph in place; how many nodes were replaced."""
        changed = 0
        for node in list(model.graph.all_nodes()):
            if not self.choice.takes(node.op_type, node.name or "") or node.domain not in ("", "ai.onnx"):
                continue
            replacement = self._matmul(node) if node.op_type == "MatMul" else self._gather(node)
            if replacement is not None:
                replace(node, replacement)
                changed += 1
        if changed:
            model.graph.opset_imports.setdefault(MICROSOFT, 1)
            if any(value.dtype in _FOUR_BITS for value in self._values()):
                model.ir_version = max(model.ir_version, INT4_IR_VERSION)
            drop_unused(model)
        return changed

    def _values(self) -> Iterator[ir.Value]:
        for values in self._made.values():
            yield from values

    def _matmul(self, node: ir.Node) -> ir.Node | None:
        weight = constant(node, 1)
        matrix = as_matrix(weight)
        if weight is None or matrix is None or not _keeps_rank(node, matrix):
            return None
        blocks = self.blocks_of(node.name or "")
        inputs, outputs = matrix.shape
        attributes = {"K": inputs, "N": outputs, "bits": blocks.bits, "block_size": blocks.size}
        if self.accuracy_level:
            attributes["accuracy_level"] = self.accuracy_level
        coded = self._shared(weight, blocks, "MatMul", lambda: self._coded_matrix(weight, matrix, blocks))
        return _like(node, "MatMulNBits", [node.inputs[0], *coded], attributes, f"_Q{blocks.bits}")

    def _gather(self, node: ir.Node) -> ir.Node | None:
        table = constant(node, 0)
        matrix = as_matrix(table)
        axis = node.attributes.get_int("axis", 0)
        if table is None or matrix is None or len(matrix.tensor.shape) != 2 or axis != 0:
            return None
        blocks = self.blocks_of(node.name or "")
        if blocks.bits == 2:
            return None  # the operator has 4 and 8
        attributes = {"gather_axis": axis, "quantize_axis": 1, "block_size": blocks.size}
        if blocks.bits == 8:
            attributes["bits"] = 8
        coded = self._shared(table, blocks, "Gather", lambda: _coded_table(table, matrix, blocks))
        inputs = [coded[0], node.inputs[1], *coded[1:]]
        return _like(node, "GatherBlockQuantized", inputs, attributes, f"_Q{blocks.bits}")

    def _shared(
        self, source: ir.Value, blocks: Blocks, use: str, make: Callable[[], list[ir.Value]]
    ) -> list[ir.Value]:
        """The same initializers for all nodes that use a weight alike."""
        key = (id(source), blocks, use)
        if key not in self._made:
            made = make()
            for value in made:
                register(source, value)
            self._made[key] = made
        return self._made[key]

    def _coded_matrix(self, weight: ir.Value, matrix: Weight, blocks: Blocks) -> list[ir.Value]:
        inputs, outputs = matrix.shape
        together = Together(lambda: code_weight(matrix, blocks, self.quantize))
        shapes = {
            "packed": (f"_Q{blocks.bits}", ir.DataType.UINT8, blocks.packed_shape(inputs, outputs)),
            "scales": ("_scales", matrix.dtype, blocks.scales_shape(inputs, outputs)),
            "zeros": ("_zero_points", ir.DataType.UINT8, blocks.zeros_shape(inputs, outputs)),
        }
        return _values(weight, together, shapes, blocks)


def _coded_table(table: ir.Value, matrix: Weight, blocks: Blocks) -> list[ir.Value]:
    together = Together(lambda: code_table(matrix, blocks))
    rows, columns = matrix.shape
    whole, scales = table_shapes(rows, columns, blocks)
    coded = ir.DataType.UINT8
    if blocks.bits == 4:
        coded = ir.DataType.INT4 if blocks.symmetric else ir.DataType.UINT4
    shapes = {
        "packed": (f"_Q{blocks.bits}", coded, whole),
        "scales": ("_scales", matrix.dtype, scales),
        "zeros": ("_zero_points", coded, scales),
    }
    return _values(table, together, shapes, blocks)


_FOUR_BITS = (ir.DataType.INT4, ir.DataType.UINT4)


def _values(
    source: ir.Value,
    together: Together,
    shapes: Mapping[str, tuple[str, ir.DataType, tuple[int, ...]]],
    blocks: Blocks,
) -> list[ir.Value]:
    made = []
    for part, (suffix, dtype, shape) in shapes.items():
        if part != "zeros" or not blocks.symmetric:
            tensor = together.tensor(part, f"{source.name}{suffix}", dtype, shape)
            made.append(initializer(tensor))
    return made


def initializer(tensor: ir.TensorProtocol) -> ir.Value:
    """A value that is a tensor, not yet in a graph."""
    shape = ir.Shape(tensor.shape.numpy())
    return ir.Value(name=tensor.name, shape=shape, type=ir.TensorType(tensor.dtype), const_value=tensor)


def register(source: ir.Value, value: ir.Value) -> None:
    """Put an initializer into the graph that a weight is in. A name that is taken there gets a number."""
    graph = source.graph
    if not isinstance(graph, ir.Graph):
        raise ValueError(f"{source.name} is in no graph")
    name, number = value.name, 0
    while value.name in graph.initializers:
        number += 1
        value.name = f"{name}_{number}"
    graph.register_initializer(value)


def constant(node: ir.Node, place: int) -> ir.Value | None:
    """The input at that place, where it is an initializer of this graph or one around it."""
    value = node.inputs[place] if len(node.inputs) > place else None
    return value if value is not None and value.is_initializer() else None


def _keeps_rank(node: ir.Node, matrix: Weight) -> bool:
    """Whether the result has as many dimensions when leading ones of the weight are left out."""
    rank = len(matrix.tensor.shape)
    given = node.inputs[0].shape if node.inputs[0] is not None else None
    return rank == 2 or (given is not None and len(given) >= rank)


def _like(
    node: ir.Node, operator: str, inputs: list[ir.Value | None], attributes: Attributes, suffix: str
) -> ir.Node:
    name = f"{node.name}{suffix}" if node.name else ""
    return ir.node(operator, inputs, attributes, domain=MICROSOFT, name=name)


def replace(node: ir.Node, *replacements: ir.Node) -> None:
    """Put nodes in the place of one; the last gives its output, under its name."""
    old, new = node.outputs[0], replacements[-1].outputs[0]
    name = old.name
    graph = node.graph
    if graph is None:
        raise ValueError(f"{node.name} is in no graph")
    ir.convenience.replace_nodes_and_values(graph, node, [node], replacements, [old], [new])
    new.name = name


def drop_unused(model: ir.Model) -> None:
    """Take out initializers that nothing uses any more, and inputs that stood for them."""
    for graph in (model.graph, *model.graph.subgraphs()):
        for name, value in list(graph.initializers.items()):
            if not value.uses() and not value.is_graph_output():
                del graph.initializers[name]
                if value.is_graph_input():
                    graph.inputs.remove(value)
