"""One run of a pass or a metric in a process of its own, watched: what it planned, gave, read and wrote.

`run_trial(Order(…), environment)` starts `python -m modelpress.testing.trial FILE` and reads its report.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from modelpress.artifact import Artifact, Meta
from modelpress.context import DataSource, LoadedModel, ModelFacts
from modelpress.registry import Registered, Registry
from modelpress.specs import MetricSpec, PassSpec
from modelpress.testing.context import RecordingPlan, model_facts, options_class, run_metric, run_pass
from modelpress.testing.heavy import HEAVY
from modelpress.testing.watch import Watch
from modelpress.worker import WorkerContext

TIME_LIMIT = 300
"""Seconds after which a trial is ended and counts as failed."""


class Order(BaseModel):
    """What the process is to do.

    folder:  the job folder
    data:    (file, class) of the contract whose `data` are given, by role
    kill:    whether a first try is to be ended by SIGKILL when half of its work is done
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["pass", "metric"]
    name: str
    options: dict[str, JsonValue]
    model: Artifact
    folder: Path
    data: tuple[str, str]
    kill: bool = False


class Planned(BaseModel):
    """What the plan promised. heavy: modules that it loaded; seconds: of the processor."""

    problems: list[str]
    format: str
    size: int
    config: dict[str, JsonValue]
    meta: dict[str, JsonValue]
    heavy: list[str]
    seconds: float


class Given(BaseModel):
    """What came out. fault: why meta cannot be written as JSON; config: of the model, or of its base."""

    format: str
    size: int
    config: dict[str, JsonValue] | None
    meta: dict[str, JsonValue]
    fault: str
    numbers: dict[str, float]


class Trial(BaseModel):
    """What one run did. error: a traceback, empty when it ended well; killed: whether a first try was, as
    ordered; None when none was ordered.

    progress: how often it said how far it is; opened: formats that it opened with ctx.load
    libraries, variables, written: see Watch
    """

    folder: Path
    planned: Planned | None = None
    given: Given | None = None
    error: str = ""
    killed: bool | None = None
    progress: int = 0
    opened: list[str] = []
    libraries: list[str] = []
    variables: list[str] = []
    written: list[str] = []

    @property
    def out(self) -> Path:
        return self.folder / "out"


@dataclass(frozen=True, slots=True)
class TrialEnvironment:
    """Where a trial runs: folders of its own below `folder`, a hash seed, environment variables on top."""

    folder: Path
    hash_seed: int
    variables: Mapping[str, str]

    @property
    def home(self) -> Path:
        return self.folder / "home of the user"

    @property
    def working_folder(self) -> Path:
        return self.folder / "working folder"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def environment(self) -> dict[str, str]:
        """Of the process: nothing in it points to this user's caches."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "HF_", "PYTEST_"))}
        temporary = str(self.temporary)
        return {
            **kept,
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary),
            "PYTHONHASHSEED": str(self.hash_seed),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            "HF_HUB_OFFLINE": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            **self.variables,
        }

    def left_behind(self) -> list[Path]:
        """Files in folders that are nobody's to write to."""
        folders = (self.home, self.working_folder, self.temporary)
        return [path for folder in folders for path in sorted(folder.rglob("*")) if not path.is_dir()]


def run_trial(order: Order, around: TrialEnvironment) -> Trial:
    """Run the order in a fresh process. Raises nothing of what the pass does: it is in the trial."""
    for folder in (around.home, around.working_folder, around.temporary, order.folder):
        folder.mkdir(parents=True, exist_ok=True)
    told = order_file(order.folder)
    told.write_text(order.model_dump_json(), encoding="utf-8")
    report = _report_file(order.folder)
    report.unlink(missing_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "modelpress.testing.trial", str(told)],
            cwd=around.working_folder,
            env=around.environment(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial(folder=order.folder, error=f"It did not end within {TIME_LIMIT} seconds.")
    if report.exists():
        return Trial.model_validate_json(report.read_bytes())
    return Trial(folder=order.folder, error=f"It ended with {done.returncode}.\n{done.stderr[-4000:]}")


def relocated(artifact: Artifact, folder: Path) -> Artifact:
    """A copy of an artifact, its base too, under other paths."""
    shutil.copytree(artifact.path, folder / "model")
    base = relocated(artifact.base, folder / "base") if artifact.base else None
    return replace(artifact, path=folder / "model", base=base)


def order_file(folder: Path) -> Path:
    """Where the order of a job folder is kept."""
    return folder.with_name(f"{folder.name}.order.json")


def _report_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.trial.json")


# What follows runs in the process of its own.


def main(file: str) -> None:
    order = Order.model_validate_json(Path(file).read_bytes())
    registry = Registry.load()
    kind = PassSpec if order.kind == "pass" else MetricSpec
    provider = registry.find(kind, order.name).provider
    watch = Watch({folder.stem for folder in provider.folders} - {"modelpress"})
    watch.start()
    trial = Trial(folder=order.folder)
    opened = _note_opened()
    counted = _Counted()
    try:
        if order.kind == "pass":
            if order.kill:
                trial.killed = _killed_half_way(order, registry)
            _try_pass(order, registry, trial, counted)
        else:
            _try_metric(order, registry, trial, counted)
    except BaseException:  # noqa: BLE001 - whatever it does is what is to be told
        trial.error = traceback.format_exc()
    trial.progress = counted.count
    trial.opened = sorted(opened)
    trial.libraries = sorted(watch.libraries)
    trial.variables = sorted(watch.variables)
    trial.written = sorted(watch.written)
    _report_file(order.folder).write_text(trial.model_dump_json(), encoding="utf-8")


def _note_opened() -> set[str]:
    """Filled with the formats that are opened in their runtime from now on: whose libraries these are."""
    opened: set[str] = set()
    plain = WorkerContext.load

    def load(context: WorkerContext, model: Artifact, device: str = "") -> LoadedModel:
        opened.add(model.format)
        return plain(context, model, device)

    setattr(WorkerContext, "load", load)  # noqa: B010 - a process of its own, which ends after the run
    return opened


def _killed_half_way(order: Order, registry: Registry) -> bool:
    """Whether a process that does the same work was killed at its half. It begins as a copy of this one, with
    the libraries loaded and nothing done: loading them is what takes the time of a small run."""
    registered = registry.find(PassSpec, order.name)
    registered.resolve(registered.spec.run)
    child = os.fork()
    if child == 0:
        try:
            _try_pass(order, registry, Trial(folder=order.folder), _KilledHalfWay())
        finally:
            os._exit(0)
    deadline = time.monotonic() + TIME_LIMIT / 2
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    return os.WIFSIGNALED(ended[1]) and os.WTERMSIG(ended[1]) == signal.SIGKILL


def _try_pass(order: Order, registry: Registry, trial: Trial, counted: _Counted) -> None:
    registered = registry.find(PassSpec, order.name)
    source = order.model
    trial.planned = _plan(registered, source, order.options)
    result = run_pass(
        registered, source, order.options, order.folder,
        registry=registry, data=_GivenByClass(*order.data), watch=counted,
    )  # fmt: skip
    meta, fault = _written_meta(result.meta)
    config = _config(result)
    trial.given = Given(
        format=result.format, size=result.size, config=config, meta=meta, fault=fault, numbers={}
    )


def _try_metric(order: Order, registry: Registry, trial: Trial, counted: _Counted) -> None:
    registered = registry.find(MetricSpec, order.name)
    numbers = run_metric(
        registered, order.model, order.options, order.folder,
        registry=registry, data=_GivenByClass(*order.data), watch=counted,
    )  # fmt: skip
    trial.given = Given(format="", size=0, config=None, meta={}, fault="", numbers=dict(numbers))


def _plan(registered: Registered[PassSpec], source: Artifact, values: Mapping[str, JsonValue]) -> Planned:
    spec = registered.spec
    before, started = set(sys.modules), time.process_time()
    context = RecordingPlan()
    options = options_class(registered).parse(values)
    produces = source.format if spec.produces == "same" else spec.produces
    facts: ModelFacts = replace(model_facts(source), format=produces)
    if spec.plan:
        facts = registered.resolve(spec.plan)(model_facts(source), options, context)
    seconds = time.process_time() - started
    heavy = {name for name in set(sys.modules) - before if name in HEAVY}
    meta, fault = _written_meta(facts.meta)
    return Planned(
        problems=[*context.problems, *([f"The plan's meta: {fault}"] if fault else [])],
        format=facts.format,
        size=facts.size if spec.plan else 0,
        config=json.loads(json.dumps(dict(facts.config))),
        meta=meta,
        heavy=sorted(heavy),
        seconds=seconds,
    )


def _written_meta(meta: Meta) -> tuple[dict[str, JsonValue], str]:
    """(meta as it comes back from JSON, what is wrong with it)."""
    plain = asdict(meta)
    try:
        back: dict[str, JsonValue] = json.loads(json.dumps(plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        return {}, f"{error} (meta: {plain!r})"
    return back, "" if back == plain else f"it comes back from JSON as {back!r}, and was {plain!r}"


def _config(result: Artifact) -> dict[str, JsonValue] | None:
    for artifact in filter(None, (result, result.base)):
        file = artifact.path / "config.json"
        if file.is_file():
            config: dict[str, JsonValue] = json.loads(file.read_bytes())
            return config
    return None


class _Counted:
    """Counts how often a pass says how far it is."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, context: WorkerContext, done: int, total: int) -> None:
        self.count += 1


class _KilledHalfWay(_Counted):
    """Ends the process by a signal that it cannot catch."""

    def __call__(self, context: WorkerContext, done: int, total: int) -> None:
        super().__call__(context, done, total)
        if done * 2 >= total if total else self.count >= 2:
            context.flush()
            os.kill(os.getpid(), signal.SIGKILL)


class _GivenByClass(Mapping[str, DataSource]):
    """The `data` of a contract's class. Its file is imported when data are asked for, and not before: what a
    test module imports must not be taken for what the plan does."""

    def __init__(self, file: str, name: str) -> None:
        self._file = file
        self._name = name
        self._known: Mapping[str, DataSource] | None = None

    def __getitem__(self, role: str) -> DataSource:
        return self._data()[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data())

    def __len__(self) -> int:
        return len(self._data())

    def _data(self) -> Mapping[str, DataSource]:
        if self._known is None:
            self._known = {}
            if self._file:
                spec = importlib.util.spec_from_file_location("contract_under_test", self._file)
                if spec is not None and spec.loader is not None:
                    module = importlib.util.module_from_spec(spec)
                    sys.modules[spec.name] = module
                    spec.loader.exec_module(module)
                    self._known = attrgetter(self._name)(module).data
        return self._known or {}


def finite(numbers: Mapping[str, float]) -> bool:
    return all(math.isfinite(value) for value in numbers.values())


if __name__ == "__main__":
    main(sys.argv[1])
