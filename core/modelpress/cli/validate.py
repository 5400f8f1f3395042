"""`modelpress validate FILE`: every problem of a workflow, with file and line."""

from __future__ import annotations

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
from modelpress.cli.text import examples, json_option, print_json, say
from modelpress.config.given import Given, Setting
from modelpress.errors import WorkflowError
from modelpress.figures import plural, shorten_path
from modelpress.registry import Registry


@click.command("validate", epilog=examples("modelpress validate workflow.yaml"))
@file_argument
@set_option
@here_option
@offline_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    file: Path,
    settings: tuple[Setting, ...],
    here: bool,
    offline: bool,
    as_json: bool,
) -> None:
    """Tell every problem of a workflow, with file and line. Nothing is run.

    Libraries that are not installed here are noted only: the file is no worse for it.
    """
    plan = plan_file(Given(file, settings=settings, here=here), Registry.load(), offline=offline)
    faults = [problem for problem in plan.problems if problem.kind != "dependency"]
    lacks = [problem for problem in plan.problems if problem.kind == "dependency"]
    if as_json:
        print_json({"valid": not faults, "problems": problems_as_json([*faults, *lacks])})
        ctx.exit(WorkflowError(faults).exit_code if faults else 0)
    if faults:
        raise WorkflowError(faults)
    tell_notes(plan)
    for problem in lacks:
        say(f"note: {problem.message} {problem.hint}", "      ")
    metrics = f", {plural(len(plan.measurements), 'metric')}" if plan.measurements else ""
    click.echo(f"{shorten_path(str(file))} is valid: {plural(len(plan.workflow.passes), 'pass')}{metrics}.")
