"""Data that are arrays: files of numpy, raw numbers, images. For models that take arrays."""

from __future__ import annotations

from modelpress.api import DataContainerSpec, Rename, hookimpl
from modelpress_plugins.ranges import NUMPY

MODELPRESS_API = 1

_HERE = "modelpress_plugins.tensor_data"


@hookimpl
def modelpress_data_containers() -> list[DataContainerSpec]:
    return [
        DataContainerSpec(
            name="TensorDataContainer",
            summary="Arrays: .npz and .npy files, raw numbers, folders of images.",
            open=f"{_HERE}.source:open_arrays",
            describe=f"{_HERE}.describe:describe_arrays",
            config=f"{_HERE}.config:TensorDataOptions",
            requires=(NUMPY,),
            extra="onnx",
            aliases=("RawDataContainer",),
            renames=(
                Rename("load_dataset_config.annotations_file", None, why="nothing here asks for labels"),
                Rename("post_process_data_config", None, why="nothing is done after the model has run"),
                Rename("dataloader_config", None, why="one sample is taken at a time"),
            ),
        )
    ]
