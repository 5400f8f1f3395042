"""Running a workflow file with its progress shown: what `run` and `quantize` share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from modelpress.cli.progress import open_progress
from modelpress.cli.text import number, print_json
from modelpress.engine.runner import RunResult, run


def execute(
    file: Path,
    *,
    output_dir: Path | None,
    cache_dir: Path | None,
    offline: bool,
    in_process: bool,
    level: str,
    as_json: bool,
) -> RunResult:
    """Run it, and show how it goes; with as_json, progress goes to stderr and the record to stdout."""
    progress = open_progress(sys.stderr if as_json else sys.stdout, level)
    try:
        with _terminate_like_interrupt():
            result = run(
                file,
                output_dir=output_dir,
                cache_dir=cache_dir,
                offline=offline,
                in_process=in_process,
                on_event=progress,
            )
    finally:
        progress.close()
    if as_json:
        print_json(result.run_record)
    else:
        _print_metrics(result)
    return result


@contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does: the worker too, and with a word on how to go on."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print_metrics(result: RunResult) -> None:
    width = max((len(name) for name in result.metrics), default=0)
    for name, value in result.metrics.items():
        click.echo(f"  {name:<{width}}  {number(value)}")
