"""Options of the observers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelpress.api import Options


class MLflowOptions(Options):
    """Where the run is kept."""

    tracking_uri: str | None = Field(
        default=None,
        description="A server, or a folder as file:///… Unset: MLFLOW_TRACKING_URI, else the folder mlruns "
        "beside the workflow.",
    )
    experiment: str | None = Field(
        default=None,
        description="Its experiment there. Unset: MLFLOW_EXPERIMENT_NAME, else the workflow's id.",
    )


class TensorBoardOptions(Options):
    """Where the files go."""

    folder: str = Field(
        default="tensorboard",
        description="From the workflow's folder; each run has a folder in it: tensorboard --logdir FOLDER",
    )


class WandBOptions(Options):
    """Whose project, and whether it is sent at once."""

    project: str = Field(default="modelpress", description="The project.")
    entity: str | None = Field(default=None, description="The user or team. Unset: that of the account.")
    mode: Literal["offline", "online"] = Field(
        default="offline",
        description="offline: kept in the folder wandb beside the workflow, until `wandb sync` sends it; "
        "online: sent as it goes.",
    )
