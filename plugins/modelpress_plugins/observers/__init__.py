"""Runs as experiments elsewhere: MLflow, TensorBoard, Weights & Biases watch what is done and found."""

from __future__ import annotations

from modelpress.api import ObserverSpec, hookimpl

MODELPRESS_API = 1

_HERE = "modelpress_plugins.observers"


@hookimpl
def modelpress_observers() -> list[ObserverSpec]:
    return [
        ObserverSpec(
            name="MLflow",
            summary="Keeps the run, and each candidate of a search below it, in MLflow.",
            open=f"{_HERE}.to_mlflow:watch",
            config=f"{_HERE}.config:MLflowOptions",
            requires=("mlflow-skinny>=3.0 | mlflow>=3.0",),
            extra="mlflow",
        ),
        ObserverSpec(
            name="TensorBoard",
            summary="Writes curves, numbers and candidates as files that TensorBoard shows.",
            open=f"{_HERE}.to_tensorboard:watch",
            config=f"{_HERE}.config:TensorBoardOptions",
            requires=("tensorboardX>=2.6",),
            extra="tensorboard",
        ),
        ObserverSpec(
            name="WandB",
            summary="Keeps the run, and each candidate of a search in its group, for Weights & Biases.",
            open=f"{_HERE}.to_wandb:watch",
            config=f"{_HERE}.config:WandBOptions",
            requires=("wandb>=0.20",),
            extra="wandb",
        ),
    ]
