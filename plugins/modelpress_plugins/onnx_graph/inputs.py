"""Inputs to try a graph with: of its own shapes and types, by chance, and the same ones each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from modelpress_plugins.onnx_graph.facts import ValueFacts

Array = npt.NDArray[np.generic]
_SIZES = (16, 64, 224, 512, 2, 1)
"""What a free dimension is tried with, one after the other; the first of a tensor is its batch, and 1."""
_PASSES_IDS_ON = ("Cast", "Unsqueeze", "Squeeze", "Reshape", "Identity", "Flatten")


def tries(
    inputs: Sequence[ValueFacts], given: Mapping[str, Sequence[int]]
) -> Iterator[dict[str, tuple[int, ...]]]:
    """Shapes for all inputs, the likelier ones first: one size for whatever is free, then for the last
    dimension of each alone. given: those that are known."""
    named = {
        dim: size
        for value in inputs
        if value.name in given
        for dim, size in zip(value.dims or (), given[value.name], strict=False)
        if isinstance(dim, str) and dim
    }
    seen = set[tuple[tuple[int, ...], ...]]()
    for size, everywhere in ((size, everywhere) for everywhere in (True, False) for size in _SIZES):
        shapes = {
            value.name: tuple(given[value.name])
            if value.name in given
            else tuple(
                _size_of(dim, i, size if everywhere or i == len(value.dims or ()) - 1 else 1, named)
                for i, dim in enumerate(value.dims or ())
            )
            for value in inputs
        }
        if (key := tuple(shapes.values())) not in seen:
            seen.add(key)
            yield shapes


def _size_of(dim: int | str, index: int, size: int, named: Mapping[str, int]) -> int:
    if isinstance(dim, int):
        return dim
    if dim in named:
        return named[dim]
    if index == 0 or "batch" in dim.lower():
        return 1
    return 0 if dim.lower().startswith("past") and "+" not in dim else size


def made_inputs(
    inputs: Sequence[ValueFacts],
    shapes: Mapping[str, Sequence[int]],
    limits: Mapping[str, int],
    seed: int,
) -> dict[str, Array]:
    """An array for each input. limits: how many different ids an input can hold, where that is known."""
    draw = np.random.default_rng(seed)
    return {
        value.name: _made(value, tuple(shapes[value.name]), limits.get(value.name, 2), draw)
        for value in inputs
    }


def _made(value: ValueFacts, shape: tuple[int, ...], limit: int, draw: np.random.Generator) -> Array:
    name = value.name.lower()
    if value.dtype == "string":
        return np.full(shape, "a", dtype=object)
    if value.dtype == "bool":
        return np.ones(shape, bool)
    kind = numpy_type(value.dtype)
    if np.issubdtype(kind, np.integer):
        if "mask" in name or "seqlens" in name:
            return np.ones(shape, kind)
        if "position" in name and shape:
            return np.broadcast_to(np.arange(shape[-1]), shape).astype(kind)
        return draw.integers(0, max(1, limit), shape).astype(kind)
    return draw.standard_normal(shape, np.float32).astype(kind)


def numpy_type(name: str) -> np.dtype[np.generic]:
    """numpy's type by onnx's name; ml_dtypes has those that numpy lacks."""
    return np.dtype(ir.DataType[_IR_NAMES.get(name, name.upper())].numpy())


_IR_NAMES = {"float32": "FLOAT", "float64": "DOUBLE"}


def id_limits(graph: ir.Model) -> dict[str, int]:
    """For inputs that are looked up in a table, how many rows it has."""
    found = {}
    for value in graph.graph.inputs:
        limit = _rows_looked_up(value, 0)
        if limit and value.name:
            found[value.name] = limit
    return found


def _rows_looked_up(value: ir.Value, depth: int) -> int:
    limits = []
    for node, index in value.uses():
        if node.op_type in ("Gather", "GatherBlockQuantized") and index == 1:
            table = node.inputs[0]
            rows = table.shape[node.attributes.get_int("axis", 0) or 0] if table and table.shape else None
            limits.append(rows if isinstance(rows, int) else 0)
        elif node.op_type in _PASSES_IDS_ON and depth < 4:
            limits.append(_rows_looked_up(node.outputs[0], depth + 1))
    return min((limit for limit in limits if limit), default=0)
