"""`modelpress schema`: JSON Schema of workflow files, so that editors complete and check them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelpress.cli.text import examples, print_json
from modelpress.config.json_schema import workflow_json_schema
from modelpress.registry import Registry


@click.command(
    "schema",
    epilog=examples("modelpress schema -o workflow.schema.json")
    + "\n\nAt the top of a YAML file: # yaml-language-server: $schema=workflow.schema.json",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
def command(output: Path | None) -> None:
    """JSON Schema of workflow files, with the options of every installed plugin."""
    schema = workflow_json_schema(Registry.load())
    if output is None:
        print_json(schema)
        return
    output.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
