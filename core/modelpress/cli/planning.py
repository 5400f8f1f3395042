"""Planning a workflow file for a command that does not run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from modelpress.cli.text import say
from modelpress.config.given import Given, Setting
from modelpress.engine.plan import PlanDraft
from modelpress.engine.prepare import prepare
from modelpress.errors import Problem
from modelpress.figures import plural
from modelpress.registry import Registry

file_argument = click.argument("file", type=click.Path(path_type=Path))
offline_option = click.option("--offline", is_flag=True, help="No network at all.")


def _settings(ctx: click.Context, option: click.Parameter, texts: Sequence[str]) -> tuple[Setting, ...]:
    return tuple(map(Setting.parse, texts))


set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    callback=_settings,
    help="A value that counts more than the file's, as it would stand there: passes.lora.r=8. Repeatable.",
)

here_option = click.option(
    "--here",
    is_flag=True,
    help="Run everything on this machine's CPU, and build for it, whatever host, target and systems say.",
)


def plan_file(
    given: Given,
    registry: Registry,
    *,
    offline: bool = False,
    cache_dir: Path | None = None,
    output_dir: Path | None = None,
) -> PlanDraft:
    """Plan a workflow. Its problems are in the plan; nothing is written or run."""
    with prepare(given, registry, output_dir=output_dir, cache_dir=cache_dir, offline=offline) as prepared:
        return prepared.plan


def problems_as_json(problems: Sequence[Problem]) -> list[dict[str, object]]:
    """Each problem with its place, for editors."""
    return [
        {
            "message": problem.message,
            "hint": problem.hint,
            "file": problem.where.file if problem.where else None,
            "line": problem.where.line if problem.where else None,
            "column": problem.where.column if problem.where else None,
            "step": problem.step,
            "kind": problem.kind,
        }
        for problem in problems
    ]


def tell_notes(plan: PlanDraft) -> None:
    """What was translated from an older form, and what the plan noticed; on stdout."""
    if plan.translations:
        spellings = plural(len(plan.translations), "older spelling")
        say(f"{spellings} (`modelpress migrate` rewrites them):")
    for translation in plan.translations:
        line = f"line {translation.where.line}" if translation.where and translation.where.line else ""
        say(f"  {line:<9}{replace(translation, where=None)}", " " * 11)
    for note in plan.notes:
        say(f"note: {note}", "      ")
