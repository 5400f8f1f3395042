"""`modelpress run FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from modelpress.cli.completion import names_of
from modelpress.cli.detached import start_detached
from modelpress.cli.execute import execute
from modelpress.cli.leave import Choice, on_interrupt_option
from modelpress.cli.planning import here_option, offline_option, set_option
from modelpress.cli.text import examples, json_option
from modelpress.cli.verbosity import as_arguments, verbosity_options
from modelpress.config.given import Given, Setting
from modelpress.config.tree import make_node
from modelpress.engine.prepare import prepare
from modelpress.errors import Location
from modelpress.json_types import JSONValue
from modelpress.progress.levels import Verbosity
from modelpress.registry import Registry
from modelpress.specs import ObserverSpec


@click.command(
    "run",
    epilog=examples(
        "modelpress run workflow.yaml",
        "modelpress run workflow.yaml --set passes.lora.r=8",
        "modelpress run --config olive-config.json -v",
    ),
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--config", type=click.Path(path_type=Path), help="The same as FILE.")
@click.option("--output-dir", type=click.Path(path_type=Path), help="Where the model goes.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Where finished steps are kept.")
@set_option
@here_option
@offline_option
@click.option("--detach", is_flag=True, help="Go on in the background, when this terminal is closed, too.")
@on_interrupt_option
@click.option(
    "--observe", "observed", multiple=True, metavar="OBSERVER", shell_complete=names_of(ObserverSpec),
    help="Have it watch the run: MLflow, TensorBoard, WandB … Repeatable.",
)  # fmt: skip
@click.option("--ui", is_flag=True, help="Show the run as a page that goes along, on this machine alone.")
@click.option("--ui-stays", is_flag=True, help="The same, and show it after the run, until Ctrl-C.")
@click.option("--in-process", is_flag=True, help="Run passes in this process, for debuggers.")
@verbosity_options
@json_option
def command(
    file: Path | None,
    config: Path | None,
    settings: tuple[Setting, ...],
    here: bool,
    output_dir: Path | None,
    cache_dir: Path | None,
    offline: bool,
    detach: bool,
    on_interrupt: Choice,
    observed: tuple[str, ...],
    ui: bool,
    ui_stays: bool,
    in_process: bool,
    verbosity: Verbosity,
    as_json: bool,
) -> None:
    """Run a workflow. Steps in the cache are not done again; an interrupted run goes on where it was."""
    if (file is None) == (config is None):
        raise click.UsageError("Name the workflow once: `modelpress run FILE`, or `--config FILE`.")
    watching: list[dict[str, JSONValue]] = [{"type": name} for name in observed]
    watching += [{"type": "LivePage", "stays": ui_stays}] if ui or ui_stays else []
    nodes = tuple(make_node(each, Location("--observe")) for each in watching)
    given = Given(file or config, settings=settings, here=here, observers=nodes)
    if detach and watching:
        raise click.UsageError("--detach leaves the run alone: name its observers in the workflow.")
    if detach:
        asked = [*as_arguments(verbosity), "--on-interrupt", on_interrupt]
        _detach(given, output_dir, cache_dir, asked, offline=offline, as_json=as_json)
    execute(
        given,
        output_dir=output_dir,
        cache_dir=cache_dir,
        offline=offline,
        in_process=in_process,
        verbosity=verbosity,
        as_json=as_json,
        on_interrupt=on_interrupt,
    )


def _detach(
    given: Given,
    output_dir: Path | None,
    cache_dir: Path | None,
    asked: Sequence[str],
    *,
    offline: bool,
    as_json: bool,
) -> NoReturn:
    """Have another process run it; what is wrong with it is told here."""
    registry = Registry.load()
    with prepare(given, registry, output_dir=output_dir, cache_dir=cache_dir, offline=offline) as prepared:
        prepared.plan.whole()
        runs = prepared.cache.runs_folder
    arguments = [str(given.file), *(part for each in given.settings for part in ("--set", each.text))]
    arguments += [
        part
        for name, value in (("--output-dir", output_dir), ("--cache-dir", cache_dir))
        if value
        for part in (name, str(value))
    ]
    arguments += [*(["--here"] if given.here else []), *(["--offline"] if offline else []), *asked]
    click.get_current_context().exit(start_detached(["run", *arguments], runs, as_json=as_json))
