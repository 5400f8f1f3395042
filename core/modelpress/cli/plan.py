"""`modelpress plan FILE`: what a run would do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from modelpress.cli.planning import (
    file_argument,
    here_option,
    offline_option,
    plan_file,
    problems_as_json,
    set_option,
    tell_notes,
)
from modelpress.cli.text import examples, fold, json_option, print_json, print_table
from modelpress.config.given import Given, Setting
from modelpress.config.workflow import LOCAL_SYSTEM
from modelpress.engine.plan import PlanDraft, Step
from modelpress.figures import plural, shorten_path, size
from modelpress.registry import Registry


@click.command("plan", epilog=examples("modelpress plan workflow.yaml"))
@file_argument
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Instead of the workflow's own.")
@click.option("--output-dir", type=click.Path(path_type=Path), help="Instead of the workflow's own.")
@set_option
@here_option
@offline_option
@json_option
def command(
    file: Path,
    settings: tuple[Setting, ...],
    here: bool,
    cache_dir: Path | None,
    output_dir: Path | None,
    offline: bool,
    as_json: bool,
) -> None:
    """Show what a run would do: steps, what is in the cache, disk and memory. Nothing is done."""
    given = Given(file, settings=settings, here=here)
    plan = plan_file(given, Registry.load(), offline=offline, cache_dir=cache_dir, output_dir=output_dir)
    if as_json:
        print_json(_as_json(plan))
    else:
        _print(plan, file)
    plan.problems.raise_if_any()


def _print(plan: PlanDraft, file: Path) -> None:
    if plan.model:
        where = f" {shorten_path(str(plan.model.path))}" if plan.model.path else ""
        bytes_ = f", {size(plan.model.size)}" if plan.model.size else ""
        click.echo(f"{file}: input{where} ({plan.model.format}{bytes_})\n")
    total = len(plan.workflow.passes)
    if plan.steps:
        _print_steps(plan.steps)
    for measurement in plan.measurements:
        state = "in cache" if measurement.cached else "to do"
        click.echo(f"measure {measurement.name} after step {measurement.after}: {state}")
    to_do = sum(not step.cached for step in plan.steps)
    needs = [f"{size(plan.disk_needed)} of disk"] if plan.disk_needed else []
    needs += [f"{size(plan.memory_needed)} of memory"] if plan.memory_needed else []
    about = f"; about {' and '.join(needs)}" if needs else ""
    wrong = total - len(plan.steps)
    not_planned = f", {wrong} cannot be planned" if wrong else ""
    click.echo(f"\n{to_do} of {plural(total, 'step')} to do{not_planned}{about}.")
    tell_notes(plan)


def _print_steps(steps: Sequence[Step]) -> None:
    elsewhere = any(step.system != LOCAL_SYSTEM for step in steps)
    header = ["#", "PASS", "NAME", *(["ON"] if elsewhere else []), "GIVES", "SIZE", "MEMORY", "STATE"]
    print_table(
        header,
        [
            [
                str(step.index),
                step.type_name,
                # A name that only repeats the type would make the table too wide for many terminals.
                "" if fold(step.name) == fold(step.type_name) else step.name,
                *([step.system] if elsewhere else []),
                step.format_out,
                size(step.size) if step.size else "?",
                size(step.memory) if step.memory else "?",
                "in cache" if step.cached else "to do",
            ]
            for step in steps
        ],
        right=("SIZE", "MEMORY"),
    )


def _as_json(plan: PlanDraft) -> dict[str, object]:
    return {
        "steps": [
            {
                "index": step.index,
                "name": step.name,
                "pass": step.type_name,
                "system": step.system,
                "format_in": step.format_in,
                "format_out": step.format_out,
                "key": step.key,
                "cached": step.cached,
                "size": step.size,
                "memory": step.memory,
            }
            for step in plan.steps
        ],
        "measurements": [
            {"name": m.name, "metric": m.type_name, "after": m.after, "cached": m.cached}
            for m in plan.measurements
        ],
        "disk_needed": plan.disk_needed,
        "memory_needed": plan.memory_needed,
        "translations": [str(translation) for translation in plan.translations],
        "notes": list(plan.notes),
        "problems": problems_as_json(list(plan.problems)),
    }
