"""What can be said of these passes before any work. Light."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from modelpress.api import JSONValue, ModelFacts, PlanContext, nearest
from modelpress_plugins.onnx.pass_config import (
    FixedShapeOptions,
    IoTypesOptions,
    MetadataOptions,
    PeepholeOptions,
    SessionTuningOptions,
)
from modelpress_plugins.onnx_graph.facts import ValueFacts
from modelpress_plugins.onnx_graph.folder import meta_of_result
from modelpress_plugins.onnx_graph.plan import GRAPHS, Known, check_operators, known_graphs, plan_graphs
from modelpress_plugins.onnx_graph.tensors import DTYPES


def io_types(model: ModelFacts, config: IoTypesOptions, ctx: PlanContext) -> ModelFacts:
    """For PassSpec.plan of OnnxIODataTypeConverter."""
    facts = plan_graphs(model, config, ctx)
    for option in ("source_dtype", "target_dtype"):
        if (number := getattr(config, option)) not in DTYPES:
            ctx.problem(
                f"onnx has no type with the number {number}.",
                "1 is float32, 10 float16, 16 bfloat16, 6 int32, 7 int64.",
                option=option,
            )
    try:
        re.compile(config.name_pattern)
    except re.error as error:
        ctx.problem(f"name_pattern is no regular expression: {error}.", option="name_pattern")
        return facts
    kind = DTYPES.get(config.source_dtype, "")
    graphs = known_graphs(model)
    ends = [value for graph in graphs.values() for value in (*graph.inputs, *graph.outputs)]
    fitting = [v for v in ends if v.dtype == kind and re.search(config.name_pattern, v.name)]
    if graphs and not fitting and config.require_change:
        told = ", ".join(f"{value.name} ({value.dtype})" for value in ends)
        ctx.problem(
            f"No input or output of type {kind} matches {config.name_pattern!r}: the model has {told}.",
            option="name_pattern",
        )
    new = DTYPES.get(config.target_dtype, "")
    return _with_ends(facts, lambda v: replace(v, dtype=new) if v in fitting else v)


def fixed_shape(model: ModelFacts, config: FixedShapeOptions, ctx: PlanContext) -> ModelFacts:
    """For PassSpec.plan of DynamicToFixedShape."""
    facts = plan_graphs(model, config, ctx)
    graphs = known_graphs(model)
    if bool(config.dim_param) == bool(config.input_name):
        ctx.problem(
            "Give either dim_param with dim_value, or input_name with input_shape.",
            option="input_name" if config.input_name else "",
        )
        return facts
    names, values, option = (
        (config.dim_param, config.dim_value, "dim_value")
        if config.dim_param
        else (config.input_name, config.input_shape, "input_shape")
    )
    if len(names or ()) != len(values or ()):
        ctx.problem(
            f"There are {len(names or ())} names, and {len(values or ())} entries of {option}.", option=option
        )
        return facts
    if graphs:
        (_check_dims if config.dim_param else _check_inputs)(graphs, config, ctx)
    fixed = fixed_dims(config, [value for graph in graphs.values() for value in graph.inputs])
    facts = _with_ends(facts, lambda value: _fix(value, fixed, config))
    free = [
        f"{value.name} {list(value.dims or ())}"
        for graph in known_graphs(facts).values()
        for value in graph.inputs
        if value.dynamic
    ]
    if free and ctx.accelerator.device == "npu":
        ctx.problem(
            f"Nothing fixes every dimension of {', '.join(free)}, and {ctx.accelerator.execution_provider} "
            "runs graphs of fixed shapes alone.",
            "Name all of them.",
            option=option,
        )
    elif free:
        ctx.note(f"Nothing fixes every dimension of {', '.join(free)}: they stay dynamic.")
    return facts


def fixed_dims(config: FixedShapeOptions, inputs: list[ValueFacts]) -> dict[str, int]:
    """Names of dimensions -> numbers: as given, or by the shapes of inputs."""
    if config.dim_param:
        return dict(zip(config.dim_param, config.dim_value or (), strict=False))
    given = dict(zip(config.input_name or (), config.input_shape or (), strict=False))
    return {
        dim: size
        for value in inputs
        for dim, size in zip(value.dims or (), given.get(value.name, ()), strict=False)
        if isinstance(dim, str) and dim
    }


def _fix(value: ValueFacts, fixed: Mapping[str, int], config: FixedShapeOptions) -> ValueFacts:
    given = dict(zip(config.input_name or (), config.input_shape or (), strict=False))
    if value.name in given:
        return replace(value, dims=given[value.name])
    if value.dims is None:
        return value
    return replace(value, dims=tuple(fixed.get(d, d) if isinstance(d, str) else d for d in value.dims))


def _check_dims(graphs: Mapping[str, Known], config: FixedShapeOptions, ctx: PlanContext) -> None:
    ends = [value for graph in graphs.values() for value in (*graph.inputs, *graph.outputs)]
    known = sorted({dim for value in ends for dim in value.dims or () if isinstance(dim, str) and dim})
    unnamed = any(dim == "" for value in ends for dim in value.dims or ())
    for name in config.dim_param or ():
        if name not in known:
            hint = f"It has {', '.join(known)}." if known else "No dimension of it has a name."
            if unnamed:
                hint += " Those without a name are fixed by input_name and input_shape."
            close = nearest(name, known)
            ctx.problem(
                f"No input or output has a dimension {name!r}."
                + (f" Did you mean {close!r}?" if close else ""),
                hint,
                option="dim_param",
            )


def _check_inputs(graphs: Mapping[str, Known], config: FixedShapeOptions, ctx: PlanContext) -> None:
    known = {value.name: value for graph in graphs.values() for value in graph.inputs}
    for name, shape in zip(config.input_name or (), config.input_shape or (), strict=False):
        value = known.get(name)
        if value is None:
            ctx.problem(
                f"The model has no input {name!r}.", f"It has {', '.join(known)}.", option="input_name"
            )
        elif value.dims is not None and (
            len(value.dims) != len(shape)
            or any(isinstance(d, int) and d != s for d, s in zip(value.dims, shape, strict=True))
        ):
            ctx.problem(
                f"The input {name!r} is {list(value.dims)}, and cannot become {list(shape)}.",
                option="input_shape",
            )


def peephole(model: ModelFacts, config: PeepholeOptions, ctx: PlanContext) -> ModelFacts:
    """For PassSpec.plan of OnnxPeepholeOptimizer."""
    if config.onnxoptimizer_optimize and "onnxoptimizer_optimize" in config.model_fields_set:
        ctx.note("onnxoptimizer is not run: onnxscript's optimizer does what it does, and streams.")
    return replace(plan_graphs(model, config, ctx), config={})


def metadata(model: ModelFacts, config: MetadataOptions, ctx: PlanContext) -> ModelFacts:
    """For PassSpec.plan of AddOliveMetadata."""
    if not config.graph_name.strip():
        ctx.problem("graph_name is empty.", "Give the graph a name.", option="graph_name")
    return plan_graphs(model, config, ctx)


def session_tuning(model: ModelFacts, config: SessionTuningOptions, ctx: PlanContext) -> ModelFacts:
    """For PassSpec.plan of OrtSessionParamsTuning."""
    here, named = ctx.accelerator, config.providers_list
    names = (named,) if isinstance(named, str) else named or ()
    if names and here.execution_provider not in names:
        ctx.problem(
            f"The model is for {here.execution_provider}, and providers_list names {', '.join(names)}.",
            "Set the accelerator of the target: what is tried is what it is for.",
            option="providers_list",
        )
    if config.device and config.device.lower() != here.device:
        ctx.problem(f"The model is for a {here.device}, and device is {config.device!r}.", option="device")
    check_operators(model, ctx)
    if not ctx.target_is_here:
        ctx.note(f"There is no {here.execution_provider} here: nothing can be timed, and the settings stay.")
    return replace(model, path=None, identity="", meta=meta_of_result(model.meta), base=None)


def _with_ends(model: ModelFacts, change: Callable[[ValueFacts], ValueFacts]) -> ModelFacts:
    """The facts with inputs and outputs changed."""
    graphs = model.config.get(GRAPHS)
    if not isinstance(graphs, Mapping):
        return model
    known = known_graphs(model)
    changed: dict[str, JSONValue] = {}
    for name, summary in graphs.items():
        ends = {
            key: [
                {"name": v.name, "dtype": v.dtype, "dims": None if v.dims is None else list(v.dims)}
                for v in map(change, getattr(known[name], key))
            ]
            for key in ("inputs", "outputs")
        }
        changed[name] = {**summary, **ends}
    return replace(model, config={**model.config, GRAPHS: changed})
