"""`modelpress report RUN`: one self-contained page."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from modelpress.api import MetricSpec, Registry, examples, open_run, write_whole
from modelpress_plugins.report.page import page_of


@click.command(
    "report",
    epilog=examples(
        "modelpress report", "modelpress report out --open", "modelpress report 20260131-1205 -o page.html"
    ),
)
@click.argument("run", required=False)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"),
    show_default=True, help="The file to write.",
)  # fmt: skip
@click.option("--open", "show", is_flag=True, help="Show it in the browser at once.")
@click.option(
    "--cache-dir", type=click.Path(path_type=Path, file_okay=False), help="The cache that remembers the run."
)
def command(run: str | None, output: Path, show: bool, cache_dir: Path | None) -> None:
    """Write what a run did and found into one file that needs nothing else: the chosen model and why, plots
    of what was tried, a timeline, training curves, errors, versions.

    RUN is an output folder, a `run.json`, or the id of a run; the last run when left out.
    """
    metrics = Registry.load().all(MetricSpec)
    gives = {name: facts for metric in metrics for name, facts in metric.spec.gives.items()}
    page = page_of(open_run(run, cache_dir), gives)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(output, page.encode("utf-8"))
    click.echo(f"{output} ({len(page.encode()) / 1e6:.1f} MB)")
    if show:
        webbrowser.open(output.resolve().as_uri())
