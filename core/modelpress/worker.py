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
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from modelpress.artifact import Artifact, Meta
from modelpress.context import Accelerator, DataSource, LoadedModel, declared_target
from modelpress.disk import disk_full, is_disk_full
from modelpress.engine.job import (
    ErrorRecord,
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
from modelpress.errors import MissingDependencyError, ModelpressError, PassError, UserError
from modelpress.events import EventFile, JSONValue, Log, Progress, Report
from modelpress.memory import PeakMemory
from modelpress.records import to_json
from modelpress.secrets import give, read_secret
from modelpress.start import add_code

if TYPE_CHECKING:
    from modelpress.options import Options

_PROGRESS_INTERVAL = 0.05
_LOAD_LIMIT = 10**8
"""Bytes up to which a result is opened in its runtime at the end of a run, where its pass has not done so.
Opened in float32, 4-bit weights take up to sixteen times as much."""
DATA_FOLDER_INPUT = "data-folder"


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
        with _output_to(folder / "log.txt"):
            unwritten = work(folder)
        answers.write(json.dumps(to_json(unwritten)).encode("ascii") + b"\n" if unwritten else b"done\n")
        answers.flush()


def _read_orders(jobs: IO[bytes], orders: queue.Queue[dict[str, Any]]) -> None:
    for line in jobs:
        orders.put(json.loads(line))
    # The run has ended, perhaps by SIGKILL in the middle of a job: nobody waits for the answer.
    os._exit(0)


class _output_to:
    """Send file descriptors 1 and 2 to a file for a while: native libraries print there too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._saved = (os.dup(1), os.dup(2))
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for target, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, target)
            os.close(saved)


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
        run = _import(job.run, job)
        options = _options(job.config, job.options, folder, job)
        model = model_artifact(job.model, folder)
        answer = run(model, options, context)
        result = context.finish_metric(answer) if job.kind == "metric" else context.finish_pass(answer)
    context.flush()
    return replace(
        result,
        reports=context.reports,
        seconds=round(time.monotonic() - started, 3),
        peak_memory=peak.bytes,
        python=sys.version.split()[0],
    )


def _import(target: str, job: Job) -> Callable[..., Any]:
    """What `module:name` names. A library that is not there is told with what to install."""
    module_name, _, name = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{job.type} needs the Python package {error.name!r}, which is not installed in {sys.prefix}.",
            job.install_hint,
        ) from error
    except AttributeError:
        raise PassError(f"{job.type} names {target!r}, but {module_name} has no {name!r}.") from None
    return found


def _options(config: str, values: Mapping[str, Any], folder: Path, job: Job) -> Options:
    cls = _import(config, job)
    options: Options = cls.parse(with_paths(values, folder))  # type: ignore[attr-defined]
    return options


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
        return declared_target(self._job.target, self._job.type)

    def data(self, role: str) -> DataSource:
        data = self._job.data.get(role)
        if data is None:
            known = ", ".join(sorted(self._job.data)) or "none"
            raise UserError(
                f"{self._job.type} asked for the data {role!r}, but none is named (named: {known}).",
                f"Give the option that names a data config for {role!r}.",
            )
        open_container = _import(data.open, self._job)
        options = _options(data.config, data.options, self._folder, self._job)
        self.data_folder.mkdir(parents=True, exist_ok=True)
        source: DataSource = open_container(options, self.data_folder)
        return source

    def secret(self, name: str) -> str:
        if name not in self._job.secrets:
            raise PassError(
                f"{self._job.type} asked for a secret that no option of the step names.",
                "Mark the option as a Secret, and read it with ctx.secret(config.THE_OPTION).",
            )
        return read_secret(name)

    def progress(self, done: int, total: int, unit: str) -> None:
        self._pending = Progress(done, total, unit)
        now = time.monotonic()
        if done == total or now - self._last_progress >= _PROGRESS_INTERVAL:
            self._last_progress = now
            self.flush()

    def flush(self) -> None:
        """Write the last progress that was held back."""
        if self._pending:
            self._events(self._pending)
            self._pending = None

    def report(self, name: str, value: JSONValue) -> None:
        self.reports[name] = value
        self._events(Report(name, value))

    def note(self, message: str) -> None:
        self._events(Log("note", message))

    def artifact(self, format: str, *, base: Artifact | None = None, meta: Meta | None = None) -> Artifact:
        return Artifact(self.out, format, key="", base=base, meta=meta or Meta())

    def load(self, model: Artifact, device: str = "") -> LoadedModel:
        code = self._job.formats.get(model.format)
        if code is None or not code.load:
            raise PassError(f"No installed plugin can load the format {model.format!r}.")
        loaded: LoadedModel = _import(code.load, self._job)(model, device or self.device)
        if model.path == self.out:
            self._loaded_out = True
        return loaded

    def finish_pass(self, answer: object) -> Result:
        """Check what a pass returned; open it once in its runtime when the job asks for it."""
        if not isinstance(answer, Artifact):
            raise PassError(f"{self._job.type} returned {type(answer).__name__}, expected an Artifact.")
        if not isinstance(answer.meta, Meta):
            raise PassError(f"{self._job.type} gave a meta of {type(answer.meta).__name__}, expected a Meta.")
        expected = self._job.produces
        if answer.format != expected:
            raise PassError(f"{self._job.type} promises {expected!r} but returned {answer.format!r}.")
        if answer.path.resolve() != self.out.resolve():
            raise PassError(f"{self._job.type} wrote to {answer.path}, expected ctx.out ({self.out}).")
        code = self._job.formats.get(answer.format)
        if code:
            self._check(code.check, answer)
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
        self.load(answer).close()

    def _check(self, check: str, answer: Artifact) -> None:
        try:
            _import(check, self._job)(answer.path)
        except UserError as error:
            raise PassError(f"{self._job.type} left a broken {answer.format}: {error.message}") from error

    def finish_metric(self, answer: object) -> Result:
        """Check what a metric returned."""
        if not isinstance(answer, Mapping) or not answer:
            raise PassError(f"{self._job.type} returned {answer!r}, expected a mapping of numbers.")
        return Result(metrics={str(name): float(value) for name, value in answer.items()})


def _error_record(error: BaseException, folder: Path) -> ErrorRecord:
    if isinstance(error, ModelpressError):
        name, message, hint = type(error).__name__, error.message, error.hint
    elif _is_out_of_memory(error):
        name, message = "PassError", "It ran out of memory."
        hint = "Use smaller batches, blocks or sequences, or a machine with more memory."
    elif is_disk_full(error, folder):
        shutil.rmtree(folder / "out", ignore_errors=True)  # half a model: it is in the way of everything
        full = disk_full(folder, str(error))
        name, message, hint = type(full).__name__, full.message, full.hint
    elif isinstance(error, SystemExit):
        name, message, hint = "PassError", f"The pass called sys.exit({error.code}).", ""
    else:
        name, message, hint = type(error).__name__, str(error) or repr(error), ""
    return ErrorRecord(name, message, hint, traceback.format_exc())


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and ("not enough memory" in text or "bad_alloc" in text))
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
