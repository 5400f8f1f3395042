"""Options of the quantizers of graphs: Olive's, with its names and defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from modelpress.api import DataRole, JSONValue, Options, Searchable
from modelpress_plugins.onnx_graph.config import GraphOptions

BlockSize = Literal[16, 32, 64, 128, 256]
_BITS = Searchable((4, 8), by_default=False)
_BLOCKS = Searchable((32, 64, 128), by_default=False)


class BlockOptions(GraphOptions):
    """What all quantizers of MatMul have."""

    nodes_to_exclude: tuple[str, ...] | None = Field(
        default=None, description="Nodes that stay as they are: names, or patterns with `*` and `?`."
    )


class NBitsOptions(BlockOptions):
    """What those have that give MatMulNBits."""

    accuracy_level: Literal[0, 1, 2, 3, 4] = Field(
        default=0,
        description="In what MatMulNBits computes: 0 leaves it to the runtime, 1 float32, 2 float16, "
        "3 bfloat16, 4 int8, the fastest.",
    )


class OnnxBlockWiseRtnQuantizationConfig(NBitsOptions):
    """Round to nearest, in blocks."""

    bits: Annotated[Literal[2, 4, 8], _BITS] = Field(
        default=4, description="Bits of a weight. Tables have 4 or 8."
    )
    block_size: Annotated[BlockSize, _BLOCKS] = Field(default=128, description="Weights that share a scale.")
    is_symmetric: bool = Field(default=True, description="Without zero points.")
    nodes_to_include: tuple[str, ...] | None = Field(
        default=None, description="Only these nodes: names, or patterns with `*` and `?`. Left out: all."
    )


class NodeBits(Options):
    """What is different for one node."""

    bits: Literal[2, 4, 8] | None = Field(default=None, description="Bits of its weights.")
    group_size: BlockSize | None = Field(default=None, description="Weights that share a scale.")


class OnnxKQuantQuantizationConfig(NBitsOptions):
    """A weighted search for the range of each block."""

    bits: Annotated[Literal[2, 4, 8], _BITS] = Field(default=4, description="Bits of a weight.")
    block_size: Annotated[BlockSize, _BLOCKS] = Field(default=32, description="Weights that share a scale.")
    customized_weight_config: dict[str, NodeBits] | None = Field(
        default=None, description="Other bits or group_size for some nodes, by name."
    )


class OnnxHqqQuantizationConfig(NBitsOptions):
    """Half-quadratic optimization, 4 bits."""

    block_size: Annotated[BlockSize, _BLOCKS] = Field(default=128, description="Weights that share a scale.")
    nodes_to_include: tuple[str, ...] | None = Field(
        default=None, description="Only these nodes: names, or patterns with `*` and `?`. Left out: all."
    )


class OnnxBnb4QuantizationConfig(BlockOptions):
    """FP4 or NF4 levels, in blocks of 64."""

    precision: Literal["fp4", "nf4"] | None = Field(
        default=None,
        description="The levels. Left out: what `quantization_config` of model_attributes says.",
    )
    quantized_modules: tuple[str, ...] | None = Field(
        default=None,
        description="Modules that are quantized, as regular expressions: nodes named `…/MODULE/MatMul`. "
        "Left out: what model_attributes say, or all.",
    )


class MatMulNBitsToQDQConfig(BlockOptions):
    """Standard operators for weights of few bits."""

    use_transpose_op: bool = Field(
        default=False,
        description="Leave the weight as it lies and put a Transpose after it; some providers, DirectML "
        "among them, are faster so. If not, the weight is transposed.",
    )
    use_int4: bool = Field(default=False, description="Signed codes where they have 4 bits.")
    use_signed_int: bool = Field(default=False, description="Signed codes, of any number of bits.")
    add_zero_point: bool = Field(
        default=False,
        description="Zero points even where all are zero: symmetric weights in signed codes.",
    )


def _lowered(value: object) -> object:
    """`QUInt8` of onnxruntime and `UINT8` for `uint8`."""
    return value.lower().removeprefix("q") if isinstance(value, str) else value


Integer = Annotated[Literal["int4", "uint4", "int8", "uint8", "int16", "uint16"], BeforeValidator(_lowered)]
Byte = Annotated[Literal["int8", "uint8"], BeforeValidator(_lowered)]


class IntegerOptions(GraphOptions):
    """What dynamic and static quantization have in common."""

    op_types_to_quantize: tuple[str, ...] | None = Field(
        default=None, description="Operators that are quantized. Left out: all that can be."
    )
    op_types_to_exclude: tuple[str, ...] | None = Field(
        default=None, description="Operators that stay as they are. op_types_to_quantize counts for more."
    )
    nodes_to_quantize: tuple[str, ...] | None = Field(
        default=None, description="Nodes that are quantized, by name. Left out: all that can be."
    )
    nodes_to_exclude: tuple[str, ...] | None = Field(
        default=None, description="Nodes that stay as they are, by name."
    )
    per_channel: bool = Field(default=False, description="A scale for each output of a weight.")
    reduce_range: bool = Field(
        default=False,
        description="Weights in 7 bits: more exact on processors without VNNI, with per_channel above all.",
    )
    quant_preprocess: bool = Field(
        default=True, description="Infer shapes and optimize the graph first, as onnxruntime advises."
    )
    activation_symmetric: bool = Field(default=False, description="Activations without zero points.")
    weight_symmetric: bool | None = Field(
        default=None, description="Weights without zero points. Left out: those of signed types."
    )
    extra_options: dict[str, JSONValue] | None = Field(
        default=None,
        description="Further options of onnxruntime's quantizer, under its names (MatMulConstBOnly …).",
    )


class OnnxDynamicQuantizationConfig(IntegerOptions):
    """Weights to 8 bits."""

    quant_mode: Literal["dynamic"] = Field(default="dynamic", description="Always dynamic.")
    precision: Byte = Field(default="int8", description="Of the weights: int8 or uint8.")


class StaticOptions(IntegerOptions):
    """What needs calibration."""

    precision: Integer = Field(default="int8", description="Of the weights: int4 … uint16.")
    activation_type: Integer = Field(default="int8", description="Of what lies between: int4 … uint16.")
    data_config: Annotated[str | None, DataRole("calibration")] = Field(
        default=None,
        description="Name of the data to calibrate on: columns called as the inputs, or text for a model "
        "that takes input_ids.",
    )
    calibrate_method: Literal["MinMax", "Entropy", "Percentile"] = Field(
        default="MinMax", description="How ranges are found in what was seen."
    )
    calibration_providers: tuple[str, ...] | None = Field(
        default=None, description="Execution providers that calibration runs on. Left out: the CPU."
    )
    quant_format: Literal["QDQ", "QOperator"] = Field(
        default="QDQ",
        description="QDQ: QuantizeLinear and DequantizeLinear around operators; QOperator: operators of "
        "integers.",
    )
    min_real_range: float | None = Field(
        default=None, gt=0, description="The least width of a range, in numbers of the model."
    )
    tensor_quant_overrides: dict[str, JSONValue] | None = Field(
        default=None, description="Other types, scales or ranges for some tensors, as onnxruntime takes them."
    )
    prepare_qdq_config: bool = Field(
        default=True, description="Quantize all operators of a QDQ graph, as NPUs want it; else a few."
    )


class OnnxStaticQuantizationConfig(StaticOptions):
    """Weights and activations, by calibration."""

    quant_mode: Literal["static"] = Field(default="static", description="Always static.")


class OnnxQuantizationConfig(StaticOptions):
    """Static or dynamic."""

    quant_mode: Literal["static", "dynamic"] = Field(
        default="static",
        description="dynamic: weights alone, to 8 bits; what is said of calibration has no effect then.",
    )
