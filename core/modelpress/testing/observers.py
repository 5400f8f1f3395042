"""The tests that every observer has to stand.

class TestAcmeBoard(ObserverContract):
    observer_name = "AcmeBoard"
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import JsonValue

from modelpress.engine.past_runs import open_run
from modelpress.engine.record import RunRecord, StepRecord
from modelpress.events import (
    CandidateFinished,
    CandidateStarted,
    Event,
    Log,
    Progress,
    Report,
    RunFinished,
    RunStarted,
    SearchFinished,
    SearchStarted,
    StepFailed,
    StepFinished,
    StepStarted,
)
from modelpress.observer import Observed
from modelpress.records import write_record
from modelpress.registry import Registered, Registry
from modelpress.specs import ObserverSpec
from modelpress.testing.contract import Contract

_STEP = ("quantize", "Rtn")
_AT_MOST = 2.0
"""Seconds for the event of a step, as the work waits for it."""


class ObserverContract(Contract[ObserverSpec]):
    """Subclass it in a test module and name the observer; pytest does the rest."""

    observer_name: ClassVar[str] = ""

    def find(self, registry: Registry) -> Registered[ObserverSpec]:
        return registry.find(ObserverSpec, self.observer_name)

    def watch(self, registered: Registered[ObserverSpec], folder: Path, *, failed: bool = False) -> list[str]:
        """Let it watch a made-up run in the folder, from its start to its end. Returns what it told."""
        told: list[str] = []
        record = folder / "runs" / "20260131-120000-000000ab" / "run.json"
        record.parent.mkdir(parents=True)
        run = Observed(record.parent.name, "contract", record, folder, folder / "out", True, told.append)
        write_record(record, a_record(record.parent.name, folder, "running"))
        options = self.parsed(registered, self.some_options(folder))
        observer = registered.call(registered.spec.open, options, run)
        for event in events(failed=failed):
            if isinstance(event, StepFinished | StepFailed):
                write_record(record, a_record(record.parent.name, folder, "running", steps=1))
            began = time.monotonic()
            observer.see(event)
            assert time.monotonic() - began < _AT_MOST or isinstance(event, RunStarted), event.kind
        status = "failed" if failed else "finished"
        write_record(record, a_record(record.parent.name, folder, status, steps=1))
        observer.close()
        assert open_run(str(record)).status == status, "the record is not its to change"
        return told

    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return self.options

    def test_it_watches_a_run_from_start_to_end(
        self, registered: Registered[ObserverSpec], libraries: None, tmp_path: Path
    ) -> None:
        self.watch(registered, tmp_path)

    def test_it_watches_a_run_that_fails(
        self, registered: Registered[ObserverSpec], libraries: None, tmp_path: Path
    ) -> None:
        self.watch(registered, tmp_path, failed=True)

    def test_two_runs_are_watched_one_after_the_other(
        self, registered: Registered[ObserverSpec], libraries: None, tmp_path: Path
    ) -> None:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            self.watch(registered, tmp_path / name)

    @pytest.fixture(autouse=True)
    def _somewhere_else(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it writes without being told where must not land in the checkout."""
        (tmp_path / "cwd").mkdir()
        monkeypatch.chdir(tmp_path / "cwd")


def events(*, failed: bool = False) -> Iterator[Event]:
    """One of each kind, in the order of a run that searches."""
    yield RunStarted("20260131-120000-000000ab", "contract", 2, "log.txt")
    yield Log("note", "A note.")
    yield SearchStarted(1, 2, 0)
    yield CandidateStarted(1, "bits 4")
    yield StepStarted(1, 2, *_STEP, "local", False)
    yield Progress(1, 2, "layers")
    yield Report("loss", 0.5)
    if failed:
        yield StepFailed(1, 2, *_STEP, "It ran out of memory.", "nowhere")
        return
    yield StepFinished(1, 2, *_STEP, False, 1.5, 5_000_000, "loss 0.5")
    yield CandidateFinished(1, "bits 4", "finished", "accuracy 0.9", "", "", 1.5, 1)
    yield SearchFinished(1, "bits 4", "all were tried", 1, 0, 0)
    yield RunFinished("out", "out/run.json", 2.0)


def a_record(name: str, folder: Path, status: str, *, steps: int = 0) -> RunRecord:
    """The record of a run of one step and one metric."""
    step = StepRecord(
        name="quantize", type="Rtn", kind="pass", key="0" * 64, system="local", cached=False,
        provider="modelpress 0", options={"bits": 4, "nested": {"lr": 0.1}}, libraries={"torch": "2.9"},
        data={}, started=1_790_000_000.0, size=5_000_000, seconds=1.5, peak_memory=10**8,
        reports={"loss": 0.5, "told": "text"},
    )  # fmt: skip
    return RunRecord(
        id=name, workflow_id="contract", workflow="", status=status,  # type: ignore[arg-type]
        started="2026-01-31T12:00:00+00:00", seconds=2.0, modelpress="0", python="3.11", platform="Linux",
        host="here", process=1, log=str(folder / "runs" / name / "log.txt"), output_dir=str(folder / "out"),
        seed=0, input_model={"format": "hf-model"}, translations=[], steps=[step] * steps,
        metrics={"accuracy": 0.9} if steps else {},
    )  # fmt: skip
