"""`modelpress evaluate MODEL`: measure a model without writing a workflow; the run is a normal one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from modelpress.api import (
    DataRole,
    JSONValue,
    MetricSpec,
    Registered,
    Registry,
    UserError,
    Verbosity,
    examples,
    execute_workflow,
    find_artifact,
    json_option,
    names_of,
    offline_option,
    verbosity_options,
)
from modelpress_plugins.hf.command_line import (
    cache_option,
    data_option,
    hf_input_model,
    max_samples_option,
    model_named,
    text_template_option,
    trust_option,
)
from modelpress_plugins.hf.data_file import data_of_file

DATA = "data"
_MANY = 4
"""Numbers of one metric: more are shown only when it is asked for by name."""

metrics_option = click.option(
    "-m", "--metric", "names", multiple=True, metavar="NAME", shell_complete=names_of(MetricSpec),
    help="What to measure; can be given again.  [default: all that the data allow]",
)  # fmt: skip


@click.command(
    "evaluate",
    epilog=examples(
        "modelpress evaluate out",
        "modelpress evaluate out --data test.json --text-template '{question} {answer}'",
        "modelpress evaluate phi3 --adapter lora --metric perplexity --data test.txt",
    ),
)
@click.argument("model")
@click.option("--adapter", metavar="PATH", help="A PEFT adapter on MODEL: the two are measured together.")
@metrics_option
@data_option
@text_template_option
@max_samples_option
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="METRIC.OPTION=VALUE",
    help="An option of a metric, e.g. accuracy.max_new_tokens=8.",
)
@click.option(
    "--device", type=click.Choice(["cpu", "gpu", "npu"]), default="cpu", show_default=True,
    help="What the model runs on.",
)  # fmt: skip
@trust_option
@cache_option
@offline_option
@verbosity_options
@json_option
def command(
    model: str,
    adapter: str | None,
    names: Sequence[str],
    data: Path | None,
    text_template: str | None,
    max_samples: int | None,
    settings: Sequence[str],
    device: str,
    trust_remote_code: bool,
    cache_dir: Path | None,
    offline: bool,
    verbosity: Verbosity,
    as_json: bool,
) -> None:
    """Measure MODEL: a folder of any format, what a run gave, or the id of a model on the hub.

    Without data: its size, latency and throughput. With data also perplexity, and accuracy where a row is a
    question and its answer.
    """
    registry = Registry.load()
    chosen = [registry.find(MetricSpec, name) for name in names] or defaults(registry, data, text_template)
    options = {entry.spec.name: defaults_of(entry, data, max_samples, few=not names) for entry in chosen}
    for setting in settings:
        _set(registry, options, setting)
    workflow: dict[str, JSONValue] = {
        "input_model": input_model(registry, model, adapter, trust_remote_code=trust_remote_code),
        "evaluators": {"evaluate": {"metrics": [{"type": name, **own} for name, own in options.items()]}},
        "evaluator": "evaluate",
        "systems": {"here": {"type": "LocalSystem", "accelerators": [{"device": device}]}},
        "target": "here",
    }
    if data is not None:
        workflow["data_configs"] = [data_of_file(DATA, data, text_template)]
    result = execute_workflow(
        workflow,
        output_dir=None,
        cache_dir=cache_dir,
        offline=offline,
        verbosity=verbosity,
        as_json=as_json,
    )
    if not result.metrics:
        raise UserError("Nothing was measured.", f"This machine has no {device} that the model can run on.")


def defaults(
    registry: Registry, data: Path | None, text_template: str | None
) -> list[Registered[MetricSpec]]:
    """accuracy compares answers: it has to know where a row's answer begins."""
    names = ["size_on_disk", "latency", "throughput"]
    if data is not None:
        names.insert(0, "perplexity")
        if text_template and text_template.count("{") > 1:
            names.insert(0, "accuracy")
    return [registry.find(MetricSpec, name) for name in names]


def defaults_of(
    entry: Registered[MetricSpec], data: Path | None, max_samples: int | None, *, few: bool
) -> dict[str, JSONValue]:
    """The options of a metric that the command's own decide. few: of many statistics, only the median."""
    fields = entry.options_class.model_fields
    roles = [name for name, field in fields.items() if any(isinstance(m, DataRole) for m in field.metadata)]
    if entry.spec.name in ("accuracy", "perplexity") and data is None:
        raise UserError(
            f"The metric {entry.spec.name} measures on text.", "Name a file of it: --data test.json"
        )
    found: dict[str, JSONValue] = dict.fromkeys(roles[:1] if data is not None else (), DATA)
    if max_samples is not None and "max_samples" in fields:
        found["max_samples"] = max_samples
    if few and len(entry.spec.gives) > _MANY:
        found["sub_types"] = [{"name": name} for name in entry.spec.gives if "_p50" in name]
    return found


def _set(registry: Registry, options: Mapping[str, dict[str, JSONValue]], setting: str) -> None:
    """One `METRIC.OPTION=VALUE` into the options of the metrics; the value is JSON, or else a word."""
    place, equals, text = setting.partition("=")
    name, dot, option = place.partition(".")
    if not (equals and dot and option):
        raise click.BadParameter(f"{setting!r} is not METRIC.OPTION=VALUE.", param_hint="--set")
    metric = registry.get(MetricSpec, name)
    own = options.get(metric.spec.name) if metric else None
    if own is None:
        measured = ", ".join(options)
        raise click.BadParameter(f"{name!r} is not measured; {measured} are.", param_hint="--set")
    try:
        own[option] = json.loads(text)
    except ValueError:
        own[option] = text


def input_model(
    registry: Registry, model: str, adapter: str | None, *, trust_remote_code: bool
) -> dict[str, JSONValue]:
    """How a workflow names the model. A transformers model that no run made is looked at more closely as
    such: whether its weights are whole, where its tokenizer is."""
    path, local = model_named(model)
    if local and adapter is None and not _is_plain(Path(path), registry):
        return {"type": "ModelFolder", "model_path": path, "trust_remote_code": trust_remote_code}
    return hf_input_model(model, adapter=adapter, trust_remote_code=trust_remote_code)


def _is_plain(folder: Path, registry: Registry) -> bool:
    """Whether it is a transformers model that no run made, or no model that can be told from here."""
    try:
        found = find_artifact(folder, registry)
    except UserError:
        return (folder / "config.json").exists() or (folder / "MLmodel").exists()
    if found.format == "hf-adapter" and found.base is None:
        raise UserError(f"{folder} is an adapter.", "Give its base and the adapter: BASE --adapter ADAPTER.")
    return found.format == "hf-model" and not found.key
