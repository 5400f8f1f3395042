"""The options of the input model `ModelFolder`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelpress.api import LocalPath, Options


class ModelFolderOptions(Options):
    """A finished model: its folder, or a run's output folder, which stands for the `model` in it."""

    model_path: Annotated[str, LocalPath()] = Field(description="The folder.")
    trust_remote_code: bool = Field(
        default=False,
        description="Run Python files that lie in the folder. Needed for models that the libraries cannot "
        "open by themselves; what the folder says of it itself does not count.",
    )
