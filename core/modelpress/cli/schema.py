"""`modelpress schema`: JSON Schema of workflow files, so that editors complete and check them."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelpress.cli.text import examples, print_json
from modelpress.config.json_schema import workflow_json_schema
from modelpress.errors import UserError
from modelpress.files import write_whole
from modelpress.registry import Registry


@click.command(
    "schema",
    epilog=examples("modelpress schema -o workflow.schema.json")
    + "\n\nAt the top of a YAML file: # yaml-language-server: $schema=workflow.schema.json",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
@click.option("--force", is_flag=True, help="Write over FILE when it says something else.")
def command(output: Path | None, force: bool) -> None:
    """JSON Schema of workflow files, with the options of every installed plugin."""
    schema = workflow_json_schema(Registry.load())
    if output is None:
        print_json(schema)
        return
    content = (json.dumps(schema, indent=2, ensure_ascii=False) + "\n").encode()
    if output.exists() and output.read_bytes() != content and not force:
        raise UserError(f"{output} exists already, and says something else.", "Add --force to write over it.")
    write_whole(output.resolve(), content)
