"""Options of TensorDataContainer: Olive's names of its raw data sets; images are ours."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelpress.api import Options, Resource

DataPath = Annotated[str, Resource(optional=True)]
Kind = Literal[
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32",
    "float64",
]  # fmt: skip


class LoadArrays(Options):
    """Where the arrays lie. A .npz file is a sample, its arrays under the names of the inputs; every other
    file is one input of a sample."""

    type: str | None = Field(default=None, description="Olive's component name; `raw_dataset` only.")
    data_dir: DataPath | None = Field(
        default=None,
        description="A folder: of files, which are taken by their names' order; or with a folder for each of "
        "input_names.",
    )
    data_files: DataPath | list[DataPath] | None = Field(
        default=None, description="A file, a glob, or a list of them, instead of data_dir."
    )
    input_names: list[str] | None = Field(
        default=None, description="Inputs of the model, where the files are no .npz."
    )
    input_shapes: list[list[int]] | None = Field(
        default=None, description="With raw numbers: a shape for each of input_names."
    )
    input_types: list[Kind] | None = Field(
        default=None, description="With raw numbers: a type for each of input_names. Left out: float32."
    )
    input_dirs: list[str] | None = Field(
        default=None, description="A folder in data_dir for each of input_names. Left out: called like them."
    )
    input_suffix: str | None = Field(default=None, description="Files with this ending only: `.raw`.")
    input_order_file: str | None = Field(
        default=None, description="A text file in data_dir with a file's name on each line: their order."
    )
    stacked: bool = Field(
        default=False,
        description="Arrays of .npz and .npy files hold many samples, along the first dimension.",
    )
    max_samples: int | None = Field(default=None, ge=1, description="No more samples than this.")


class PreProcessImages(Options):
    """What an image becomes."""

    type: str | None = Field(default=None, description="Olive's component name.")
    size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] | None = Field(
        default=None, description="Height and width. Left out: those of the image."
    )
    resize: Literal["stretch", "crop", "pad"] = Field(
        default="stretch",
        description="How an image of other proportions gets them: stretch; crop what is too much; pad with "
        "black, to the right and below.",
    )
    channels: Literal["rgb", "bgr", "gray"] = Field(default="rgb", description="Their order, or one alone.")
    scale: float = Field(default=1 / 255, gt=0, description="What pixels, 0 to 255, are multiplied by.")
    mean: tuple[float, ...] = Field(
        default=(0.0,), description="Taken from each channel after that: one number, or one for each."
    )
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(1.0,), description="Each channel is divided by it after that."
    )
    layout: Literal["CHW", "HWC"] = Field(default="CHW", description="Order of the dimensions of a sample.")
    dtype: Literal["float32", "float16", "uint8"] = Field(
        default="float32", description="The type of the numbers. uint8: pixels as they are."
    )


class TensorDataOptions(Options):
    """Arrays to calibrate on and to measure with."""

    load_dataset_config: LoadArrays = Field(default_factory=LoadArrays)
    pre_process_data_config: PreProcessImages = Field(default_factory=PreProcessImages)
