"""`modelpress init`: write a workflow by asking what is wanted, or copy an example that runs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

import click

from modelpress.api import (
    JSONValue,
    PassSpec,
    Registry,
    UserError,
    WorkflowError,
    dump_yaml,
    each_text,
    examples,
    find_artifact,
    say,
    validate,
    write_whole,
)
from modelpress_plugins.first_steps.compose import BUILD, PRESS, Data, input_model, judged, tuning

_EXAMPLE = "emotions"


@click.command(
    "init",
    epilog=examples(
        "modelpress init",
        "modelpress init --example",
        "modelpress init press.yaml --model phi3 --quantize Hqq --build int4",
        "modelpress init tune.yaml --model phi3 --data train.json --text-template '{question} {answer}'",
    ),
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--example", is_flag=True, help=f"Copy an example with model and data to FILE, a folder.  "
              f"[default: {_EXAMPLE}]")  # fmt: skip
@click.option("--model", help="A folder, or the id of a model on the hub.")
@click.option("--data", type=click.Path(path_type=Path), help="Rows to fine-tune on: json, csv, parquet …")
@click.option("--text-template", metavar="TEXT", help="How a row becomes text: '{question} {answer}'.")
@click.option("--quantize", metavar="PASS", help="Press the weights to 4 bits by this pass: Rtn, Hqq …")
@click.option(
    "--build", type=click.Choice(["fp32", "fp16", "int8", "int4"]),
    help="Build it for onnxruntime-genai in this precision.",
)  # fmt: skip
@click.option("--device", type=click.Choice(["cpu", "gpu"]), help="What the model is for.  [default: cpu]")
@click.option("--output-dir", default="output", show_default=True, help="Where the model is to go.")
@click.option("--force", is_flag=True, help="Write over FILE where it is there.")
@click.option("--offline", is_flag=True, help="No network at all.")
def command(
    file: Path | None,
    example: bool,
    model: str | None,
    data: Path | None,
    text_template: str | None,
    quantize: str | None,
    build: str | None,
    device: str | None,
    output_dir: str,
    force: bool,
    offline: bool,
) -> None:
    """Write a workflow to FILE (workflow.yaml when left out). In a terminal, what no option says is asked.

    It is checked before it is written: what is wrong is told, and nothing is left.
    """
    if example:
        _copy_example(file or Path(_EXAMPLE))
        return
    file = file or Path("workflow.yaml")
    if file.exists() and not force:
        raise UserError(f"{file} is there already.", "Give another name, or --force to write over it.")
    if asks():
        asked = _ask(model, data, text_template, quantize, build, device)
        model, data, text_template, quantize, build, device = asked
    if not model:
        raise click.UsageError("Say which model: --model. (In a terminal it is asked.)")
    workflow = _compose(model, data, text_template, quantize, build, device or "cpu")
    problems = validate(workflow, offline=offline)
    if wrong := [problem._replace(where=None) for problem in problems if problem.kind != "dependency"]:
        raise WorkflowError(wrong)
    workflow["output_dir"] = output_dir
    shown = {name: each_text(value, _beside(file)) for name, value in workflow.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    head = f"# modelpress plan {file.name}    shows what would be done\n"
    head += f"# modelpress run {file.name}     does it\n\n"
    write_whole(file.resolve(), (head + _apart(shown)).encode())
    click.echo(f"{file} is written. Next: modelpress run {file}")
    for problem in problems:
        say(f"note: {problem.message} {problem.hint}", "      ")


def asks() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()


def _ask(
    model: str | None,
    data: Path | None,
    text_template: str | None,
    quantize: str | None,
    build: str | None,
    device: str | None,
) -> tuple[str, Path | None, str | None, str | None, str | None, str]:
    """Ask for what was not given; a further question only where an earlier answer leaves it open."""
    model = model or click.prompt("Model (a folder, or the id of a model on the hub)")
    if data is None and click.confirm("Fine-tune it on data of yours?", default=False):
        data = Path(click.prompt("File with the data (json, jsonl, csv, parquet, txt)"))
        text_template = text_template or click.prompt(
            "How a row becomes text, e.g. {question} {answer}  (empty: recognized)", default="",
            show_default=False,
        )  # fmt: skip
    if quantize is None and click.confirm("Press its weights to 4 bits?", default=data is None):
        names = click.Choice(_quantizers(Registry.load()), case_sensitive=False)
        quantize = click.prompt("By which pass", type=names, default="Rtn")
    if build is None and click.confirm("Build it for onnxruntime-genai?", default=True):
        precision = click.Choice(["fp32", "fp16", "int8", "int4"])
        build = click.prompt("In which precision", type=precision, default="int4")
    device = device or click.prompt("What is it for", type=click.Choice(["cpu", "gpu"]), default="cpu")
    return str(model), data, text_template or None, quantize, build, str(device)


def _quantizers(registry: Registry) -> list[str]:
    """Passes that leave a model in fewer bits and need no data."""
    found = []
    for entry in registry.all(PassSpec):
        if "hf-model" in entry.spec.accepts and entry.spec.produces == "hf-model":
            fields = entry.options_class.model_fields
            if "bits" in fields and not any(field.is_required() for field in fields.values()):
                found.append(entry.spec.name)
    return sorted(found)


def _compose(
    model: str, data: Path | None, text_template: str | None, quantize: str | None, build: str | None,
    device: str,
) -> dict[str, JSONValue]:  # fmt: skip
    workflow: dict[str, JSONValue] = {"input_model": _named(model)}
    rows = Data(file=data, text_template=text_template) if data else None
    passes: dict[str, JSONValue] = {}
    if rows:
        workflow["data_configs"] = list(rows.sections())
        passes |= tuning("LoRA", {}, {}, merge=bool(quantize or build))
    if quantize:
        passes[PRESS] = {"type": Registry.load().find(PassSpec, quantize).spec.name, "bits": 4}
    if build:
        passes[BUILD] = {"type": "ModelBuilder", "precision": build}
    if passes:
        workflow["passes"] = passes
    size: list[dict[str, JSONValue]] = [{"type": "size_on_disk"}]
    workflow |= judged(size + (rows.metrics() if rows else []), compared=bool(passes))
    workflow["systems"] = {"target": {"type": "LocalSystem", "accelerators": [{"device": device}]}}
    workflow["target"] = "target"
    return workflow


def _named(model: str) -> dict[str, JSONValue]:
    """What a run made is named as such: its format is whatever it is."""
    folder = Path(model).expanduser()
    if folder.is_dir() and not (folder / "config.json").exists():
        find_artifact(folder, Registry.load())
        return {"type": "ModelFolder", "model_path": str(folder.absolute())}
    return input_model(model, Path.cwd())


def _beside(file: Path) -> _Relative:
    return _Relative(file.resolve().parent)


class _Relative:
    """Paths below a folder become relative to it: the workflow can be moved with what lies beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, text: str) -> str:
        path = Path(text)
        if not path.is_absolute() or not path.resolve().is_relative_to(self._folder):
            return text
        return path.resolve().relative_to(self._folder).as_posix()


def _apart(workflow: Mapping[str, JSONValue]) -> str:
    """As YAML, an empty line between the parts."""
    return "\n".join(dump_yaml({name: value}) for name, value in workflow.items())


def _copy_example(target: Path) -> None:
    if target.exists():
        raise UserError(
            f"{target} is there already.", "Name another folder: modelpress init --example FOLDER"
        )
    inside = files(__package__) / _EXAMPLE
    with as_file(inside) as packed:
        # A wheel holds it; a checkout has it in its own place.
        source = packed if packed.is_dir() else Path(__file__).parents[3] / "examples" / _EXAMPLE
        if not source.is_dir():
            raise UserError("This installation came without the example.", f"It should lie in {packed}.")
        left_out = shutil.ignore_patterns("output*", "cache", "*.py", "vocabulary.toml", "__pycache__")
        shutil.copytree(source, target, ignore=left_out)
    click.echo(f"{target} has a small model, data and workflow.yaml.")
    click.echo(f"Next: modelpress run {target / 'workflow.yaml'}")
