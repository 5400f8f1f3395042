"""The tests that every system has to stand.

class TestAcmeBox(SystemContract):
    system_name = "AcmeBox"
    options = {"queue": "small"}
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import pytest
import xxhash

import modelpress
from modelpress.artifact import file_facts
from modelpress.context import Accelerator
from modelpress.engine.job import Job, ModelInput, Source, read_job, ship_code, write_job
from modelpress.engine.job_runner import ANSWER
from modelpress.engine.process import child_environment, import_path
from modelpress.engine.scheduler import Scheduler, Slots, Work
from modelpress.errors import WorkerDied
from modelpress.events import Event, Log, Progress, Report
from modelpress.fence import Origin
from modelpress.identity import content_identity
from modelpress.registry import Registered, Registry
from modelpress.requirements import WORKER_REQUIRES, lacks
from modelpress.specs import SystemSpec
from modelpress.system import System, Tell
from modelpress.testing.contract import Contract
from modelpress.testing.sample_work import LARGE, SECRET

_WORK = "modelpress.testing.sample_work"


class SystemContract(Contract[SystemSpec]):
    """Subclass it in a test module and say how the place is reached; pytest does the rest."""

    system_name: ClassVar[str] = ""
    seconds: ClassVar[float] = 60
    """How long a small job may take there, the way included."""
    isolated: ClassVar[bool] = False
    """Whether its jobs can read nothing of this machine but what they were given."""
    large: ClassVar[int] = LARGE
    """Bytes of an artifact that is large."""
    pause: ClassVar[float] = 0.05
    """Seconds between two of twenty things that a job tells: a place that looks now and then needs longer to
    tell the first before the last has happened."""

    def find(self, registry: Registry) -> Registered[SystemSpec]:
        return registry.find(SystemSpec, self.system_name)

    def light_references(self, spec: SystemSpec) -> list[str]:
        return [spec.open, *filter(None, [spec.config])]

    @pytest.fixture
    def system(self, registered: Registered[SystemSpec], libraries: None, tmp_path: Path) -> Iterator[System]:
        opened = registered.resolve(registered.spec.open)(
            self.parsed(registered, self.some_options(tmp_path)), "place"
        )
        opened.environment(WORKER_REQUIRES)
        opened.prepare(WORKER_REQUIRES, print)
        yield opened
        opened.close()

    def _job(self, system: System, folder: Path, what: str, model: Path | None = None) -> Path:
        """A job folder for one of the small pieces of work. model: a folder; else one with two words."""
        if model is None:
            model = folder.with_name("model")
            model.mkdir(exist_ok=True)
            (model / "text.txt").write_text("one two", encoding="utf-8")
        folder.mkdir(exist_ok=True)
        job = Job(
            Origin("pass", what, "modelpress", "modelpress", "0"), name=what, run=f"{_WORK}:{what}",
            config="modelpress.options:Options", options={}, model=ModelInput("model", "text", "content:1"),
            produces="text", id=uuid4().hex, sources={"model": Source(content_identity(model))},
            requires=WORKER_REQUIRES, secrets=(SECRET,) if what == "leak" else (),
            list_out=not system.traits.shares_files,
        )  # fmt: skip
        write_job(folder, job, {"model": model})
        if system.traits.ships_code:
            ship_code(folder, [Path(modelpress.__file__).parent])
        return folder

    def left_behind(self) -> Iterable[Path]:
        """Folders of the place that this machine can look into, which are searched for secrets."""
        return ()

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
        there = system.environment(["pydantic>=2", "a-distribution-that-nobody-has"])
        if there.digest and not there.libraries:
            pytest.skip("the place is not made yet")
        found = there.libraries
        assert "pydantic" in found
        assert "a-distribution-that-nobody-has" not in found
        assert all(isinstance(version, str) and version for version in found.values())

    def test_a_library_of_a_wrong_version_is_seen(self, system: System) -> None:
        requires = ["pydantic>=999", "a-distribution-that-nobody-has"]
        there = system.environment(requires)
        if there.digest:
            pytest.skip("the place is made from what is required")
        assert [lack.requirement for lack in lacks(requires, there.libraries)] == requires

    def test_it_tells_which_accelerators_it_has(self, system: System) -> None:
        assert system.has(Accelerator()) is True
        assert system.has(Accelerator("npu", "NobodysExecutionProvider")) is False

    def test_it_runs_a_job_and_brings_back_what_it_made(self, system: System, tmp_path: Path) -> None:
        folder, events = self._job(system, tmp_path / "job", "shout"), list[Event]()
        self.run(system, folder, events.append)
        assert (folder / "out" / "text.txt").read_text(encoding="utf-8") == "ONE TWO"
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        assert result["format"] == "text"
        of_the_job = [event for event in events if event.number]  # others are the system's own
        assert [event.message for event in of_the_job if isinstance(event, Log)] == ["it was shouted: é"]
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
        assert (error["message"], error["hint"]) == ("It cannot be done.", "Do something else.")

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

    def test_what_it_brings_back_is_what_was_made_byte_for_byte(self, system: System, tmp_path: Path) -> None:
        """Names with spaces and of any letters, folders in folders, every byte, and no byte at all."""
        model = tmp_path / "ein Modell, größer 模型"
        (model / "unter ordner").mkdir(parents=True)
        (model / "unter ordner" / "ключ 1.bin").write_bytes(bytes(range(256)) * 40)
        (model / "empty").touch()
        (model / "ends\r\n.txt" if os.name == "posix" else model / "ends.txt").write_bytes(b"a\r\nb\n")
        folder = self._job(system, tmp_path / "ein Auftrag ü", "copy", model)
        self.run(system, folder)
        assert file_facts(folder / "out") == file_facts(model)

    def test_jobs_see_nothing_of_this_machine_but_what_they_were_given(
        self, system: System, tmp_path: Path
    ) -> None:
        """Neither its files, nor where the inputs lie here: not in any file that the job can read."""
        if not self.isolated:
            pytest.skip("it is this machine, or shares its files")
        model, private = tmp_path / "its model", tmp_path / "private.txt"
        model.mkdir()
        private.write_text("for nobody", encoding="utf-8")
        folder = tmp_path / "job"
        (model / "text.txt").write_text(f"{tmp_path}\n{private}\n{model}\n{folder}", encoding="utf-8")
        self.run(system, self._job(system, folder, "look_around", model))
        assert (folder / "out" / "text.txt").read_text(encoding="utf-8") == "seen: ; told in: "

    def test_what_was_submitted_needs_this_machines_files_no_more(
        self, system: System, tmp_path: Path
    ) -> None:
        if system.traits.shares_files:
            pytest.skip("it reads the files of this machine")
        folder = self._job(system, tmp_path / "job", "wait_and_copy")
        handle = system.submit(folder)
        (tmp_path / "model").rename(tmp_path / "moved away")
        system.watch(handle, lambda event: None)
        system.collect(handle, (*ANSWER, "out"), folder)
        assert file_facts(folder / "out") == file_facts(tmp_path / "moved away")

    def test_events_come_in_their_order_while_it_works(self, system: System, tmp_path: Path) -> None:
        folder, told = self._job(system, tmp_path / "job", "count"), list[tuple[float, Event]]()
        (folder / "checkpoint" / "pause").write_text(str(self.pause), encoding="utf-8")
        self.run(system, folder, lambda event: told.append((time.time(), event)))
        numbers = [(at, event) for at, event in told if isinstance(event, Report)]
        assert [event.value for _, event in numbers] == list(range(20))
        assert [event.number for _, event in numbers] == sorted({event.number for _, event in numbers})
        assert {event.job for _, event in numbers} == {read_job(folder).id}
        last = max(event.time for _, event in told)  # of a system's own events there is none
        assert numbers[0][0] < last  # the first was told before the last one happened

    def test_a_job_that_was_submitted_before_is_not_begun_again(self, system: System, tmp_path: Path) -> None:
        """Whoever submitted it was killed before it had written the handle down."""
        if not system.traits.attachable:
            pytest.skip("its jobs end with the run")
        folder = self._job(system, tmp_path / "job", "count_tries")
        handles = [system.submit(folder) for _ in range(2)]
        assert handles[0] == handles[1]
        system.watch(handles[1], lambda event: None)
        system.collect(handles[1], (*ANSWER, "out"), folder)
        assert (folder / "out" / "text.txt").read_text(encoding="utf-8") == "1"

    def test_a_run_that_is_killed_leaves_a_job_to_attach_to_or_none(
        self, registered: Registered[SystemSpec], system: System, tmp_path: Path
    ) -> None:
        folder = self._job(system, tmp_path / "job", "tick")
        runner = subprocess.Popen(
            [sys.executable, "-c", _RUNNER, self.system_name, str(folder)],
            env=child_environment({**os.environ, "PYTHONPATH": import_path()}),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if runner.stdin and runner.stdout:
            runner.stdin.write(json.dumps(dict(self.some_options(tmp_path))) + "\n")
            runner.stdin.flush()
            handle = json.loads(runner.stdout.readline())
            assert runner.stdout.readline() == "begun\n"
        runner.kill()
        runner.wait()
        if system.traits.attachable:
            ticks = list[Event]()

            def see_some(event: Event) -> None:
                ticks.append(event)
                if len(ticks) == 3:
                    raise _Enough

            with pytest.raises(_Enough):
                system.watch(handle, see_some)
        system.cancel(handle)
        system.collect(handle, ("checkpoint",), folder)
        ticks_file = folder / "checkpoint" / "ticks"
        before = ticks_file.read_text(encoding="utf-8")
        time.sleep(0.5)
        system.collect(handle, ("checkpoint",), folder)
        assert ticks_file.read_text(encoding="utf-8") == before

    def test_a_vendors_code_runs_there(self, system: System, tmp_path: Path) -> None:
        """An extension module, data beside the code, a namespace that two distributions share."""
        packages = _vendor_packages(tmp_path)
        folder = self._job(system, tmp_path / "job", "borrow")
        ship_code(folder, packages)
        self.run(system, folder)
        answer = folder / "error.json" if (folder / "error.json").exists() else folder / "result.json"
        assert (folder / "result.json").exists(), answer.read_text(encoding="utf-8")
        digest = xxhash.xxh3_64_hexdigest(b"1")
        assert (folder / "out" / "text.txt").read_text(encoding="utf-8") == f"ein Wert {digest} other"

    def test_a_gigabyte_comes_back_whole(self, system: System, tmp_path: Path) -> None:
        folder = self._job(system, tmp_path / "job", "large")
        (folder / "checkpoint" / "size").write_text(str(self.large), encoding="utf-8")
        self.run(system, folder)
        file = folder / "out" / "large.bin"
        assert file.stat().st_size == self.large
        with file.open("rb") as read:
            assert read.read(5) == b"begin"
            read.seek(-3, os.SEEK_END)
            assert read.read() == b"end"
        file.unlink()

    def test_twenty_jobs_at_once(self, system: System, tmp_path: Path) -> None:
        folders = [self._job(system, tmp_path / f"job-{number}", "shout") for number in range(20)]
        with Scheduler[None](lambda place: Slots(system.traits.max_jobs, place), print) as scheduler:
            for folder in folders:
                scheduler.add(Work(folder.name, "place", lambda tell, job=folder: self.run(system, job)))  # type: ignore[misc]
            errors = [ended.error for ended in scheduler.ended() if ended.error]
        assert not errors
        assert {(folder / "out" / "text.txt").read_text(encoding="utf-8") for folder in folders} == {
            "ONE TWO"
        }

    def test_a_secret_is_in_nothing_that_is_left(
        self,
        system: System,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Told by the work in every way that there is, it is in no file, event or error: searched by
        value."""
        value = f"press-{uuid4().hex}"
        monkeypatch.setenv(SECRET, value)
        folder, told = self._job(system, tmp_path / "job", "leak"), list[Event]()
        self.run(system, folder, told.append)
        error = json.loads((folder / "error.json").read_text(encoding="utf-8"))
        assert error["message"].startswith("It failed with"), error
        assert value not in repr(told)
        assert value not in "".join(capsys.readouterr())
        places = [tmp_path, *self.left_behind()]
        files = [path for place in places for path in place.rglob("*") if path.is_file()]
        assert not [path for path in files if value.encode() in path.read_bytes()]


class _Enough(Exception):
    """Seen what was to be seen."""


_RUNNER = """
import json, sys
from pathlib import Path
from modelpress.registry import Registry
from modelpress.requirements import WORKER_REQUIRES
from modelpress.specs import SystemSpec
registered = Registry.load().find(SystemSpec, sys.argv[1])
system = registered.resolve(registered.spec.open)(registered.parse(json.loads(sys.stdin.readline())), "place")
system.environment(WORKER_REQUIRES)
system.prepare(WORKER_REQUIRES, lambda event: None)
handle = system.submit(Path(sys.argv[2]))
print(json.dumps(handle), flush=True)
said = []
system.watch(handle, lambda event: said or (said.append(1), print("begun", flush=True)))
"""


_PRESS = """
import json
from importlib.resources import files
from ._xxhash import xxh3_64_hexdigest as digest

def table():
    return json.loads((files(__name__) / "table.json").read_text(encoding="utf-8"))["name"]
"""


def _vendor_packages(folder: Path) -> list[Path]:
    """Two distributions' parts of one namespace, as they lie where they are installed."""
    press, other = folder / "site-1" / "contract_space", folder / "site-2" / "contract_space"
    (press / "press").mkdir(parents=True)
    (press / "press" / "table.json").write_text('{"name": "ein Wert"}', encoding="utf-8")
    compiled = Path(str(find_spec("xxhash._xxhash").origin))  # type: ignore[union-attr]
    shutil.copy(compiled, press / "press" / compiled.name)
    (press / "press" / "__init__.py").write_text(_PRESS, encoding="utf-8")
    other.mkdir(parents=True)
    (other / "other.py").write_text("NAME = 'other'\n", encoding="utf-8")
    return [press, other]
