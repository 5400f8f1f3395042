"""Surgeons of what a graph is called by: names of inputs and outputs, and of their dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from modelpress.api import UserError, did_you_mean
from modelpress_plugins.graph_surgeries.edit import Operation
from modelpress_plugins.graph_surgeries.surgeons import (
    RenameInputDims,
    RenameInputs,
    RenameOutputDims,
    RenameOutputs,
)


def rename_inputs(model: ir.Model, options: RenameInputs, operation: Operation) -> int:
    """Each old name becomes the new one at the same place."""
    names = dict(zip(options.old_names, options.new_names, strict=True))
    count = _rename(model, model.graph.inputs, names, "input")
    operation.rename_inputs(names)
    return count


def rename_outputs(model: ir.Model, options: RenameOutputs, operation: Operation) -> int:
    """Each old name becomes the new one at the same place."""
    names = dict(zip(options.old_names, options.new_names, strict=True))
    count = _rename(model, model.graph.outputs, names, "output")
    operation.rename_outputs(names)
    return count


def rename_input_dims(model: ir.Model, options: RenameInputDims, operation: Operation) -> int:
    """A dimension of an input gets a name, so that it may have any size."""
    inputs = model.graph.inputs
    if options.input_name is None:
        value = _at(inputs, options.input_idx or 0, "input")
    else:
        value = _named(inputs, options.input_name, "input")
    return _rename_dim(value, options.dim_idx, options.dim_name)


def rename_output_dims(model: ir.Model, options: RenameOutputDims, operation: Operation) -> int:
    """A dimension of an output gets a name."""
    value = _at(model.graph.outputs, options.output_idx, "output")
    return _rename_dim(value, options.dim_idx, options.dim_name)


def _rename(model: ir.Model, values: Sequence[ir.Value], names: dict[str, str], what: str) -> int:
    found = [_named(values, name, what) for name in names]
    taken = {value.name for graph in model.graphs() for value in _values(graph)} - set(names)
    for new in names.values():
        if new in taken:
            raise UserError(f"The graph has a value {new!r} already.", f"Give the {what} another name.")
    for value in found:  # in two rounds: names may change places
        value.name = f"\0{value.name}"
    for value, new in zip(found, names.values(), strict=True):
        value.name = new
    return sum(old != new for old, new in names.items())


def _values(graph: ir.Graph) -> Iterable[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _named(values: Sequence[ir.Value], name: str, what: str) -> ir.Value:
    for value in values:
        if value.name == name:
            return value
    known = [str(value.name) for value in values]
    raise UserError(f"The graph has no {what} {name!r}.", did_you_mean(name, known, what="It has"))


def _at(values: Sequence[ir.Value], index: int, what: str) -> ir.Value:
    if index >= len(values):
        raise UserError(f"The graph has {len(values)} {what}s; there is none at {index} (counted from 0).")
    return values[index]


def _rename_dim(value: ir.Value, index: int, name: str) -> int:
    if value.shape is None or index >= len(value.shape):
        told = "an unknown shape" if value.shape is None else f"{len(value.shape)} dimensions"
        raise UserError(f"{value.name!r} has {told}; there is no dimension {index} (counted from 0).")
    dims = list(value.shape)
    changed = str(dims[index]) != name or isinstance(dims[index], int)
    dims[index] = ir.SymbolicDim(name)
    value.shape = ir.Shape(dims)
    return int(changed)
