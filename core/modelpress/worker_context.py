"""What a pass or a metric is given by the worker that runs it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from operator import index
from pathlib import Path
from typing import Any

from modelpress import fence
from modelpress.artifact import Artifact, Meta
from modelpress.context import Accelerator, DataContext, declared_target
from modelpress.engine.job import (
    DATA_FOLDER_INPUT,
    FormatCode,
    Job,
    Result,
    input_path,
    model_artifact,
    with_paths,
)
from modelpress.errors import MissingDependencyError, ModelpressError, PassError, PluginError, UserError
from modelpress.estimate import Estimate
from modelpress.events import Event, EventFile, Log, Progress, Report
from modelpress.fence import Origin
from modelpress.json_types import JSONValue
from modelpress.opened import LoadedModel
from modelpress.options import Options
from modelpress.samples import DataSource
from modelpress.secrets import read_secret
from modelpress.specs import Reference
from modelpress.worker_ranks import begin_ranks

_PROGRESS_INTERVAL = 0.05
_LOAD_LIMIT = 10**8
"""Bytes up to which a result is opened in its runtime at the end of a run, where its pass has not done so.
Opened in float32, 4-bit weights take up to sixteen times as much."""
_MOST_TOLD = 10**9
"""Bytes of events that one job may tell: who tells more does so without end."""


def reference_of(origin: Origin, text: str, field: str) -> Reference[Any]:
    """What `module:name` of a spec's field stands for here. Raises MissingDependencyError when this Python
    lacks the plugin."""
    package = text.partition(":")[0].partition(".")[0]
    if package not in sys.modules and find_spec(package) is None:
        raise MissingDependencyError(
            f"The {origin.kind} {origin.name} needs {package!r} of {origin}, "
            f"which is not installed in {sys.prefix}.",
            origin.install_hint,
        )
    return Reference.of(text, field)


def parse_options(origin: Origin, config: str, values: Mapping[str, Any]) -> Options:
    """config: `module:Class`; empty when there are no options."""
    reference = reference_of(origin, config, "config") if config else Reference.of("", "config")
    cls: type[Options] = fence.load(origin, reference) if config else Options
    with fence.fence(origin, reference):
        return cls.parse(values)


class WorkerContext:
    """The PassContext of a job that runs in this process."""

    def __init__(self, folder: Path, job: Job, events: EventFile, rank: int = 0, ranks: int = 1) -> None:
        self.rank = rank
        self.ranks = ranks
        self.out = folder / "out" if rank == 0 else folder / "scratch" / f"rank-{rank}"
        self.out.mkdir(parents=True, exist_ok=True)
        self.scratch = folder / "scratch"
        self.checkpoint = folder / "checkpoint"
        self.seed = job.seed
        self.device = job.device
        self.target_is_here = job.target_is_here
        self.offline = job.offline
        self.reports: dict[str, JSONValue] = {}
        self._folder = folder
        self._job = job
        self._events = events
        self._loaded_out = False
        self._last_progress = 0.0
        self._pending: Progress | None = None
        self._input_model = model_artifact(job.input_model, folder) if job.input_model else None
        try:
            self.data_folder = input_path(folder, DATA_FOLDER_INPUT)
        except ModelpressError:
            self.data_folder = self.scratch / "data"

    @property
    def accelerator(self) -> Accelerator:
        return declared_target(self._job.target, self._job.origin.name)

    @property
    def input_model(self) -> Artifact:
        if self._input_model is None:
            raise PassError(
                f"{self._job.origin.name} asked for the input model, which its spec does not compare with.",
                "A MetricSpec with `compares=True` is given ctx.input_model.",
            )
        return self._input_model

    @property
    def compared_folder(self) -> Path | None:
        key = self._job.compared_key
        return self.data_folder / "compared" / key if key else None

    def compare_with(self, model: Artifact) -> None:
        """Give a metric what it compares with; a job names it itself."""
        self._input_model = model

    def data(self, role: str) -> DataSource:
        data = self._job.data.get(role)
        if data is None:
            known = ", ".join(sorted(self._job.data)) or "none"
            raise UserError(
                f"{self._job.origin.name} asked for the data {role!r}, but none is named (named: {known}).",
                f"Give the option that names a data config for {role!r}.",
            )
        options = parse_options(data.origin, data.config, with_paths(data.options, self._folder))
        self.data_folder.mkdir(parents=True, exist_ok=True)
        opened = reference_of(data.origin, data.open, "open")
        source: DataSource = fence.call(
            data.origin, opened, options, DataContext(self.data_folder, self.note)
        )
        return source

    def secret(self, name: str) -> str:
        if name not in self._job.secrets:
            raise PassError(
                f"{self._job.origin.name} asked for a secret that no option of the step names.",
                "Mark the option as a Secret, and read it with ctx.secret(config.THE_OPTION).",
            )
        return read_secret(name)

    def progress(self, done: int, total: int, unit: str) -> None:
        fence.expect(str, unit=unit)
        self._pending = Progress(index(done), index(total), unit)
        now = time.monotonic()
        if done == total or now - self._last_progress >= _PROGRESS_INTERVAL:
            self._last_progress = now
            self.flush()

    def flush(self) -> None:
        """Write the last progress that was held back."""
        if self._pending:
            self._tell(self._pending)
            self._pending = None

    def _tell(self, event: Event) -> None:
        self._events(event)
        if self._events.size > _MOST_TOLD:
            raise fence.EndlessOutput(_MOST_TOLD)

    def report(self, name: str, value: JSONValue) -> None:
        fence.expect(str, name=name)
        self.reports[name] = value
        self.flush()  # a number belongs to how far the work is now
        self._tell(Report(name, value))

    def note(self, message: str) -> None:
        fence.expect(str, message=message)
        self._tell(Log("note", message))

    def artifact(self, format: str, *, base: Artifact | None = None, meta: Meta | None = None) -> Artifact:
        return Artifact(self.out, format, key="", base=base, meta=meta or Meta())

    def in_ranks(self, count: int) -> Artifact:
        result = begin_ranks(self._folder, count, self.device)
        self.reports.update(result.reports)
        model = model_artifact(self._job.model, self._folder)
        base = (model.base or model) if result.base else None
        return self.artifact(result.format, base=base, meta=result.meta)

    def was_run(self) -> None:
        self._loaded_out = True

    def load(self, model: Artifact, device: str = "") -> LoadedModel:
        code = self._job.formats.get(model.format)
        if code is None or not code.load:
            raise PassError(f"No installed plugin can load the format {model.format!r}.")
        reference = reference_of(code.origin, code.load, "load")
        loaded: LoadedModel = fence.call(code.origin, reference, model, device or self.device)
        if model.path == self.out:
            self._loaded_out = True
        return loaded

    def finish_pass(self, answer: Artifact) -> Result:
        """Check that a pass gave what it promises; open it once in its runtime when the job asks for it."""
        expected = self._job.produces
        if answer.format != expected:
            raise self._fault(f"it promises {expected!r} but returned {answer.format!r}")
        if answer.path.resolve() != self.out.resolve():
            raise self._fault(f"it wrote to {answer.path}, expected ctx.out ({self.out})")
        code = self._job.formats.get(answer.format)
        if code and self.rank == 0:
            self._check(code, answer)
            if self._job.load_once and code.load and not self._loaded_out:
                self._load_once(answer)
        meta = answer.meta.after(self._job.model.meta)
        return Result(format=answer.format, meta=meta, base=answer.base.key if answer.base else "")

    def _load_once(self, answer: Artifact) -> None:
        """Open the output in its runtime, unless that would hold a large model where the work did not."""
        size = answer.size + (answer.base.size if answer.base else 0)
        if size > _LOAD_LIMIT:
            self.note(
                f"The result was checked file by file, but not loaded: it has {size / 1e9:.2g} GB, and "
                "loading it may take several times the memory that making it took."
            )
            return
        loaded, code = self.load(answer), self._job.formats[answer.format]
        with fence.fence(code.origin, code.load):
            loaded.close()

    def _check(self, code: FormatCode, answer: Artifact) -> None:
        reference = reference_of(code.origin, code.check, "check")
        try:
            fence.call(code.origin, reference, answer.path)
        except UserError as error:
            raise self._fault(f"it left a broken {answer.format}: {error.message.rstrip('.')}") from error

    def finish_metric(self, answer: Mapping[str, float | Estimate]) -> Result:
        """Check that a metric gave what it promises."""
        known = self._job.gives
        strangers = [repr(name) for name in answer if known and name not in known]
        if strangers or not answer:
            told = ", ".join(strangers) or "no number"
            raise self._fault(f"it returned {told}, expected some of {', '.join(known) or 'nothing'}")
        intervals = {n: (float(v.low), float(v.high)) for n, v in answer.items() if isinstance(v, Estimate)}
        return Result(metrics={name: float(value) for name, value in answer.items()}, intervals=intervals)

    def _fault(self, what: str) -> PluginError:
        return fence.fault(self._job.origin, self._job.run, what)
