"""`modelpress runs`: what was run, how it went, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from modelpress.cli.cache import folder_option
from modelpress.cli.failure import tell
from modelpress.cli.lazy import OpenGroup
from modelpress.cli.text import examples, json_option, print_json, print_table
from modelpress.engine.cache import Cache, default_cache_folder
from modelpress.engine.past_runs import find_run, find_runs, status_of
from modelpress.engine.record import RunRecord, StepRecord
from modelpress.figures import duration, number, plural, shorten_path, size
from modelpress.records import to_json


@click.group("runs", cls=OpenGroup, short_help="List runs; show what one did.")
def command() -> None:
    """Every run is remembered in its cache: its steps, numbers and goals, and a log of all that it told."""


@command.command("list", epilog=examples("modelpress runs list", "modelpress runs list --json"))
@folder_option
@json_option
def list_(cache_dir: Path | None, as_json: bool) -> None:
    """All runs, the last first."""
    folder = _folder(cache_dir)
    damaged: list[Path] = []
    runs = find_runs(folder, damaged.append)
    for path in damaged:
        shown = shorten_path(str(path))
        tell("warning", f"{shown} is damaged, or of another version or run: it is left out.")
    if as_json:
        print_json([to_json(run) | {"status": status_of(run)} for run in runs])
        return
    if runs:
        print_table(
            ("RUN", "WORKFLOW", "STATUS", "TOOK", "RESULT"),
            [(r.id, r.workflow_id, status_of(r), duration(r.seconds), _result(r)) for r in runs],
        )
    click.echo(f"{plural(len(runs), 'run')} in {folder}")


@command.command("show", epilog=examples("modelpress runs show", "modelpress runs show 20260131-1205"))
@click.argument("run", required=False)
@folder_option
@json_option
def show(run: str | None, cache_dir: Path | None, as_json: bool) -> None:
    """One run: the last, or the one whose id begins so."""
    record = find_run(_folder(cache_dir), run)
    if as_json:
        print_json(to_json(record) | {"status": status_of(record)})
        return
    workflow = f"{shorten_path(record.workflow)} ({record.workflow_id})".lstrip()
    click.echo(f"{record.id}  {' --set '.join([workflow, *record.settings])}")
    click.echo(f"{status_of(record)} after {duration(record.seconds)}, started {record.started}")
    if record.error:
        click.echo(f"error: {record.error.message}")
    if record.steps:
        click.echo()
        print_table(
            ("STEP", "TOOK", "MEMORY", "SIZE", "TOLD"),
            [_step(step) for step in record.steps],
            right=("TOOK", "MEMORY", "SIZE"),
        )
        click.echo()
    for step in record.steps:
        for note in step.notes:
            click.echo(f"note: {step.name}: {note}")
    for goal in record.goals:
        click.echo(f"{goal.metric}: {goal.number} {number(goal.value)}, {goal}")
    if record.artifact:
        click.echo(f"model: {shorten_path(str(record.artifact.path))}")
    click.echo(f"log: {record.log}")


def _folder(cache_dir: Path | None) -> Path:
    return Cache(cache_dir.expanduser().resolve() if cache_dir else default_cache_folder()).runs_folder


def _result(run: RunRecord) -> str:
    if run.error:
        return run.error.message.splitlines()[0]
    missed = sum(not goal.met for goal in run.goals)
    goals = f"{missed} of {plural(len(run.goals), 'goal')} missed" if missed else "goals met"
    return ", ".join([*([goals] if run.goals else []), *_numbers(run.metrics)])


def _step(step: StepRecord) -> tuple[str, str, str, str, str]:
    told = _numbers({**step.reports, **step.metrics})
    took = duration(step.seconds) + (" (cached)" if step.cached else "")
    memory = size(step.peak_memory) if step.peak_memory else ""
    title = step.type if step.name == step.type else f"{step.type} {step.name}"
    return title, took, memory, size(step.size) if step.size else "", ", ".join(told)


def _numbers(values: Mapping[str, object]) -> list[str]:
    numbers = [f"{name} {number(value)}" for name, value in values.items() if isinstance(value, int | float)]
    return numbers[:4]
