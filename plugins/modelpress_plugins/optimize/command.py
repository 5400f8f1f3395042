"""`modelpress optimize MODEL --max-size 3GB --data test.json`: a search without a workflow file."""

from __future__ import annotations

from pathlib import Path

import click

from modelpress.api import (
    JSONValue,
    Registry,
    UserError,
    Verbosity,
    examples,
    execute_workflow,
    find_artifact,
    json_option,
    looks_like_path,
    offline_option,
    parse_size,
    verbosity_options,
)
from modelpress_plugins.hf.command_line import (
    cache_option,
    text_template_option,
    trust_option,
)
from modelpress_plugins.hf.data_file import data_of_file
from modelpress_plugins.optimize.compose import DATA, MODEL, Composed, compose

_GRAPH = "onnx"
_RUNTIME = "onnxruntime-genai"
_COMPARED = 64
"""Rows of the data that every candidate is compared on."""


@click.command(
    "optimize",
    epilog=examples(
        "modelpress optimize phi3 --data test.json --max-size 2.5GB -o phi3-small",
        "modelpress optimize phi3 --data test.json --text-template '{question} {answer}' --min-accuracy 0.8 "
        "--max-latency 30 -o phi3-fast",
    ),
)
@click.argument("model")
@click.option(
    "-o", "--output-dir", "--output", required=True, type=click.Path(path_type=Path),
    help="Where the model and its workflow go.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(path_type=Path),
    help="Text that candidates are compared on: json, jsonl, csv, parquet, txt. An ONNX model that takes "
    "arrays needs none.",
)  # fmt: skip
@text_template_option
@click.option(
    "--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True,
    help="What the model is for.",
)  # fmt: skip
@click.option("--max-latency", type=click.FloatRange(min=0), help="Milliseconds for a token, the median.")
@click.option("--max-size", metavar="SIZE", help="Size on disk, in bytes or like 2.5GB.")
@click.option("--min-accuracy", type=click.FloatRange(0, 1), help="Share of rows that are answered right.")
@click.option(
    "--build/--no-build", default=True, show_default=True, help=f"Whether to build for {_RUNTIME} at the end."
)
@click.option(
    "--samples", type=click.IntRange(min=1), default=12, show_default=True, help="Candidates that are built."
)
@click.option("--max-time", type=click.FloatRange(min=1), help="Seconds after which no candidate is begun.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Every choice follows from it.")
@trust_option
@cache_option
@offline_option
@verbosity_options
@json_option
def command(
    model: str,
    output_dir: Path,
    data: Path | None,
    text_template: str | None,
    device: str,
    max_latency: float | None,
    max_size: str | None,
    min_accuracy: float | None,
    build: bool,
    samples: int,
    max_time: float | None,
    seed: int,
    trust_remote_code: bool,
    cache_dir: Path | None,
    offline: bool,
    verbosity: Verbosity,
    as_json: bool,
) -> None:
    """Search for the form of MODEL (a folder, an ONNX file, or the id of a model on the hub) that is nearest
    to it and within the limits.

    What the installed passes say is worth trying is tried. The best model is left with `workflow.yaml`, which
    makes it again.
    """
    if min_accuracy is not None and (text_template or "").count("{") < 2:
        raise UserError(
            "--min-accuracy compares answers: it has to know where a row's answer begins.",
            "Add --text-template '{question} {answer}', with the names of the columns.",
        )
    registry = Registry.load()
    named, format = _input_model(model, registry, trust_remote_code=trust_remote_code)
    if data is None and format != _GRAPH:
        raise UserError(
            f"A model of format {format} is compared by what it expects of text, and none is given.",
            "Name a file of it: --data test.json",
        )
    composed = compose(registry, format, device, data=data is not None and format != _GRAPH, build=build)
    _tell(composed, format, quiet=as_json or verbosity.quiet)
    strategy: dict[str, JSONValue] = {"sampler": "tpe", "max_iter": samples, "seed": seed}
    if max_time is not None:
        strategy["max_time"] = max_time
    wanted = metrics(format, max_size, max_latency, min_accuracy)
    workflow: dict[str, JSONValue] = {
        "input_model": named,
        "passes": dict(composed.passes),
        "pass_flows": [list(flow) for flow in composed.flows],
        "systems": {"the_target": {"type": "LocalSystem", "accelerators": [{"device": device}]}},
        "target": "the_target",
        "evaluators": {"optimize": {"metrics": wanted}},
        "evaluator": "optimize",
        "search_strategy": strategy,
    }
    if data is not None:
        workflow["data_configs"] = [data_of_file(DATA, data, text_template)]
    execute_workflow(
        workflow,
        output_dir=output_dir,
        cache_dir=cache_dir,
        offline=offline,
        verbosity=verbosity,
        as_json=as_json,
    )


def _tell(composed: Composed, format: str, *, quiet: bool) -> None:
    """What will be tried. Raises UserError where that is nothing."""
    if not composed.tried:
        lacking = ", ".join(f"{name} lacks {what}" for name, what in composed.absent.items())
        raise UserError(
            f"No installed pass can be tried on a model of format {format}.",
            lacking or "`modelpress passes list` shows all.",
        )
    if not quiet:
        click.echo(f"Tries {', '.join(composed.tried)}.")
        for name, what in composed.absent.items():
            click.echo(f"note: not tried: {name}, which needs {what}.")


def _input_model(
    model: str, registry: Registry, *, trust_remote_code: bool
) -> tuple[dict[str, JSONValue], str]:
    """(how a workflow names the model, its format). What is no folder of another format is taken for a
    Hugging Face model, which is looked at more closely when it is planned."""
    path = Path(model).expanduser().absolute()
    if not (looks_like_path(model, Path.cwd()) or path.is_dir()):
        return _named("HfModel", model, trust_remote_code), MODEL
    if path.suffix == ".onnx":
        return {"type": "ONNXModel", "model_path": str(path)}, _GRAPH
    try:
        found = find_artifact(path, registry)
    except UserError:
        return _named("HfModel", str(path), trust_remote_code), MODEL
    if found.format == MODEL and not found.key:
        return _named("HfModel", str(path), trust_remote_code), MODEL
    folder: dict[str, JSONValue] = {"type": "ModelFolder", "model_path": str(path)}
    return {**folder, "trust_remote_code": trust_remote_code}, found.format


def _named(type: str, path: str, trust_remote_code: bool) -> dict[str, JSONValue]:
    trusted: dict[str, JSONValue] = {"load_kwargs": {"trust_remote_code": True}} if trust_remote_code else {}
    return {"type": type, "model_path": path, **trusted}


def metrics(
    format: str, max_size: str | None, max_latency: float | None, min_accuracy: float | None
) -> list[JSONValue]:
    """The nearest to the input model is the best, of the same the smallest; limits are goals."""
    size: dict[str, JSONValue] = {"name": "size_on_disk", "priority": 2}
    if max_size is not None:
        size["goal"] = {"type": "threshold", "value": parse_size(max_size)}
    found: list[JSONValue] = [{"type": "size_on_disk", "sub_types": [size]}]
    if format == _GRAPH:
        found.append({"type": "discrepancy", "sub_types": [{"name": "discrepancy_mean", "priority": 1}]})
    else:
        near: list[JSONValue] = [{"name": "kl_divergence", "priority": 1}]
        found.append(
            {"type": "kl_divergence", "data_config": DATA, "max_samples": _COMPARED, "sub_types": near}
        )
    if min_accuracy is not None:
        found.append(_limited("accuracy", "accuracy", min_accuracy, data_config=DATA))
    if max_latency is not None:
        found.append(_limited("latency", "latency_p50_ms", max_latency))
    return found


def _limited(metric: str, number: str, limit: float, **options: JSONValue) -> dict[str, JSONValue]:
    goal: dict[str, JSONValue] = {"type": "threshold", "value": limit}
    return {"type": metric, **options, "sub_types": [{"name": number, "goal": goal}]}
