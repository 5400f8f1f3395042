"""Options of the input model and of the passes on floats: Olive's, with its names and defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelpress.api import JSONValue, Options, Resource
from modelpress_plugins.onnx_graph.config import GraphOptions, IoConfig


class ONNXModelOptions(Options):
    """An ONNX model: a file, or a folder with one graph or several, and what lies beside them."""

    model_path: Annotated[str, Resource(optional=True)] = Field(
        description="The .onnx file, or the folder with it. A file stands for itself and its weights alone; "
        "of a folder everything travels along."
    )
    onnx_file_name: str | None = Field(
        default=None,
        description="The graph in the folder that is meant, where it holds several. Left out: all of them.",
    )
    inference_settings: dict[str, JSONValue] | None = Field(
        default=None,
        description="How it is run: session_options (execution_mode, graph_optimization_level, "
        "intra_op_num_threads, inter_op_num_threads, extra_session_config), execution_provider and "
        "provider_options.",
    )
    use_ort_extensions: bool = Field(
        default=False, description="Load the operators of onnxruntime-extensions."
    )
    external_initializers_file_name: str | None = Field(
        default=None, description="A file in the folder, .npz or .safetensors, with weights for the session."
    )
    constant_inputs_file_name: str | None = Field(
        default=None, description="A file in the folder, .npz or .safetensors, with inputs that never change."
    )
    custom_ops_library: str | None = Field(
        default=None,
        description="A file in the folder with operators that onnxruntime does not bring, compiled for it. "
        "It is run wherever the model is: name only what you trust.",
    )
    model_attributes: dict[str, JSONValue] | None = Field(
        default=None, description="Facts that travel with the model."
    )
    io_config: IoConfig | None = Field(
        default=None, description="Names, shapes and types of inputs, to try the model with."
    )
    generative: bool = Field(
        default=False, description="Whether it generates text. Nothing depends on it here."
    )


class Float16Options(GraphOptions):
    """Convert with onnxruntime's own converter, weights strip by strip."""

    min_positive_val: float = Field(
        default=1e-7, ge=5.96e-8, description="Weights nearer to zero become this, with their sign."
    )
    max_finite_val: float = Field(
        default=1e4, gt=0, le=65504, description="Weights farther from zero become this, with their sign."
    )
    keep_io_types: bool | tuple[str, ...] = Field(
        default=False, description="Leave inputs and outputs in float32: all of them, or those named."
    )
    use_symbolic_shape_infer: bool = Field(
        default=True, description="Infer types by onnxruntime's symbolic inference instead of onnx's."
    )
    op_block_list: tuple[str, ...] | None = Field(
        default=None,
        description="Types of nodes that stay in float32. Left out: those that onnxruntime lists.",
    )
    op_include_list: tuple[str, ...] | None = Field(
        default=None, description="Types of nodes that are converted, and no others. Not with op_block_list."
    )
    node_block_list: tuple[str, ...] | None = Field(
        default=None, description="Nodes that stay in float32, by name."
    )
    node_include_list: tuple[str, ...] | None = Field(
        default=None, description="Nodes that are converted, and no others. Not with node_block_list."
    )
