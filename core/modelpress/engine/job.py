"""A job: one step's work as a folder that can be carried to any place that has Python.

job.json        what to do; every path in it is relative to the folder
inputs/NAME     a model or data file, mounted or uploaded; or inputs/NAME.ref, a text file that holds
                its path on this machine (a reference, never a copy)
code/           packages that the place may lack, first on the import path there
checkpoint/     survives an interrupted try
out/ scratch/   emptied before each try
events.jsonl log.txt          written while it works
result.json | error.json      written last, whole or not at all
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelpress.artifact import Artifact
from modelpress.errors import HostError
from modelpress.secrets import redact, scrub

INPUT_MARK = "$input"
"""In the options of job.json, {"$input": "train-0"} stands for the path of that input."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A model as a job sees it: `input` is its name under inputs/."""

    input: str
    format: str
    key: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    base: ModelInput | None = None


@dataclass(frozen=True, slots=True)
class DataInput:
    """A data config as a job sees it: the container's code by string, and its options."""

    name: str
    container: str
    open: str
    config: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FormatCode:
    """Where the code that checks and loads a format is found, by string."""

    check: str
    load: str


@dataclass(frozen=True, slots=True)
class Job:
    """What job.json says. run and config are `module:name`."""

    kind: str
    """`pass` or `metric`."""
    name: str
    type: str
    run: str
    config: str
    options: Mapping[str, Any]
    model: ModelInput
    produces: str
    data: Mapping[str, DataInput] = field(default_factory=dict)
    formats: Mapping[str, FormatCode] = field(default_factory=dict)
    install_hint: str = ""
    """What to install when a library is missing, e.g. `pip install "modelpress[cpu]"`."""
    device: str = "cpu"
    execution_provider: str = "CPUExecutionProvider"
    seed: int = 0
    offline: bool = False
    secrets: tuple[str, ...] = ()
    """Environment variables whose secrets the job may read: names alone. Who runs the worker gives it the
    secrets on a way of its own, never in this folder."""
    load_once: bool = False
    """Whether the output is to be opened in its runtime before the job counts as done."""


def write_job(folder: Path, job: Job, inputs: Mapping[str, Path]) -> None:
    """Lay out the folder for a fresh try. What the last try left is removed, but for its checkpoint."""
    for name in ("out", "scratch", "inputs", "code"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("result.json", "error.json", "events.jsonl", "log.txt"):
        (folder / name).unlink(missing_ok=True)
    for name in ("out", "scratch", "inputs", "checkpoint"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, path in inputs.items():
        (folder / "inputs" / f"{name}.ref").write_text(str(path.resolve()), encoding="utf-8")
    _write_whole(folder / "job.json", asdict(job))


def read_job(folder: Path) -> Job:
    """The job in a folder. Raises HostError when it is damaged or of another version of modelpress."""
    try:
        record = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        record["model"] = _model_input(record["model"])
        record["data"] = {role: DataInput(**data) for role, data in record["data"].items()}
        record["formats"] = {name: FormatCode(**code) for name, code in record["formats"].items()}
        record["secrets"] = tuple(record["secrets"])
        return Job(**record)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise HostError(
            f"{folder / 'job.json'} cannot be read: {error}.",
            "The modelpress that runs the job must be of the version that wrote it.",
        ) from None


def _model_input(record: dict[str, Any]) -> ModelInput:
    base = record.pop("base")
    return ModelInput(**record, base=_model_input(base) if base else None)


def input_path(folder: Path, name: str) -> Path:
    """Where an input lies for the process that runs the job."""
    here = folder / "inputs" / name
    if here.exists():
        return here
    reference = here.with_name(f"{name}.ref")
    try:
        return Path(reference.read_text(encoding="utf-8"))
    except OSError:
        raise HostError(f"The job's input {name!r} is not in {folder / 'inputs'}.") from None


def input_names(job: Job) -> Iterator[str]:
    """The names of all inputs that the job needs."""
    model: ModelInput | None = job.model
    while model:
        yield model.input
        yield from _marked(model.meta)
        model = model.base
    yield from _marked(job.options)
    for data in job.data.values():
        yield from _marked(data.options)


def _marked(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if set(value) == {INPUT_MARK}:
            yield value[INPUT_MARK]
        else:
            for child in value.values():
                yield from _marked(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _marked(child)


def with_paths(value: Any, folder: Path) -> Any:
    """The options with each {"$input": NAME} replaced by that input's path, as text."""
    return replace_inputs(value, lambda name: str(input_path(folder, name)))


def replace_inputs(value: Any, path_of: Callable[[str], str]) -> Any:
    """The options with each {"$input": NAME} replaced by what the function gives for the name."""
    if isinstance(value, Mapping):
        if set(value) == {INPUT_MARK}:
            return path_of(value[INPUT_MARK])
        return {key: replace_inputs(child, path_of) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [replace_inputs(child, path_of) for child in value]
    return value


def model_artifact(model: ModelInput, folder: Path) -> Artifact:
    """The input model, with its path where the job runs."""
    return Artifact(
        path=input_path(folder, model.input),
        format=model.format,
        key=model.key,
        base=model_artifact(model.base, folder) if model.base else None,
        meta=with_paths(model.meta, folder),
    )


def path_keys(meta: Mapping[str, Any]) -> list[str]:
    """Keys of a model's meta that hold paths (`tokenizer_path`): inputs of a job too."""
    return [key for key, value in meta.items() if key.endswith("_path") and isinstance(value, str)]


def ship_code(folder: Path, packages: Mapping[str, Path]) -> Path:
    """Copy Python packages (import name -> its folder or module file) into the job, so that a place that
    lacks them, or has another version, runs the very code that the plan was made with."""
    code = folder / "code"
    code.mkdir(exist_ok=True)
    for name, source in packages.items():
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(source, code / name, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copy2(source, code / source.name)
    return code


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """The job is done: its last word."""
    _write_whole(folder / "result.json", result)


def write_error(folder: Path, error: Mapping[str, Any]) -> None:
    """The job failed: its last word."""
    _write_whole(folder / "error.json", error)


def scrub_job(folder: Path) -> None:
    """Take known secrets out of what a job has told: a pass may print them, a library may quote them."""
    names = ("result.json", "error.json", "events.jsonl", "log.txt")
    scrub(folder / name for name in names)


def _write_whole(path: Path, record: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(redact(json.dumps(record, indent=1, default=str)) + "\n", encoding="utf-8")
    os.replace(temporary, path)
