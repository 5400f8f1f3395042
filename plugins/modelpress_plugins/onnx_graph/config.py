"""Options that every pass on a graph has, and how inputs are described: Olive's, with its names."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelpress.api import JSONValue, Options


class IoConfig(Options):
    """Olive's description of what goes into a model and comes out of it."""

    input_names: tuple[str, ...] | None = Field(default=None, description="Inputs, in their order.")
    input_shapes: tuple[tuple[int, ...], ...] | None = Field(
        default=None, description="A shape for each of input_names."
    )
    input_types: tuple[str, ...] | None = Field(
        default=None, description="A type for each of input_names: float32, int64 …"
    )
    output_names: tuple[str, ...] | None = Field(default=None, description="Outputs, in their order.")
    output_shapes: tuple[tuple[int, ...], ...] | None = Field(
        default=None, description="A shape for each of output_names."
    )
    output_types: tuple[str, ...] | None = Field(default=None, description="A type for each of output_names.")
    dynamic_axes: dict[str, dict[str, str]] | None = Field(
        default=None, description="Names of dimensions that vary, by input and number."
    )
    dynamic_shapes: dict[str, JSONValue] | tuple[JSONValue, ...] | None = Field(
        default=None, description="The same, as torch's exporter takes it."
    )
    string_to_int_dim_params: tuple[str, ...] | None = Field(
        default=None, description="Names of dimensions that are numbers."
    )
    kv_cache: bool | dict[str, JSONValue] | None = Field(
        default=None, description="Inputs of a key-value cache, for an export."
    )


class GraphOptions(Options):
    """How a graph is written, and what is asked of the change."""

    save_as_external_data: bool = Field(
        default=False,
        description="Write weights beside the graph. They are, too, where those of the source lie there, and "
        "where one file would be larger than 2 GB.",
    )
    all_tensors_to_one_file: bool = Field(
        default=True, description="Weights beside the graph are in one file; false: one for each tensor."
    )
    external_data_name: str | None = Field(
        default=None, description="The name of that file. Left out: the graph's, and `.data`."
    )
    size_threshold: int = Field(
        default=1024, ge=0, description="Bytes of a tensor from which on it is written beside the graph."
    )
    convert_attribute: bool = Field(
        default=False,
        description="Write tensors in attributes beside the graph, too. Large constants are in any case.",
    )
    require_change: bool = Field(
        default=False, description="Fail where the graph comes out as it went in; otherwise that is told."
    )
    verify: Literal["auto", "required", "never"] = Field(
        default="auto",
        description="Run the result on made inputs and compare it with its source. auto: where they can be "
        "made, else it is told; required: fail where they cannot; never: load it only.",
    )
    io_config: IoConfig | None = Field(
        default=None, description="Names, shapes and types of inputs, to try the model with."
    )
