"""The tests that every system has to stand.

class TestAcmeBox(SystemContract):
    system_name = "AcmeBox"
    options = {"queue": "small"}
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest

import modelpress
from modelpress.context import Accelerator
from modelpress.engine.job import Job, ModelInput, ship_code, write_job
from modelpress.engine.job_runner import ANSWER
from modelpress.errors import WorkerDied
from modelpress.events import Event, Log, Progress
from modelpress.fence import Origin
from modelpress.registry import Registered, Registry
from modelpress.specs import SystemSpec
from modelpress.system import System, Tell
from modelpress.testing.contract import Contract

_WORK = "modelpress.testing.sample_work"


class SystemContract(Contract[SystemSpec]):
    """Subclass it in a test module and say how the place is reached; pytest does the rest."""

    system_name: ClassVar[str] = ""
    seconds: ClassVar[float] = 60
    """How long a small job may take there, the way included."""

    def find(self, registry: Registry) -> Registered[SystemSpec]:
        return registry.find(SystemSpec, self.system_name)

    def light_references(self, spec: SystemSpec) -> list[str]:
        return [spec.open, *filter(None, [spec.config])]

    @pytest.fixture
    def system(self, registered: Registered[SystemSpec], libraries: None, tmp_path: Path) -> Iterator[System]:
        opened = registered.resolve(registered.spec.open)(
            self.parsed(registered, self.some_options(tmp_path)), "place"
        )
        yield opened
        opened.close()

    def _job(self, system: System, folder: Path, what: str) -> Path:
        """A job folder for one of the small pieces of work."""
        model = folder.with_name("model")
        model.mkdir(exist_ok=True)
        (model / "text.txt").write_text("one two", encoding="utf-8")
        folder.mkdir(exist_ok=True)
        job = Job(
            Origin("pass", what, "modelpress", "modelpress", "0"), name=what, run=f"{_WORK}:{what}",
            config="modelpress.options:Options", options={}, model=ModelInput("model", "text", "content:1"),
            produces="text", id=uuid4().hex,
        )  # fmt: skip
        write_job(folder, job, {"model": model})
        if system.traits.ships_code:
            ship_code(folder, {"modelpress": Path(modelpress.__file__).parent})
        return folder

    def run(self, system: System, folder: Path, tell: Tell = lambda event: None) -> None:
        """A job from its begin to its end, as a run does it."""
        handle = json.loads(json.dumps(system.submit(folder)))
        try:
            system.watch(handle, tell)
        except BaseException:
            system.cancel(handle)
            raise
        finally:
            system.collect(handle, (*ANSWER, "out", "checkpoint"), folder)

    def test_it_is_called_as_the_workflow_calls_it(self, system: System) -> None:
        assert system.name == "place"

    def test_it_tells_what_is_installed_there(self, system: System) -> None:
        found = system.environment(["pydantic>=2", "a-distribution-that-nobody-has"]).libraries
        assert "pydantic" in found
        assert "a-distribution-that-nobody-has" not in found
        assert all(isinstance(version, str) and version for version in found.values())

    def test_it_tells_which_accelerators_it_has(self, system: System) -> None:
        assert system.has(Accelerator()) is True
        assert system.has(Accelerator("npu", "NobodysExecutionProvider")) is False

    def test_it_runs_a_job_and_brings_back_what_it_made(self, system: System, tmp_path: Path) -> None:
        folder, events = self._job(system, tmp_path / "job", "shout"), list[Event]()
        self.run(system, folder, events.append)
        assert (folder / "out" / "text.txt").read_text(encoding="utf-8") == "ONE TWO"
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        assert result["format"] == "text"
        assert [event.message for event in events if isinstance(event, Log)] == ["it was shouted: é"]
        assert any(isinstance(event, Progress) for event in events)

    def test_it_runs_one_job_after_another(self, system: System, tmp_path: Path) -> None:
        for number in range(2):
            folder = self._job(system, tmp_path / f"job {number}", "shout")
            self.run(system, folder)
            assert (folder / "result.json").exists()

    def test_an_error_of_the_work_is_an_answer(self, system: System, tmp_path: Path) -> None:
        folder = self._job(system, tmp_path / "job", "fail")
        self.run(system, folder)
        error = json.loads((folder / "error.json").read_text(encoding="utf-8"))
        assert error["message"] == "It cannot be done."

    def test_a_worker_that_dies_is_told_and_replaced(self, system: System, tmp_path: Path) -> None:
        with pytest.raises(WorkerDied):
            self.run(system, self._job(system, tmp_path / "job", "die"))
        folder = self._job(system, tmp_path / "next", "shout")
        self.run(system, folder)
        assert (folder / "result.json").exists()

    def test_what_survives_a_try_is_there_at_the_next(self, system: System, tmp_path: Path) -> None:
        for _ in range(2):
            folder = self._job(system, tmp_path / "job", "count_tries")
            self.run(system, folder)
        assert (folder / "out" / "text.txt").read_text(encoding="utf-8") == "2"

    def test_an_interruption_ends_the_work_there(self, system: System, tmp_path: Path) -> None:
        """Ctrl-C reaches the run as an exception in `on_event`; the work must not go on without it."""
        folder = self._job(system, tmp_path / "job", "tick")

        def interrupt(event: Event) -> None:
            if isinstance(event, Progress):
                raise KeyboardInterrupt

        watchdog = threading.Timer(self.seconds, lambda: (folder / "checkpoint" / "stop").touch())
        watchdog.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                self.run(system, folder, interrupt)
        finally:
            watchdog.cancel()
        time.sleep(0.5)
        ticks = (folder / "checkpoint" / "ticks").read_text(encoding="utf-8")
        time.sleep(0.5)
        assert (folder / "checkpoint" / "ticks").read_text(encoding="utf-8") == ticks
