"""`modelpress run FILE`."""

from __future__ import annotations

from pathlib import Path

import click

from modelpress.cli.execute import execute
from modelpress.cli.planning import here_option, offline_option, set_option
from modelpress.cli.text import examples, json_option
from modelpress.cli.verbosity import verbosity_options
from modelpress.config.given import Given, Setting
from modelpress.progress.levels import Verbosity


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
    in_process: bool,
    verbosity: Verbosity,
    as_json: bool,
) -> None:
    """Run a workflow. Steps in the cache are not done again; an interrupted run goes on where it was."""
    if (file is None) == (config is None):
        raise click.UsageError("Name the workflow once: `modelpress run FILE`, or `--config FILE`.")
    execute(
        Given(file or config, settings=settings, here=here),
        output_dir=output_dir,
        cache_dir=cache_dir,
        offline=offline,
        in_process=in_process,
        verbosity=verbosity,
        as_json=as_json,
    )
