"""`run --detach`: the run goes on in a session of its own, when its terminal is closed too."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import click

from modelpress.cli.text import print_json
from modelpress.engine.past_runs import find_runs
from modelpress.engine.record import RunRecord

_LOOK_SECONDS = 0.1


def start_detached(arguments: Sequence[str], runs: Path, *, as_json: bool) -> int:
    """Start `modelpress ARGUMENTS`; wait until the run has a record below `runs`, and tell where it is.
    Returns the exit code."""
    with tempfile.TemporaryFile() as output:
        process = _start(arguments, output)
        while (record := _record(runs, process.pid)) is None:
            code = process.poll()
            if code is not None and (record := _record(runs, process.pid)) is None:
                output.seek(0)
                click.echo(output.read().decode("utf-8", "replace"), err=True, nl=False)
                return code
            if record is not None:
                break
            time.sleep(_LOOK_SECONDS)
    if as_json:
        print_json({"id": record.id, "process": process.pid, "log": str(record.log)})
        return 0
    click.echo(f"Run {record.id} goes on in the background (process {process.pid}).")
    click.echo(f"log: {record.log}")
    click.echo(f"Next: modelpress runs show {record.id}")
    return 0


def _start(arguments: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    windows = getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
    return subprocess.Popen(
        [sys.executable, "-m", "modelpress", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=os.name == "posix",
        creationflags=windows,
    )


def _record(runs: Path, process: int) -> RunRecord | None:
    return next((run for run in find_runs(runs)[:5] if run.process == process), None)
