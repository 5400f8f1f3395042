"""What can be told about quantizing a graph before any work. Light."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from modelpress.api import ModelFacts, PlanContext
from modelpress_plugins.onnx_graph.config import GraphOptions
from modelpress_plugins.onnx_graph.plan import GRAPHS, check_data, check_operators, known_graphs, plan_graphs
from modelpress_plugins.onnx_quantize.config import (
    IntegerOptions,
    MatMulNBitsToQDQConfig,
    OnnxBlockWiseRtnQuantizationConfig,
    OnnxBnb4QuantizationConfig,
    OnnxHqqQuantizationConfig,
    OnnxKQuantQuantizationConfig,
    OnnxQuantizationConfig,
    StaticOptions,
)
from modelpress_plugins.onnx_quantize.settings import bnb4_settings

_FLOATS = ("float32", "float16", "bfloat16")
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_QUANTIZED = ("com.microsoft::MatMulNBits", "com.microsoft::MatMulBnb4", "::MatMulInteger")
_BY_BLOCKS = ("::MatMul",)
_PER_CHANNEL = 13
"""The opset of QuantizeLinear with an axis."""
_FIXED_SHAPES = frozenset({"QNNExecutionProvider", "VitisAIExecutionProvider"})


def plan_nearest(
    model: ModelFacts, config: OnnxBlockWiseRtnQuantizationConfig, ctx: PlanContext
) -> ModelFacts:
    """For OnnxBlockWiseRtnQuantization."""
    _tell_nothing(model, ("::MatMul", "::Gather"), config, ctx)
    zeros = 0 if config.is_symmetric else config.bits
    return _smaller(model, config, ctx, _bits(config.bits, zeros, config.block_size), "MatMulNBits")


def plan_k_quant(model: ModelFacts, config: OnnxKQuantQuantizationConfig, ctx: PlanContext) -> ModelFacts:
    """For OnnxKQuantQuantization."""
    _tell_nothing(model, _BY_BLOCKS, config, ctx)
    return _smaller(model, config, ctx, _bits(config.bits, config.bits, config.block_size), "MatMulNBits")


def plan_hqq(model: ModelFacts, config: OnnxHqqQuantizationConfig, ctx: PlanContext) -> ModelFacts:
    """For OnnxHqqQuantization."""
    _tell_nothing(model, _BY_BLOCKS, config, ctx)
    return _smaller(model, config, ctx, _bits(4, 4, config.block_size), "MatMulNBits")


def plan_bnb4(model: ModelFacts, config: OnnxBnb4QuantizationConfig, ctx: PlanContext) -> ModelFacts:
    """For OnnxBnb4Quantization."""
    if bnb4_settings(config, model.meta).precision is None:
        ctx.problem(
            "Nothing says whether FP4 or NF4 levels are meant.", "Set precision: nf4.", option="precision"
        )
    _tell_nothing(model, _BY_BLOCKS, config, ctx)
    return _smaller(model, config, ctx, _bits(4, 0, 64), "MatMulBnb4")


def plan_unpack(model: ModelFacts, config: MatMulNBitsToQDQConfig, ctx: PlanContext) -> ModelFacts:
    """For MatMulNBitsToQDQ. The codes stay as they are; only their order changes."""
    _tell_nothing(model, ("com.microsoft::MatMulNBits",), config, ctx)
    check_operators(model, ctx)
    return plan_graphs(_without_operators(model), config, ctx)


def plan_dynamic(model: ModelFacts, config: IntegerOptions, ctx: PlanContext) -> ModelFacts:
    """For OnnxDynamicQuantization."""
    wanted = config.op_types_to_quantize or ("MatMul", "Conv", "Gemm", "Gather", "LSTM", "Attention")
    _tell_nothing(model, tuple(f"::{name}" for name in wanted), config, ctx)
    check_symmetry(config, ctx)
    return _smaller(model, config, ctx, lambda _: 8.0, "MatMulInteger")


def plan_static(model: ModelFacts, config: StaticOptions, ctx: PlanContext) -> ModelFacts:
    """For OnnxStaticQuantization."""
    wanted = config.op_types_to_quantize or ()
    if wanted:
        _tell_nothing(model, tuple(f"::{name}" for name in wanted), config, ctx)
    check_symmetry(config, ctx)
    _check_data(model, config, ctx)
    _check_opset(model, config, ctx)
    _check_shapes(model, ctx)
    if config.quant_format == "QOperator" and (config.precision, config.activation_type) == ("int8", "int8"):
        ctx.note("int8 weights and activations in QOperator format are slow on x86-64; QDQ is faster.")
    bits = int(config.precision.removeprefix("u").removeprefix("int"))
    facts = _smaller(model, config, ctx, lambda _: float(bits), "QuantizeLinear")
    ctx.needs(memory=3 * model.size)
    return facts


def plan_either(model: ModelFacts, config: OnnxQuantizationConfig, ctx: PlanContext) -> ModelFacts:
    """For OnnxQuantization."""
    if config.quant_mode == "static":
        return plan_static(model, config, ctx)
    if config.precision not in ("int8", "uint8"):
        ctx.problem(
            f"Dynamic quantization has int8 and uint8 weights, not {config.precision}.",
            "Set precision: int8, or quant_mode: static.",
            option="precision",
        )
    if config.data_config is not None:
        ctx.note("data_config has no effect: dynamic quantization needs no data.")
    return plan_dynamic(model, config, ctx)


def _check_data(model: ModelFacts, config: StaticOptions, ctx: PlanContext) -> None:
    """Whether the data have what every graph takes, as far as it is known."""
    if config.data_config is None:
        ctx.problem(
            "Static quantization needs data to calibrate on.",
            "Name a data config in data_config, or take OnnxDynamicQuantization.",
            option="data_config",
        )
        return
    check_data(model, ctx, "calibration")


def _check_opset(model: ModelFacts, config: StaticOptions, ctx: PlanContext) -> None:
    for name, graph in known_graphs(model).items():
        opset = graph.opsets.get("", 0)
        if config.per_channel and config.quant_format == "QDQ" and opset < _PER_CHANNEL:
            ctx.problem(
                f"{name} is of opset {opset}; a scale for each channel came with opset {_PER_CHANNEL}.",
                f"Export it for opset {_PER_CHANNEL} or later, or leave per_channel out.",
                option="per_channel",
            )


def _check_shapes(model: ModelFacts, ctx: PlanContext) -> None:
    """NPUs run graphs of fixed shapes: a dimension that is free leaves the whole graph to the CPU."""
    provider = ctx.accelerator.execution_provider
    if provider not in _FIXED_SHAPES:
        return
    free = [
        f"{value.name} {list(value.dims or ())}"
        for graph in known_graphs(model).values()
        for value in graph.inputs
        if value.dims is None or value.dynamic
    ]
    if free:
        ctx.problem(
            f"{provider} runs graphs of fixed shapes alone; nothing fixes {', '.join(free)}.",
            "Put DynamicToFixedShape before it.",
        )


def check_symmetry(config: IntegerOptions, ctx: PlanContext) -> None:
    """Options of ours that extra_options names as well."""
    for option, name in (
        ("activation_symmetric", "ActivationSymmetric"),
        ("weight_symmetric", "WeightSymmetric"),
    ):
        if name in (config.extra_options or {}) and getattr(config, option) is not None:
            ctx.note(f"extra_options.{name} has no effect: {option} counts for more.")


def _bits(bits: int, zeros: int, block: int) -> Callable[[str], float]:
    """Bits of a weight that was of that type, scale and zero point counted."""
    return lambda dtype: bits + (8 * _BYTES[dtype] + zeros) / block


def _smaller(
    model: ModelFacts, config: GraphOptions, ctx: PlanContext, bits: Callable[[str], float], operator: str
) -> ModelFacts:
    """As if every float weight were quantized: which are is known when the graph is open."""
    check_operators(model, ctx)
    facts = plan_graphs(_without_operators(model), config, ctx)
    saved = 0.0
    for graph in known_graphs(model).values():
        for dtype in _FLOATS:
            held = graph.weights.get(dtype, 0)
            saved += max(0.0, held - held / _BYTES[dtype] * bits(dtype) / 8)
    return replace(facts, size=max(0, int(facts.size - saved)))


def _without_operators(model: ModelFacts) -> ModelFacts:
    """What is known of the graphs, but for their operators and weights: only the run tells which change."""
    told = model.config.get(GRAPHS)
    if not isinstance(told, Mapping):
        return model
    unsure = ("operators", "weights")
    kept = {
        name: {key: value for key, value in summary.items() if key not in unsure}
        for name, summary in told.items()
        if isinstance(summary, Mapping)
    }
    return replace(model, config={**model.config, GRAPHS: kept})


def _tell_nothing(
    model: ModelFacts, operators: tuple[str, ...], config: GraphOptions, ctx: PlanContext
) -> None:
    """Graphs in which nothing is found that the pass changes."""
    known = {name: graph for name, graph in known_graphs(model).items() if graph.operators}
    idle = {name: graph for name, graph in known.items() if not any(o in graph.operators for o in operators)}
    for name, graph in idle.items():
        wanted = " or ".join(operator.rpartition(":")[2] for operator in operators)
        already = [o.rpartition(":")[2] for o in _QUANTIZED if o in graph.operators]
        told = f"{name} holds no {wanted}" + (
            f"; it is quantized already, by {already[0]}" if already else ""
        )
        if config.require_change and len(idle) == len(known):
            ctx.problem(f"{told}.", "Drop this step, or require_change.", option="require_change")
        else:
            ctx.note(f"{told}: nothing will change.")
