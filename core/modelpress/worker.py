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
from functools import partial
from pathlib import Path
from typing import IO, Any

from modelpress import fence, time_limit
from modelpress.artifact import file_facts
from modelpress.disk import disk_full, is_disk_full
from modelpress.engine.job import (
    ErrorRecord,
    Job,
    Result,
    model_artifact,
    read_job,
    scrub_job,
    with_made,
    with_paths,
    write_error,
    write_result,
)
from modelpress.errors import (
    ModelpressError,
    PluginError,
    recorded_name,
    text_of,
)
from modelpress.events import EventFile
from modelpress.machine import explain, is_refusal
from modelpress.memory import PeakMemory
from modelpress.records import to_json
from modelpress.secrets import give_secrets
from modelpress.start import add_code
from modelpress.worker_context import WorkerContext, parse_options, reference_of
from modelpress.worker_output import output_to
from modelpress.worker_ranks import listen_to_parent, run_rank


def main(arguments: list[str]) -> int:
    """`FOLDER`, or `--serve`. Returns the exit code: 0 whenever an answer was written."""
    faulthandler.enable()
    time_limit.serves = True
    if arguments == ["--serve"]:
        serve()
    if arguments[:1] == ["--rank"] and len(arguments) == 2:
        listen_to_parent()
        return 0 if run_rank(Path(arguments[1]), do_in_ranks) else 1
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
    at_work: list[Path] = []
    threading.Thread(target=_read_orders, args=(jobs, orders, at_work), daemon=True).start()
    while True:
        order = orders.get()
        folder = Path(order["folder"])
        at_work[:] = [folder]
        give_secrets(order["secrets"])
        with output_to(folder):
            unwritten = work(folder)
        answers.write(json.dumps(to_json(unwritten)).encode("ascii") + b"\n" if unwritten else b"done\n")
        answers.flush()


def _read_orders(jobs: IO[bytes], orders: queue.Queue[dict[str, Any]], at_work: list[Path]) -> None:
    for line in jobs:
        orders.put(json.loads(line))
    # The run has ended, perhaps by SIGKILL in the middle of a job: nobody waits for the answer.
    for folder in at_work:
        scrub_job(folder)
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
    job = with_made(read_job(folder), folder)
    events.job = job.id
    os.environ.update(job.offline_variables)
    context = WorkerContext(folder, job, events)
    with PeakMemory() as peak, time_limit.within(job.needs.time, partial(_tell_late, folder, job)):
        result = _do(job, folder, context)
    context.flush()
    return replace(
        result,
        reports=context.reports,
        files=file_facts(folder / "out") if job.list_out else {},
        seconds=round(time.monotonic() - started, 3),
        peak_memory=peak.bytes,
        python=sys.version.split()[0],
    )


def do_in_ranks(folder: Path, rank: int, ranks: int, events: EventFile) -> Result:
    """The pass of a job as one of several processes that do it together."""
    if (folder / "code").is_dir():
        add_code(str(folder / "code"))
    job = read_job(folder)
    os.environ.update(job.offline_variables)
    context = WorkerContext(folder, job, events, rank, ranks)
    result = _do(job, folder, context)
    context.flush()
    return replace(result, reports=context.reports)


def be_rank(folder: Path, secrets: Mapping[str, str]) -> bool:
    """Be one of the processes that do a job's pass together, in a process that a system has begun with the
    environment that torch.distributed reads. What is printed goes to the job's log. Returns whether it
    succeeded; answer or error are left for whoever began it."""
    rank = int(os.environ["RANK"])
    place = folder if rank == 0 else folder / "scratch" / f"rank-{rank}"
    place.mkdir(parents=True, exist_ok=True)
    give_secrets(secrets)
    with output_to(place):
        return run_rank(folder, do_in_ranks)


def _tell_late(folder: Path, job: Job) -> None:
    message = f"{job.name} takes longer than it may: {job.needs.time:g} s."
    write_error(folder, ErrorRecord("PassError", message, "Raise `needs: {time: …}` of the pass."))


def _do(job: Job, folder: Path, context: WorkerContext) -> Result:
    """Run the pass or the metric of the job, and check what it gives."""
    codes = {job.run: job.origin, **{data.open: data.origin for data in job.data.values()}}
    codes |= {code.load: code.origin for code in job.formats.values() if code.load}
    try:
        run = reference_of(job.origin, job.run, "run")
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
    elif isinstance(cause, OSError) and is_refusal(cause, folder) and (refused := explain(cause, folder)):
        name, message, hint = recorded_name(refused), refused.message, refused.hint
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
