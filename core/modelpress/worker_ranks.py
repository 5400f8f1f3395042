"""A pass done by several processes together (data parallel, SPMD, DDP): each runs the same pass of the same
job.

They find each other by what torch.distributed reads: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR,
MASTER_PORT. The
first of them writes into the job's `out`, checkpoint and events; what the others write there is left alone.
They are
begun on this machine, unless the system that runs the job has a way of its own: `MODELPRESS_RANKS` names it,
`module:function`, called with (folder, count, device); it returns when all have ended.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path

from modelpress.engine.job import ErrorRecord, Result, read_job
from modelpress.errors import ModelpressError, PassError, recorded_name, text_of
from modelpress.events import EventFile
from modelpress.records import read_record, write_record
from modelpress.secrets import collect_secrets, give_secrets

BEGIN = "MODELPRESS_RANKS"
_LOOK_SECONDS = 0.1


def begin_ranks(folder: Path, count: int, device: str) -> Result:
    """Have the job's pass done by so many processes; what the first of them answers. Raises the error of the
    first that failed."""
    begin: Callable[[Path, int, str], None] = _begin_here
    if named := os.environ.get(BEGIN):
        module, _, name = named.partition(":")
        begin = getattr(import_module(module), name)
    for old in (folder / "scratch").glob("rank-*.json"):
        old.unlink()
    begin(folder, count, device)
    for rank in range(count):
        if (error := _place(folder, rank, "error")).exists():
            raise read_record(ErrorRecord, error).error()
    answer = _place(folder, 0, "result")
    if not answer.exists():
        raise PassError(
            f"One of {count} processes ended without an answer.", "Its last words are in log.txt."
        )
    return read_record(Result, answer)


def run_rank(folder: Path, do: Callable[[Path, int, int, EventFile], Result]) -> bool:
    """Be one of the processes: the pass, with its answer or its error left for whoever began it. Returns
    whether it succeeded. do: (folder, rank, ranks, events)"""
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    events = folder / "events.jsonl" if rank == 0 else folder / "scratch" / f"rank-{rank}.events"
    try:
        with closing(EventFile(events)) as file:
            file.job = read_job(folder).id
            result = do(folder, rank, ranks, file)
        write_record(_place(folder, rank, "result"), result)
        return True
    # As in the worker: whatever it raises has to reach whoever waits.
    except BaseException as error:  # noqa: BLE001
        traceback.print_exception(error)
        ours = isinstance(error, ModelpressError)
        name = recorded_name(error) if isinstance(error, ModelpressError) else type(error).__name__
        hint = error.hint if isinstance(error, ModelpressError) else ""
        told = text_of(error) if not ours else error.message  # type: ignore[attr-defined]
        write_record(_place(folder, rank, "error"), ErrorRecord(name, told or name, hint))
        return False


def _place(folder: Path, rank: int, what: str) -> Path:
    return folder / "scratch" / f"rank-{rank}.{what}.json"


def _begin_here(folder: Path, count: int, device: str) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secrets = json.dumps(collect_secrets(read_job(folder).secrets)).encode() + b"\n"
    processes = []
    try:
        for rank in range(count):
            environment = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                "LOCAL_WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": str(max(1, _threads() // count)),
            }
            process = subprocess.Popen(
                [sys.executable, "-m", "modelpress.worker", "--rank", str(folder)],
                env=environment,
                stdin=subprocess.PIPE,
                start_new_session=False,
            )
            processes.append(process)
            if process.stdin:
                with suppress(BrokenPipeError):
                    process.stdin.write(secrets)
                    process.stdin.flush()
        while any(process.poll() is None for process in processes):
            if any(process.poll() for process in processes):
                break  # one has failed: the others would wait for it
            time.sleep(_LOOK_SECONDS)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _threads() -> int:
    given = os.environ.get("OMP_NUM_THREADS", "")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(given) if given.isdigit() else usable


def listen_to_parent() -> None:
    """Take the secrets from standard input, and end with whoever began this process."""
    give_secrets(json.loads(sys.stdin.readline() or "{}"))

    def wait() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
