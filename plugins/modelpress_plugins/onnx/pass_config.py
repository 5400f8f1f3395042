"""Options of the passes that leave weights as they are: Olive's, with its names and defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelpress.api import JSONValue, Options
from modelpress_plugins.onnx_graph.config import GraphOptions, IoConfig


class IoTypesOptions(GraphOptions):
    """Give inputs and outputs another type, with a Cast behind or before them."""

    name_pattern: str = Field(
        default="logits",
        description="Those of which a part of the name matches, a regular expression. Empty: all.",
    )
    source_dtype: int = Field(
        default=10, description="Those of this type, by onnx's number: 1 float32, 10 float16, 16 bfloat16 …"
    )
    target_dtype: int = Field(default=1, description="The type that they get, by onnx's number.")


class FixedShapeOptions(GraphOptions):
    """Replace free dimensions by numbers: by their names, or by whole shapes of inputs."""

    dim_param: tuple[str, ...] | None = Field(
        default=None, description="Names of dimensions. Not with input_name."
    )
    dim_value: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None, description="A number for each of dim_param."
    )
    input_name: tuple[str, ...] | None = Field(default=None, description="Inputs. Not with dim_param.")
    input_shape: tuple[tuple[Annotated[int, Field(gt=0)], ...], ...] | None = Field(
        default=None, description="A shape for each of input_name."
    )


class PeepholeOptions(GraphOptions):
    """Fold, fuse and drop nodes where the function stays the same."""

    onnxscript_optimize: bool = Field(default=True, description="Run onnxscript's optimizer.")
    onnxoptimizer_optimize: bool = Field(
        default=True,
        description="Olive runs the package onnxoptimizer, too. It is not run here: it reads the whole model "
        "into memory, and what it does is in onnxscript's.",
    )
    fuse_reshape_operations: bool = Field(
        default=True, description="Drop a Reshape whose result is only made flat."
    )
    fix_com_microsoft_opset: bool = Field(
        default=False, description="Declare com.microsoft 1, in the model's functions too."
    )
    cast_chain_elimination: bool = Field(
        default=False,
        description="Drop two Casts that lead back to the type before. What the first one rounds off is kept "
        "then.",
    )


class MetadataOptions(GraphOptions):
    """Name the graph, and write down what it is."""

    graph_name: str = Field(description="The name that the graph gets.")
    custom_metadata: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Entries for the model's metadata."
    )
    add_optimization_info: bool = Field(
        default=True,
        description="Write task, passes and quantization down as well, where model_attributes tell them.",
    )


class SessionTuningOptions(Options):
    """Try settings of onnxruntime, and keep the fastest as the model's inference_settings."""

    io_config: IoConfig | None = Field(
        default=None, description="Names and shapes of inputs, where none can be made from the graph's."
    )
    device: str | None = Field(
        default=None, description="cpu or gpu. What the model is for decides, and this has to agree."
    )
    cpu_cores: int | None = Field(
        default=None, ge=1, description="Threads that are tried at most. Left out: this machine's cores."
    )
    providers_list: str | tuple[str, ...] | None = Field(
        default=None, description="The execution provider that the model is for; no other is tried."
    )
    provider_options_list: dict[str, JSONValue] = Field(
        default_factory=dict, description="Options of the execution provider."
    )
    execution_mode_list: int | str | tuple[int | str, ...] | None = Field(
        default=None, description="0 or ORT_SEQUENTIAL, 1 or ORT_PARALLEL: one or both. Left out: 0."
    )
    opt_level_list: int | tuple[int, ...] | None = Field(
        default=None, description="Levels of graph optimization: 0, 1, 2, 99. Left out: 99."
    )
    intra_thread_num_list: int | tuple[int, ...] | None = Field(
        default=None, description="Threads within a node. Left out: 1, half of the cores, and all of them."
    )
    inter_thread_num_list: int | tuple[int, ...] | None = Field(
        default=None, description="Threads over nodes, where they run in parallel. Left out: 1."
    )
    extra_session_config: dict[str, JSONValue] | None = Field(
        default=None, description="More entries of the session's configuration."
    )
    warmup_num: int = Field(default=3, ge=0, description="Runs of each setting that are not counted.")
    repeat_test_num: int = Field(default=10, ge=1, description="Runs of each setting that are counted.")
