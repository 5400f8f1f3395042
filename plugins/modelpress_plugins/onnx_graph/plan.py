"""The plan that all passes on graphs share: what is known of graphs, and what is wrong with them. Light."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from modelpress.api import JSONValue, ModelFacts, PlanContext, UserError
from modelpress_plugins.onnx_graph.config import GraphOptions
from modelpress_plugins.onnx_graph.facts import GraphFacts, ValueFacts, values_from
from modelpress_plugins.onnx_graph.folder import graph_names, meta_of_result, with_summaries

GRAPHS = "graphs"
_LIBRARIES = 300 * 2**20
"""Bytes of a process that has imported onnx, onnxruntime and sympy, with room for strips."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a plan knows of one graph, made or not. weights: bytes by type; operators: as in GraphFacts."""

    inputs: tuple[ValueFacts, ...]
    outputs: tuple[ValueFacts, ...]
    opsets: Mapping[str, int]
    operators: Mapping[str, int]
    weights: Mapping[str, int]


def graphs_config(graphs: Mapping[str, GraphFacts]) -> dict[str, JSONValue]:
    """For ModelFacts.config: what later plans need of the graphs, as JSON."""
    return {GRAPHS: {name: facts.summary() for name, facts in graphs.items()}}


def known_graphs(model: ModelFacts) -> dict[str, Known]:
    """What is known of a model's graphs, by file; empty where only a run will tell."""
    told = model.config.get(GRAPHS)
    if not isinstance(told, Mapping) and model.path is not None:
        try:
            names = graph_names(model.path, model.format, model.meta)
            told = graphs_config(with_summaries(model.path, names))[GRAPHS]
        except UserError:
            return {}
    found = {}
    for name, summary in told.items() if isinstance(told, Mapping) else ():
        if isinstance(summary, Mapping):
            found[str(name)] = Known(
                values_from(summary.get("inputs")),
                values_from(summary.get("outputs")),
                _numbers(summary.get("opsets")),
                _numbers(summary.get("operators")),
                _numbers(summary.get("weights")),
            )
    return found


def plan_graphs(model: ModelFacts, config: GraphOptions, ctx: PlanContext) -> ModelFacts:
    """Tell what is wrong for any pass on graphs; the facts of a result that is like its source."""
    check_io(known_graphs(model).values(), config, ctx)
    ctx.needs(memory=_LIBRARIES)
    return replace(model, path=None, identity="", size=model.size, meta=meta_of_result(model.meta), base=None)


def check_io(graphs: Iterable[Known], config: GraphOptions, ctx: PlanContext) -> None:
    """io_config has to fit the inputs that a graph has."""
    told = config.io_config
    names = told.input_names if told else None
    if told is None or not names:
        return
    known = {value.name: value for graph in graphs for value in graph.inputs}
    for index, name in enumerate(names):
        value = known.get(name)
        if known and value is None:
            ctx.problem(
                f"The model has no input {name!r}.",
                f"It has {', '.join(sorted(known))}.",
                option="io_config.input_names",
            )
        shape = told.input_shapes[index] if told.input_shapes and index < len(told.input_shapes) else None
        if value is not None and shape is not None and not _fits(shape, value):
            ctx.problem(
                f"The input {name!r} is {list(value.dims or ())}, io_config says {list(shape)}.",
                option="io_config.input_shapes",
            )


def _fits(shape: tuple[int, ...], value: ValueFacts) -> bool:
    dims = value.dims
    if dims is None:
        return True
    return len(dims) == len(shape) and all(
        isinstance(dim, str) or dim == size for dim, size in zip(dims, shape, strict=True)
    )


def _numbers(told: object) -> dict[str, int]:
    pairs = told.items() if isinstance(told, Mapping) else ()
    return {str(key): value for key, value in pairs if isinstance(value, int)}
