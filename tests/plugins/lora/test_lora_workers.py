"""Several processes that train together see the losses of one that has the same global batch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import modelpress
from modelpress.api import Report

STEPS = 3
NEAR = 1e-5
"""The sums of a batch are made in another order: single losses of 6.6 differed by 1e-6."""


@pytest.fixture(scope="module")
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The embedded example's training, cut to a few steps of eight samples."""
    emotions: Path = request.getfixturevalue("emotions_model").parent
    whole = yaml.safe_load((emotions / "workflow.yaml").read_text(encoding="utf-8"))
    train = next(data for data in whole["data_configs"] if data["name"] == "train")
    train["load_dataset_config"]["data_files"] = str(emotions / "data" / "emotions.json")
    lora = {**whole["passes"]["lora"], "r": 4}
    lora["training_args"] = {"max_steps": STEPS, "logging_steps": 1, "learning_rate": 0.002}
    return {
        "input_model": {"type": "HfModel", "model_path": str(emotions / "model")},
        "data_configs": [train],
        "passes": {"lora": lora},
    }


def losses(document: dict[str, Any], folder: Path, workers: int, system: Mapping[str, Any]) -> list[float]:
    """Those that a training reports, one a step, with a global batch of eight."""
    document = copy.deepcopy(document)
    lora = document["passes"]["lora"]
    lora["num_workers"] = workers
    lora["training_args"]["per_device_train_batch_size"] = 8 // workers
    told: list[float] = []

    def note(event: object) -> None:
        if isinstance(event, Report) and event.name == "loss" and isinstance(event.value, float):
            told.append(event.value)

    modelpress.run(
        {**document, "systems": {"place": dict(system)}, "host": "place"}, cache_dir=folder, on_event=note
    )
    return told


@pytest.fixture(scope="module")
def alone(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return losses(document, tmp_path_factory.mktemp("alone"), 1, {"type": "LocalSystem"})


def test_two_processes_of_this_machine_have_the_losses_of_one(
    document: dict[str, Any], alone: list[float], tmp_path: Path
) -> None:
    together = losses(document, tmp_path, 2, {"type": "LocalSystem"})
    assert len(together) == STEPS
    assert together == pytest.approx(alone, abs=NEAR)
