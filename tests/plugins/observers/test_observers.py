"""MLflow, TensorBoard and Weights & Biases keep what a run told: each asked by what it wrote itself."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from modelpress.engine.job import ErrorRecord
from modelpress.engine.record import RunRecord
from modelpress.engine.search.record import CandidateRecord, SearchRecord
from modelpress.errors import UserError
from modelpress.events import CandidateFinished, Progress, Report, StepFinished, StepStarted
from modelpress.observer import Observed
from modelpress.records import write_record
from modelpress.registry import Registry
from modelpress.specs import ObserverSpec
from modelpress.testing import ObserverContract
from modelpress.testing.observers import a_record


class TestMLflow(ObserverContract):
    observer_name = "MLflow"


class TestTensorBoard(ObserverContract):
    observer_name = "TensorBoard"


class TestWandB(ObserverContract):
    observer_name = "WandB"

    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return {"project": "contract"}


def a_search(folder: Path) -> RunRecord:
    """The record of a run that tried four candidates, the last of which failed."""
    failed = ErrorRecord("PassError", "It ran out of <memory>.", "Use a smaller group_size.")
    candidates = [
        CandidateRecord(
            number=number,
            choices={"passes.quantize.bits": bits, "passes.quantize.sym": number % 2 == 0},
            status="failed" if number == 4 else "finished",
            metrics={} if number == 4 else {"accuracy": 0.9 + number / 100, "size_on_disk": 1e6 * bits},
            seconds=3.0,
            error=failed if number == 4 else None,
        )
        for number, bits in enumerate((4, 8, 4, 2), start=1)
    ]
    search = SearchRecord(
        id="study", sampler="tpe", execution_order="joint", seed=0, axes=[], objectives=[],
        candidates=candidates, winner=3,
    )  # fmt: skip
    return replace(a_record("one", folder, "finished", steps=1), search=search)


def watched(name: str, folder: Path, options: Mapping[str, Any], *, offline: bool = False) -> None:
    """A run that trains and then searches among four, the last of which fails, watched to its end."""
    record = folder / "runs" / "one" / "run.json"
    record.parent.mkdir(parents=True)
    write_record(record, a_record("one", folder, "running"))
    entry = Registry.load().find(ObserverSpec, name)
    observed = Observed("one", "study", record, folder, None, offline, lambda text: None)
    observer = entry.call(entry.spec.open, entry.parse(options), observed)
    observer.see(StepStarted(1, 1, "lora", "LoRA", "local", False))
    for step in (1, 2, 3):
        observer.see(Progress(step, 3, "steps"))
        observer.see(Report("loss", 1 / step))
    write_record(record, a_search(folder))
    observer.see(StepFinished(1, 1, "lora", "LoRA", False, 1.0, 1, ""))
    observer.see(CandidateFinished(4, "bits 4", "failed", "", "", "It ran out of memory.", 1.0, 1))
    observer.close()


def test_mlflow_has_the_run_and_its_candidates_below_it(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    watched("MLflow", tmp_path, {})
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("study")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 4
    assert sorted(child.info.status for child in children) == ["FAILED", *["FINISHED"] * 3]
    assert any("ran out of <memory>" in child.data.tags.get("error", "") for child in children)
    losses = [metric.value for metric in client.get_metric_history(parent.info.run_id, "step/lora/loss")]
    assert losses == [1, 1 / 2, 1 / 3]
    assert parent.data.metrics["accuracy"] == 0.9
    assert parent.data.metrics["step/quantize/peak_memory"] == 100_000_000
    assert parent.data.tags["modelpress.status"] == "finished"
    assert [each.path for each in client.list_artifacts(parent.info.run_id)] == ["run.json"]


def test_mlflow_asks_no_server_in_a_run_without_network(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    with pytest.raises(UserError, match="--offline"):
        watched("MLflow", tmp_path, {"tracking_uri": "http://127.0.0.1:1"}, offline=True)


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """(tag, step, value) of what TensorBoard would read: TFRecords of protocol buffers."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.rglob("events.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    yield value.tag, event.step, value.simple_value


def test_tensorboard_has_curves_and_candidates(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    watched("TensorBoard", tmp_path, {"folder": "board"})
    found = list(scalars(tmp_path / "board" / "one"))
    assert [(step, round(value, 4)) for tag, step, value in found if tag == "step/lora/loss"] == [
        (1, 1.0), (2, 0.5), (3, 0.3333),
    ]  # fmt: skip
    assert ("step/quantize/seconds", 0, 1.5) in found
    below = {path.name for path in (tmp_path / "board" / "one").iterdir() if path.is_dir()}
    assert below == {"candidate-1", "candidate-2", "candidate-3", "candidate-4"}
    assert any(tag == "size_on_disk" for tag, _, _ in scalars(tmp_path / "board" / "one" / "candidate-1"))


def test_wandb_keeps_runs_on_this_machine_until_they_are_sent(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: it is too large for every check")
    watched("WandB", tmp_path, {"project": "study"})
    kept = [path.name for path in (tmp_path / "wandb").glob("offline-run-*")]
    assert len(kept) == 5
    with pytest.raises(UserError, match="--offline"):
        watched("WandB", tmp_path / "again", {"mode": "online"}, offline=True)


def test_what_a_run_told_is_in_the_record_that_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    watched("MLflow", tmp_path, {"experiment": "mine"})
    (copied,) = (tmp_path / "mlruns").rglob("artifacts/run.json")
    assert json.loads(copied.read_text())["workflow_id"] == "contract"
