"""`modelpress data`: kinds of data sources, and what training would really see."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import click

from modelpress.cli.lazy import OpenGroup
from modelpress.cli.listing import print_kinds
from modelpress.cli.text import examples, json_option, plural, print_json
from modelpress.registry import Registry
from modelpress.specs import DataContainerSpec


@click.group("data", cls=OpenGroup, short_help="List data containers; preview samples.")
def command() -> None:
    """Where samples come from."""


@command.command("list", epilog=examples("modelpress data list"))
@json_option
def list_containers(as_json: bool) -> None:
    """All kinds of data containers that a workflow may name as `type`."""
    print_kinds(DataContainerSpec, ("CONTAINER", "PLUGIN", "WHAT IT READS"), as_json)


@command.command(epilog=examples("modelpress data preview workflow.yaml train -n 5"))
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("-n", "--samples", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--model", type=click.Path(path_type=Path), help="Take the tokenizer of this folder.")
@click.option("--full", is_flag=True, help="Show long samples whole.")
@json_option
def preview(file: Path, name: str, samples: int, model: Path | None, full: bool, as_json: bool) -> None:
    """Show the first samples of the data config NAME, tokenized, as a pass would train on them.

    What the loss covers is in colour on a terminal, and in [[double brackets]] elsewhere.
    """
    # Only here: `data list` needs neither the workflow's schema nor a tokenizer.
    from modelpress.cli.preview import Shown  # noqa: PLC0415
    from modelpress.engine.open_data import open_data  # noqa: PLC0415

    source, tokenizer = open_data(file, name, Registry.load(), model=model)
    shown = [Shown.of(sample, tokenizer) for sample in islice(iter(source.samples(tokenizer)), samples)]
    if as_json:
        print_json([_as_json(sample) for sample in shown])
        return
    for number, sample in enumerate(shown, start=1):
        tokens = plural(sample.tokens, "token")
        click.secho(f"sample {number}: {tokens}, loss on {sample.loss_tokens}", bold=True)
        click.echo(f"{sample.marked(None if full else 2000)}\n")


def _as_json(sample: Any) -> dict[str, Any]:
    return {
        "tokens": sample.tokens,
        "loss_tokens": sample.loss_tokens,
        "text": sample.marked(None, color=False),
        "input_ids": sample.sample.input_ids,
        "labels": sample.sample.labels,
    }
