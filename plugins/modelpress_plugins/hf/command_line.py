"""What commands have alike that take a model and a file of text: their options, and how the model stands in
the workflow that they make."""

from __future__ import annotations

from pathlib import Path

import click

from modelpress.api import JSONValue, looks_like_path, named_path

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Text to calibrate on or to measure on: json, jsonl, csv, parquet, txt.",
)
text_template_option = click.option(
    "--text-template", metavar="TEXT", help="How a row of the data becomes text: '{question} {answer}'."
)
max_samples_option = click.option(
    "--max-samples", type=click.IntRange(min=1), help="Take only so many rows of the data.  [default: all]"
)
trust_option = click.option(
    "--trust-remote-code", is_flag=True, help="Run Python code that lies in the model's folder."
)
cache_option = click.option(
    "--cache-dir", type=click.Path(path_type=Path), help="Where finished steps and measurements are kept."
)


def model_named(model: str) -> tuple[str, bool]:
    """(the absolute path, or the hub id as it is; whether it is a path)."""
    local = looks_like_path(model, Path.cwd())
    return (str(named_path(model, Path.cwd())) if local else model), local


def hf_input_model(
    model: str, *, adapter: str | None = None, trust_remote_code: bool = False
) -> dict[str, JSONValue]:
    """How a workflow names a transformers model, and an adapter on it. model: as the user wrote it."""
    found: dict[str, JSONValue] = {"type": "HfModel", "model_path": model_named(model)[0]}
    if adapter is not None:
        found["adapter_path"] = model_named(adapter)[0]
    if trust_remote_code:
        found["load_kwargs"] = {"trust_remote_code": True}
    return found
