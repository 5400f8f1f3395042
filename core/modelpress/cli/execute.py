"""Running a workflow with its progress shown: what `run` and commands of plugins share."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import click

from modelpress.cli.leave import Choice, Leave
from modelpress.cli.text import print_json
from modelpress.config.given import Given, Setting
from modelpress.engine.runner import RunResult, run
from modelpress.errors import WorkflowError
from modelpress.figures import number, shorten_path
from modelpress.in_process import InProcessSystem
from modelpress.json_types import JSONValue
from modelpress.progress.levels import Verbosity
from modelpress.progress.lines import PlainProgress, Progress, StreamLines


def execute(
    workflow: Given,
    *,
    output_dir: Path | None,
    cache_dir: Path | None,
    offline: bool,
    in_process: bool,
    verbosity: Verbosity,
    as_json: bool,
    show_result: bool = True,
    on_interrupt: Choice = "ask",
    leave_workflow: bool = False,
) -> RunResult:
    """Run it, and show how it goes; with as_json, progress goes to stderr and the record to stdout.

    show_result: False for a caller that tells it himself
    leave_workflow: whether the output folder gets a file that does the same again
    """
    progress = open_progress(sys.stderr if as_json else sys.stdout, verbosity)
    try:
        result = run(
            workflow,
            output_dir=output_dir,
            cache_dir=cache_dir,
            offline=offline,
            instead=InProcessSystem if in_process else None,
            on_event=progress,
            detach=Leave(on_interrupt, progress.close),
            leave_workflow=leave_workflow,
        )
    finally:
        progress.close()
    if not show_result:
        return result
    if as_json:
        print_json(result.run_record)
    else:
        _print_metrics(result)
        if not verbosity.quiet:
            _print_next(result)
    return result


def open_progress(stream: TextIO, verbosity: Verbosity) -> Progress:
    """Bars when people watch the stream, plain lines otherwise."""
    if stream.isatty() and os.environ.get("TERM") != "dumb" and not verbosity.quiet:
        # Only here: rich takes as long to import as everything else together.
        from modelpress.cli.bars import TerminalProgress  # noqa: PLC0415

        return TerminalProgress(stream, verbosity)
    return PlainProgress(StreamLines(stream), verbosity).keep_telling()


def execute_workflow(
    workflow: Mapping[str, JSONValue],
    *,
    output_dir: Path | None,
    cache_dir: Path | None,
    offline: bool,
    verbosity: Verbosity,
    as_json: bool,
    settings: Sequence[Setting] = (),
    show_result: bool = True,
    leave_workflow: bool = False,
) -> RunResult:
    """Run a workflow that the command made itself; its problems are told without places.

    settings: values that count more, as `--set` gives them; show_result, leave_workflow: see execute
    """
    try:
        return execute(
            Given(values=workflow, settings=tuple(settings)),
            output_dir=output_dir,
            cache_dir=cache_dir,
            offline=offline,
            in_process=False,
            verbosity=verbosity,
            as_json=as_json,
            show_result=show_result,
            leave_workflow=leave_workflow,
        )
    except WorkflowError as error:
        raise WorkflowError([problem._replace(where=None) for problem in error.problems]) from None


def _print_metrics(result: RunResult) -> None:
    width = max((len(name) for name in result.metrics), default=0)
    values = {name: number(value) for name, value in result.metrics.items()}
    for name, (low, high) in result.intervals.items():
        values[name] += f"  ({number(low)} to {number(high)})"
    wide = max((len(value) for value in values.values()), default=0)
    before = {
        name: f"before: {number(result.input_metrics[name])}" if name in result.input_metrics else ""
        for name in values
    }
    room = max((len(text) for text in before.values()), default=0)
    for name, value in values.items():
        judged = next((str(goal) for goal in reversed(result.goals) if goal.number == name), "")
        told = f"{before[name]:<{room}}  {judged}" if room else judged
        click.echo(f"  {name:<{width}}  {value:<{wide}}  {told}".rstrip())


def _print_next(result: RunResult) -> None:
    """What can be done with the model now, as a command to copy."""
    if result.usage and result.usage.try_it:
        click.echo(f"Next: modelpress {result.usage.try_it.format(_quoted(result.artifact.path))}")


def _quoted(path: Path) -> str:
    """The path as one word of a command line, short where it lies below this folder."""
    text = shorten_path(str(path))
    if os.name == "nt":
        return f'"{text}"' if " " in text else text
    return shlex.quote(text)
