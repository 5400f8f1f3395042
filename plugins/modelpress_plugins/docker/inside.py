"""The first process of a container: `python inside.py JOB [ask]` runs the job in the folder to its end.

Standard library alone: it is mounted there beside the job, and starts the worker with the code that came with
it. The worker is not the first process itself, since that one ignores most signals, a kill from within too.
`ask`: one line is read from standard input first, JSON: secrets and environment variables. Nothing else
carries them, so that no file and no description of the container has them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

BEGAN, ENDED = "began", "ended.json"
_LIMITS = Path("/sys/fs/cgroup")


def main(arguments: list[str]) -> int:
    """Exit code 0 when the job has an answer, else the worker's. ENDED, written last, says how it went."""
    job = Path(arguments[0])
    order = json.loads(sys.stdin.readline() or "{}") if arguments[1:] == ["ask"] else {}
    (job / BEGAN).touch()
    code = job / "code"
    worker = subprocess.Popen(
        [sys.executable, str(code / "modelpress" / "start.py"), "worker", str(code), "--serve"],
        env={**os.environ, **order.get("environment", {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def end(number: int, frame: FrameType | None) -> None:
        worker.terminate()

    signal.signal(signal.SIGTERM, end)
    if worker.stdin is None or worker.stdout is None:
        return 1
    work = {"folder": str(job), "secrets": order.get("secrets", {})}
    with suppress(BrokenPipeError):  # it has died: told below
        worker.stdin.write(json.dumps(work).encode("ascii") + b"\n")
        worker.stdin.flush()
    answer = worker.stdout.readline().strip()
    with suppress(BrokenPipeError):
        worker.stdin.close()
    ended = {"code": worker.wait(), "memory_kills": memory_kills(), "memory": peak_memory()}
    if answer and answer != b"done":  # the worker could not write it into the folder
        print(answer.decode("ascii"), flush=True)
    half = job / f"{ENDED}.half"
    half.write_text(json.dumps(ended), encoding="utf-8")
    half.rename(job / ENDED)
    if answer:
        return 0 if answer == b"done" else 1
    return ended["code"] if ended["code"] > 0 else 128 - ended["code"]


def memory_kills() -> int:
    """How often the kernel has ended a process of this container for its memory limit."""
    for name in ("memory.events", "memory/memory.oom_control"):  # cgroups v2, v1
        for line in _read(name).splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def peak_memory() -> int:
    """Most bytes that the container held, its file cache included; 0 where the kernel does not tell."""
    for name in ("memory.peak", "memory/memory.max_usage_in_bytes"):
        if text := _read(name).strip():
            return int(text)
    return 0


def _read(name: str) -> str:
    try:
        return (_LIMITS / name).read_text(encoding="ascii")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
