"""Quantization to integers by onnxruntime's own quantizers: dynamic, over a graph without its weights, and
static, by calibration."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir

from modelpress.api import Artifact, JSONValue, PassContext, PassError
from modelpress_plugins.onnx_graph.facts import ValueFacts
from modelpress_plugins.onnx_graph.feeds import Feeder, tokenizer_of
from modelpress_plugins.onnx_graph.graph import Form, from_proto, located, open_graph, write_graph
from modelpress_plugins.onnx_graph.inputs import numpy_type
from modelpress_plugins.onnx_graph.press import press
from modelpress_plugins.onnx_graph.tensors import DTYPES
from modelpress_plugins.onnx_quantize.calibration import Rows
from modelpress_plugins.onnx_quantize.config import IntegerOptions, OnnxQuantizationConfig, StaticOptions
from modelpress_plugins.onnx_quantize.dynamic import DynamicChoice, quantize_dynamic
from modelpress_plugins.onnx_quantize.opset import opset_of, raise_opset
from modelpress_plugins.onnx_quantize.prepare import prepare
from modelpress_plugins.onnx_quantize.static import quantize_static


def dynamic(model: Artifact, config: IntegerOptions, ctx: PassContext) -> Artifact:
    """For PassSpec.run of OnnxDynamicQuantization."""

    def change(graph: ir.Model) -> ir.Model:
        proto, folder = _ready(graph, config, ctx)
        choice = DynamicChoice(
            str(getattr(config, "precision", "int8")),
            config.op_types_to_quantize or (),
            config.nodes_to_quantize or (),
            excluded_nodes(proto, config),
            config.per_channel,
            config.reduce_range,
            extra_options(config, _OF_BOTH),
        )
        with _told():
            return quantize_dynamic(proto, folder, choice)

    return press(model, config, ctx, change, exact=False)


def static(model: Artifact, config: StaticOptions, ctx: PassContext) -> Artifact:
    """For PassSpec.run of OnnxStaticQuantization."""
    data = ctx.data("calibration")
    target = ctx.accelerator.execution_provider
    numbers = itertools.count()

    def change(graph: ir.Model) -> ir.Model:
        proto, folder = _ready(graph, config, ctx)
        excluded, number = excluded_nodes(proto, config), next(numbers)
        source, out = (ctx.scratch / f"{name}{number}" / "model.onnx" for name in ("source", "out"))
        out.parent.mkdir()
        write_graph(from_proto(proto, folder), source, Form(external=True))
        feeder = Feeder(values_of(proto), numpy_type)
        rows = Rows(
            lambda: feeder.from_data(data, lambda: tokenizer_of(model)),
            lambda count: ctx.progress(count, 0, "samples"),
        )
        extra = extra_options(config, {**_OF_BOTH, **_OF_STATIC})
        with _told():
            quantize_static(source, out, rows, config, excluded, extra, target)
        ctx.report("calibration_samples", rows.count)
        return open_graph(out)

    return press(model, config, ctx, change, exact=False)


def either(model: Artifact, config: OnnxQuantizationConfig, ctx: PassContext) -> Artifact:
    """For PassSpec.run of OnnxQuantization."""
    return (dynamic if config.quant_mode == "dynamic" else static)(model, config, ctx)


def _ready(graph: ir.Model, config: IntegerOptions, ctx: PassContext) -> tuple[onnx.ModelProto, Path]:
    """The graph as onnxruntime's quantizers take it, and where its weights lie."""
    if opset_of(graph) < OLDEST:
        graph = raise_opset(graph, OLDEST, ctx)
    proto, folder = located(graph)
    if config.quant_preprocess:
        proto = prepare(proto, folder, ctx.scratch, ctx.note)
    return proto, folder


@contextmanager
def _told() -> Iterator[None]:
    """What onnxruntime's quantizers raise, as an error of the pass."""
    try:
        yield
    except (ValueError, RuntimeError, KeyError, AssertionError, AttributeError, TypeError) as error:
        told = str(error) or type(error).__name__
        raise PassError(f"onnxruntime's quantizer gave up: {told}.", _ADVICE) from error


def values_of(proto: onnx.ModelProto) -> list[ValueFacts]:
    """The inputs that a graph asks for."""
    held = {tensor.name for tensor in proto.graph.initializer}
    return [
        ValueFacts(value.name, DTYPES.get(value.type.tensor_type.elem_type, ""), _dims(value))
        for value in proto.graph.input
        if value.name not in held
    ]


def _dims(value: onnx.ValueInfoProto) -> tuple[int | str, ...] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(dim.dim_value or dim.dim_param for dim in kind.shape.dim)


OLDEST = 11
"""The first opset whose graphs onnxruntime's quantizers take as they are."""
_ADVICE = "Exclude the node by nodes_to_exclude, or its operator by op_types_to_exclude."
_OF_BOTH = {"activation_symmetric": "ActivationSymmetric", "weight_symmetric": "WeightSymmetric"}
_OF_STATIC = {"min_real_range": "MinimumRealRange", "tensor_quant_overrides": "TensorQuantOverrides"}
"""Options of ours that onnxruntime's quantizer has among its extra ones."""


def excluded_nodes(proto: onnx.ModelProto, config: IntegerOptions) -> tuple[str, ...]:
    """Nodes that are named, and those of excluded operators."""
    operators = set(config.op_types_to_exclude or ()) if not config.op_types_to_quantize else set()
    by_operator = [node.name for node in proto.graph.node if node.op_type in operators]
    return (*(config.nodes_to_exclude or ()), *by_operator)


def extra_options(config: IntegerOptions, names: Mapping[str, str]) -> dict[str, JSONValue]:
    """Under the names of onnxruntime's quantizer. Options of ours count for more."""
    own: dict[str, JSONValue] = {name: getattr(config, option) for option, name in names.items()}
    return {**(config.extra_options or {}), **{name: v for name, v in own.items() if v is not None}}
