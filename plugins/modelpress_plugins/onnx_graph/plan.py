"""The plan that all passes on graphs share: what is known of graphs, and what is wrong with them. Light."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from modelpress.api import ArrayFacts, JSONValue, ModelFacts, PlanContext, UserError
from modelpress_plugins.onnx_graph.config import GraphOptions
from modelpress_plugins.onnx_graph.facts import GraphFacts, ValueFacts, leads_out, values_from
from modelpress_plugins.onnx_graph.folder import graph_names, meta_of_result, with_summaries
from modelpress_plugins.onnx_graph.runtime import unknown_operators
from modelpress_plugins.onnx_graph.text_inputs import is_made, takes_text

GRAPHS, TOKENIZER = "graphs", "tokenizer"
"""In ModelFacts.config: what the graphs are like; whether a tokenizer lies beside them."""
_LIBRARIES = 300 * 2**20
"""Bytes of a process that has imported onnx, onnxruntime and sympy, with room for strips."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a plan knows of one graph, made or not. weights: bytes by type; operators, functions: as in
    GraphFacts."""

    inputs: tuple[ValueFacts, ...]
    outputs: tuple[ValueFacts, ...]
    opsets: Mapping[str, int]
    operators: Mapping[str, int]
    weights: Mapping[str, int]
    functions: frozenset[str]


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
                frozenset(
                    map(str, functions if isinstance(functions := summary.get("functions"), list) else ())
                ),
            )
    return found


def plan_graphs(model: ModelFacts, config: GraphOptions, ctx: PlanContext) -> ModelFacts:
    """Tell what is wrong for any pass on graphs; the facts of a result that is like its source."""
    check_io(known_graphs(model).values(), config, ctx)
    check_operators(model, ctx)
    check_data_name(model, config, ctx)
    ctx.needs(memory=_LIBRARIES)
    return replace(model, path=None, identity="", size=model.size, meta=meta_of_result(model.meta), base=None)


def check_operators(model: ModelFacts, ctx: PlanContext) -> None:
    """Operators that nothing here runs: a pass that proves its result has to."""
    for name, graph in known_graphs(model).items():
        for message, hint in unknown_operators(name, graph, model.meta):
            ctx.problem(message, hint)


def check_data_name(model: ModelFacts, config: GraphOptions, ctx: PlanContext) -> None:
    """The file of weights is one file, in the folder, and none of the graphs."""
    name, graphs = config.external_data_name, known_graphs(model)
    if not name:
        return
    if len(graphs) > 1 and config.all_tensors_to_one_file:
        ctx.problem(
            f"external_data_name is one file, and the model has the graphs {', '.join(graphs)}.",
            "Leave it out: each graph gets a file of its own.",
            option="external_data_name",
        )
    if leads_out(name) or "/" in name or "\\" in name:
        ctx.problem(
            f"external_data_name is {name!r}, which is no file beside the graph.",
            "Give a plain file name.",
            option="external_data_name",
        )
    elif name in graphs:
        ctx.problem(
            f"external_data_name is {name!r}, the graph itself.",
            f"Call it {name}.data, or leave it out.",
            option="external_data_name",
        )


def without_operators(model: ModelFacts, gone: Collection[str]) -> ModelFacts:
    """What is known of the graphs once none of these operators is left, `domain::name`."""
    told = model.config.get(GRAPHS)
    if not gone or not isinstance(told, Mapping):
        return model
    kept = {
        name: {**summary, "operators": {k: v for k, v in summary["operators"].items() if k not in gone}}
        for name, summary in told.items()
        if isinstance(summary, Mapping) and isinstance(summary.get("operators"), Mapping)
    }
    return replace(model, config={**model.config, GRAPHS: {**told, **kept}})


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


def check_data(model: ModelFacts, ctx: PlanContext, role: str) -> None:
    """Whether the data have what every graph takes, as far as it is known: names, types, shapes."""
    facts = ctx.data(role)
    columns = facts.columns if facts else None
    if facts is None or not columns:
        return
    for name, graph in known_graphs(model).items():
        names = [value.name for value in graph.inputs]
        if not names:
            continue
        if takes_text(names) and not set(columns) & set(names):
            _check_tokenizer(model, ctx)
            continue
        lacking = [name for name in names if name not in columns and not is_made(name)]
        if lacking:
            ctx.problem(
                f"The data have the columns {', '.join(columns)}; {name} also takes {', '.join(lacking)}.",
                "Name the columns as the inputs.",
                option="data_config",
            )
        for value in graph.inputs:
            array = facts.arrays.get(value.name)
            if array is not None and (fault := _misfit(array, value)):
                ctx.problem(
                    f"The data give {value.name} as {array}; {name} takes {fault}.",
                    "Give each row the type and shape of the input, with or without its first dimension.",
                    option="data_config",
                )


def _check_tokenizer(model: ModelFacts, ctx: PlanContext) -> None:
    """Text has to be tokenized by somebody."""
    if model.config.get(TOKENIZER) is False:
        ctx.problem(
            "The data are text, and beside the model there is no tokenizer.",
            "Put tokenizer.json and tokenizer_config.json into its folder and name the folder in model_path, "
            "or give data with columns called as the inputs.",
            option="data_config",
        )


def _misfit(array: ArrayFacts, value: ValueFacts) -> str:
    """What the input takes instead; empty where the array fits."""
    told = f"{value.dtype} {[dim or '?' for dim in value.dims or ()]}".replace("'", "")
    whole, given = ("bool", "int", "uint"), array.dtype
    if (given == "string") != (value.dtype == "string"):
        return told
    if value.dtype.startswith(whole) and not given.startswith(whole):
        return told
    if value.dims is None:
        return ""
    shape = array.shape if len(array.shape) != len(value.dims) - 1 else (1, *array.shape)
    fits = len(shape) == len(value.dims) and all(
        isinstance(dim, str) or size < 0 or dim == size for dim, size in zip(value.dims, shape, strict=True)
    )
    return "" if fits else told


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
