"""Options of ModelBuilder: those of Olive's pass, under the names that the builder uses today."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from modelpress.api import Options, Searchable

Precision = Literal["fp32", "fp16", "bf16", "int8", "int4"]
AlgoConfig = Literal[
    "default", "rtn", "k_quant", "rtn_last", "k_quant_last", "k_quant_mixed", "k_quant_linear"
]
Verify = Literal["auto", "required", "never"]
OpType = Literal["MatMul", "Gather", "Gemm"]


class ModelBuilderOptions(Options):
    """Build an onnxruntime-genai folder from a float or a quantized Hugging Face model."""

    precision: Annotated[Precision, Searchable(("int4", "int8", "fp16", "fp32"), by_default=False)] = Field(
        description="Of the weights. Which there are depends on what the model is for: fp32, int8 and int4 "
        "on a CPU; fp16, bf16, int8 and int4 on CUDA; no bf16 on DirectML and WebGPU, no int8 on "
        "TensorRT-RTX."
    )
    block_size: int | None = Field(
        default=None,
        description="Weights that share a scale: 16, 32, 64, 128 or 256. None: 32, or what a quantized "
        "model has.",
    )
    is_symmetric: bool | None = Field(
        default=None,
        description="Whether blocks are centred on zero; false gives each a zero point. None: true, or what "
        "a quantized model has.",
    )
    accuracy_level: int | None = Field(
        default=None,
        ge=0,
        le=4,
        description="How int4 and int8 products are computed: 4 with 8-bit activations (fastest on a CPU), "
        "1 in fp32, 0 as the runtime likes. None: 4 on CPU and WebGPU, 0 elsewhere.",
    )
    algo_config: AlgoConfig | None = Field(
        default=None,
        description="The builder's own method of rounding, on its own path, which holds the whole float "
        "model in memory. None: round to nearest, tensor by tensor.",
    )
    op_types_to_quantize: tuple[OpType, ...] | None = Field(
        default=None, description="Gather quantizes the embedding too (int4 only). None: MatMul."
    )
    nodes_to_exclude: tuple[str, ...] = Field(
        default=(), description="ONNX nodes that stay in float, by name: `/lm_head/MatMul`."
    )
    exclude_embeds: bool = Field(default=False, description="Leave the embedding out: takes inputs_embeds.")
    exclude_lm_head: bool = Field(default=False, description="Leave the head out: gives hidden_states.")
    enable_cuda_graph: bool | None = Field(default=None, description="Capture CUDA graphs. CUDA only.")
    metadata_only: bool = Field(
        default=False, description="Write the configuration only. Not supported: it leaves no model."
    )
    search: dict[str, Any] = Field(
        default_factory=dict,
        description="Defaults for generation, written to genai_config.json: max_length, temperature, top_k …",
    )
    streaming: bool | None = Field(
        default=None,
        description="Quantize tensor by tensor, so that the float model is never in memory. None: where "
        "model and options allow; true: fail otherwise; false: the builder's own path.",
    )
    verify: Verify = Field(
        default="auto",
        description="Compare the logits of the result with those of the model it was made from. auto: on "
        "what the model is for where that is here, else on this machine's CPU, which is told; required: only "
        "where it is here; never: load it only.",
    )
    extra_options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="More options of the builder, by the builder's names."
    )

    @property
    def op_types(self) -> tuple[OpType, ...]:
        """Those of op_types_to_quantize that the builder writes."""
        return tuple(kind for kind in self.op_types_to_quantize or () if kind != "Gemm")


def asks_for(config: ModelBuilderOptions, option: str) -> bool:
    """Whether one of the builder's own options is on, however it is written."""
    return str(config.extra_options.get(option, "")).lower() in ("true", "1")
