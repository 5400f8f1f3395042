"""The worker: `python -m modelpress.worker FOLDER` runs the job in a folder and writes its answer there.

Every system runs this same command. `--serve` keeps the process warm: it reads one folder a line (as
JSON) from standard input and answers `done` a line on standard output, so that torch is imported once for
many jobs. It ends when its standard input ends: with the run that started it, however that ends.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import queue
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from operator import index
from pathlib import Path
from typing import IO, Any

from modelpress import fence
from modelpress.artifact import Artifact, Meta
from modelpress.context import Accelerator, DataSource, LoadedModel, declared_target
from modelpress.disk import disk_full, is_disk_full
from modelpress.engine.job import (
    DATA_FOLDER_INPUT,
    ErrorRecord,
    FormatCode,
    Job,
    Result,
    input_path,
    model_artifact,
    read_job,
    scrub_job,
    with_paths,
    write_error,
    write_result,
)
from modelpress.errors import (
    MissingDependencyError,
    ModelpressError,
    PassError,
    PluginError,
    UserError,
    recorded_name,
    text_of,
)
from modelpress.events import Event, EventFile, Log, Progress, Report
from modelpress.fence import Origin
from modelpress.json_types import JSONValue
from modelpress.memory import PeakMemory
from modelpress.options import Options
from modelpress.records import to_json
from modelpress.secrets import give, read_secret
from modelpress.specs import Reference
from modelpress.start import add_code
from modelpress.worker_output import output_to

_PROGRESS_INTERVAL = 0.05
_LOAD_LIMIT = 10**8
"""Bytes up to which a result is opened in its runtime at the end of a run, where its pass has not done so.
Opened in float32, 4-bit weights take up to sixteen times as much."""
_MOST_TOLD = 10**9
"""Bytes of events that one job may tell: who tells more does so without end."""


def main(arguments: list[str]) -> int:
    """`FOLDER`, or `--serve`. Returns the exit code: 0 whenever an answer was written."""
    faulthandler.enable()
    if arguments == ["--serve"]:
        serve()
    if len(arguments) != 1:
        print("usage: python -m modelpress.worker FOLDER | --serve", file=sys.stderr)
        return 2
    return 1 if work(Path(arguments[0])) else 0


def serve() -> None:
    """Run one job after another until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    jobs = os.fdopen(os.dup(0), "rb")
    # On Windows `import numpy` looks at standard input, and hangs while a thread waits for a pipe there
    # (numpy#24290): the pipe is read by a name of its own.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read_orders, args=(jobs, orders), daemon=True).start()
    while True:
        order = orders.get()
        folder = Path(order["folder"])
        give(order["secrets"])
        with output_to(folder):
            unwritten = work(folder)
        answers.write(json.dumps(to_json(unwritten)).encode("ascii") + b"\n" if unwritten else b"done\n")
        answers.flush()


def _read_orders(jobs: IO[bytes], orders: queue.Queue[dict[str, Any]]) -> None:
    for line in jobs:
        orders.put(json.loads(line))
    # The run has ended, perhaps by SIGKILL in the middle of a job: nobody waits for the answer.
    os._exit(0)


def work(folder: Path) -> ErrorRecord | None:
    """Run the job in the folder. Writes result.json or error.json; raises only KeyboardInterrupt.

    Returns None, or the error where not even that could be written down.
    """
    folder = folder.resolve()
    unwritten = None
    try:
        with closing(EventFile(folder / "events.jsonl")) as events:
            write_result(folder, _execute(folder, events))
    except KeyboardInterrupt:
        raise
    # Whatever a pass or a library raises must reach the user as an answer, also from another machine.
    except BaseException as error:  # noqa: BLE001
        unwritten = _answer_error(folder, error)
    finally:
        scrub_job(folder)
        shutil.rmtree(folder / "scratch", ignore_errors=True)
    return unwritten


def _answer_error(folder: Path, error: BaseException) -> ErrorRecord | None:
    record = _error_record(error, folder)
    try:
        traceback.print_exception(error)
        write_error(folder, record)
    except OSError:
        return record
    return None


def _execute(folder: Path, events: EventFile) -> Result:
    started = time.monotonic()
    code = folder / "code"
    if code.is_dir():
        add_code(str(code))
    importlib.invalidate_caches()
    job = read_job(folder)
    if job.offline:
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    context = WorkerContext(folder, job, events)
    with PeakMemory() as peak:
        result = _do(job, folder, context)
    context.flush()
    return replace(
        result,
        reports=context.reports,
        seconds=round(time.monotonic() - started, 3),
        peak_memory=peak.bytes,
        python=sys.version.split()[0],
    )


def _do(job: Job, folder: Path, context: WorkerContext) -> Result:
    """Run the pass or the metric of the job, and check what it gives."""
    codes = {job.run: job.origin, **{data.open: data.origin for data in job.data.values()}}
    codes |= {code.load: code.origin for code in job.formats.values() if code.load}
    try:
        run = _reference(job.origin, job.run, "run")
        options = parse_options(job.origin, job.config, with_paths(job.options, folder))
        answer = fence.call(job.origin, run, model_artifact(job.model, folder), options, context)
        return context.finish_metric(answer) if job.origin.kind == "metric" else context.finish_pass(answer)
    except PluginError as error:
        # A pass calls the data and the models that other plugins opened: it is not at fault for these.
        cause = error.__cause__
        code = fence.culprit(cause, codes) if cause else ""
        if cause is None or not code or codes[code].plugin == job.origin.plugin:
            raise
        raise fence.fault(codes[code], code, fence.told_of(cause), cause) from cause
    except KeyboardInterrupt as error:
        code = fence.culprit(error, codes)
        if not code or fence.is_interrupt(error, code):
            raise
        raise fence.fault(codes[code], code, fence.told_of(error), error) from error


def _reference(origin: Origin, text: str, field: str) -> Reference[Any]:
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
    reference = _reference(origin, config, "config") if config else Reference.of("", "config")
    cls: type[Options] = fence.load(origin, reference) if config else Options
    with fence.fence(origin, reference):
        return cls.parse(values)


class WorkerContext:
    """The PassContext of a job that runs in this process."""

    def __init__(self, folder: Path, job: Job, events: EventFile) -> None:
        self.out = folder / "out"
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
        try:
            self.data_folder = input_path(folder, DATA_FOLDER_INPUT)
        except ModelpressError:
            self.data_folder = self.scratch / "data"

    @property
    def accelerator(self) -> Accelerator:
        return declared_target(self._job.target, self._job.origin.name)

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
        opened = _reference(data.origin, data.open, "open")
        source: DataSource = fence.call(data.origin, opened, options, self.data_folder)
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

    def load(self, model: Artifact, device: str = "") -> LoadedModel:
        code = self._job.formats.get(model.format)
        if code is None or not code.load:
            raise PassError(f"No installed plugin can load the format {model.format!r}.")
        reference = _reference(code.origin, code.load, "load")
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
        if code:
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
        reference = _reference(code.origin, code.check, "check")
        try:
            fence.call(code.origin, reference, answer.path)
        except UserError as error:
            raise self._fault(f"it left a broken {answer.format}: {error.message.rstrip('.')}") from error

    def finish_metric(self, answer: Mapping[str, float]) -> Result:
        """Check that a metric gave what it promises."""
        known = self._job.gives
        strangers = [repr(name) for name in answer if name not in known]
        if strangers or not answer:
            told = ", ".join(strangers) or "no number"
            raise self._fault(f"it returned {told}, expected some of {', '.join(known) or 'nothing'}")
        return Result(metrics={name: float(value) for name, value in answer.items()})

    def _fault(self, what: str) -> PluginError:
        return fence.fault(self._job.origin, self._job.run, what)


def _error_record(error: BaseException, folder: Path) -> ErrorRecord:
    """What it is to the user: a machine that is too small is no fault of a plugin."""
    cause = (error.__cause__ if isinstance(error, PluginError) else None) or error
    if not isinstance(cause, ModelpressError) and _is_out_of_memory(cause):
        name, message = "PassError", "It ran out of memory."
        hint = "Use smaller batches, blocks or sequences, or a machine with more memory."
    elif not isinstance(cause, ModelpressError) and is_disk_full(cause, folder):
        shutil.rmtree(folder / "out", ignore_errors=True)  # half a model: it is in the way of everything
        full = disk_full(folder, text_of(cause))
        name, message, hint = recorded_name(full), full.message, full.hint
    elif isinstance(error, ModelpressError):
        name, message, hint = recorded_name(error), error.message, error.hint
    else:
        name, message, hint = type(error).__name__, text_of(error) or type(error).__name__, ""
    return ErrorRecord(name, message, hint, "".join(traceback.format_exception(error)))


def _is_out_of_memory(error: BaseException) -> bool:
    text = text_of(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and ("not enough memory" in text or "bad_alloc" in text))
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
