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

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from modelpress.artifact import NO_META, Artifact, FileFacts, Meta
from modelpress.context import Accelerator
from modelpress.errors import (
    HostError,
    MissingDependencyError,
    ModelpressError,
    UserError,
    error_from_record,
)
from modelpress.fence import Origin
from modelpress.json_types import JSONValue
from modelpress.machine import refusal
from modelpress.provider import shipped_files
from modelpress.records import read_record, write_record
from modelpress.secrets import scrub
from modelpress.system import NO_NEEDS, Handle, Needs

R = TypeVar("R")

DATA_FOLDER_INPUT = "data-folder"
"""The input that is a folder for converted data sets, see PassContext.data_folder."""
INPUT_MARK = "$input"
"""In the options of job.json, {"$input": "train-0"} stands for the path of that input."""


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A model as a job sees it: `input` is its name under inputs/; so is the tokenizer_path of its meta."""

    input: str
    format: str
    key: str
    meta: Meta = NO_META
    base: ModelInput | None = None


@dataclass(frozen=True, slots=True)
class DataInput:
    """A data config as a job sees it: the container's code by string, whose it is, and its options."""

    name: str
    origin: Origin
    open: str
    config: str
    options: Mapping[str, JSONValue]


@dataclass(frozen=True, slots=True)
class FormatCode:
    """Where the code that checks and loads a format is found, by string, and whose it is."""

    origin: Origin
    check: str
    load: str


@dataclass(frozen=True, slots=True)
class Source:
    """What an input is, so that a place may have it already, or fetch it from where it comes from.

    identity: changes with the content; origin: `hub:org/name@commit`, a resource's; empty when here only
    kept:     the handle of the job at this very place whose `out` it is; None when it has to be brought there
    made_by:  the id of the job of the same submission that makes it, before this one begins; else empty
    resource: the resource that it is, `{type, …}`, where the place reads that itself; below: a path in it
    writable: a folder that jobs share and write to. Where files are not shared it is any folder that lasts
    """

    identity: str
    origin: str = ""
    kept: Handle | None = None
    writable: bool = False
    made_by: str = ""
    resource: Mapping[str, JSONValue] | None = None
    below: str = ""

    @property
    def is_there(self) -> bool:
        """Whether nothing of it has to be brought there."""
        return self.kept is not None or bool(self.made_by) or self.resource is not None


@dataclass(frozen=True, slots=True)
class Job:
    """What job.json says. run and config are `module:name`; config may be empty.

    id:     of this try, the same for no other; a system starts a job of one id once
    sources: what each input is, by its name under inputs/, where that is known
    requires: what has to be installed where it runs (PEP 508): pass, formats, data and the worker itself
    origin: of the pass or metric: which it is, whose it is, what to install when a library is missing
    produces, gives: the format that a pass promises; the names that a metric may give,
             empty for any
    """

    origin: Origin
    name: str
    run: str
    config: str
    options: Mapping[str, JSONValue]
    model: ModelInput
    input_model: ModelInput | None = None
    """What a metric compares the model with: the one that the workflow began with."""
    compared_key: str = ""
    """Of all that what it says of that one is made of: model, data, libraries, device. Empty for nothing."""
    produces: str = ""
    gives: tuple[str, ...] = ()
    data: Mapping[str, DataInput] = field(default_factory=dict)
    formats: Mapping[str, FormatCode] = field(default_factory=dict)
    device: str = "cpu"
    target: Accelerator | None = None
    """What the model is for; None for a pass to which that makes no difference."""
    target_is_here: bool = True
    seed: int = 0
    offline: bool = False
    offline_variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that keep libraries off the network; those of an offline run alone."""
    secrets: tuple[str, ...] = ()
    """Environment variables whose secrets the job may read: names alone. Who runs the worker gives it the
    secrets on a way of its own, never in this folder."""
    id: str = ""
    sources: Mapping[str, Source] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    needs: Needs = NO_NEEDS
    list_out: bool = False
    """Whether the answer lists the files of `out`: it may stay where it was made."""
    load_once: bool = False
    """Whether the output is to be opened in its runtime before the job counts as done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What result.json says.

    format, meta, base: of the model that a pass made; base: the key of an adapter's, else empty
    metrics:  the numbers of a metric; intervals: (low, high) of those that said how sure they are
    reports:  what it said of each name last
    seconds:  of the work; peak_memory: bytes; python: its version there
    files:    of `out`, by path, where the job was to list them
    """

    format: str = ""
    meta: Meta = NO_META
    base: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reports: Mapping[str, JSONValue] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory: int = 0
    python: str = ""
    files: Mapping[str, FileFacts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """What error.json says. type: the name of the exception's class."""

    type: str
    message: str
    hint: str = ""
    traceback: str = ""

    def error(self) -> ModelpressError:
        """The error as if it had happened here; --debug shows where it happened there."""
        error = error_from_record(self.type, self.message, self.hint)
        if self.traceback:
            error.add_note(self.traceback)
        return error


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
    write_record(folder / "job.json", job)


def read_job(folder: Path) -> Job:
    """The job in a folder. Raises HostError when it is damaged or of another version of modelpress."""
    return _read(Job, folder / "job.json")


def read_answer(folder: Path) -> Result:
    """What the worker wrote. Raises the error that it met, as if it had happened here."""
    if (folder / "result.json").exists():
        return _read(Result, folder / "result.json")
    if not (folder / "error.json").exists():
        raise HostError(f"The system brought back no answer in {folder}.")
    error = _read(ErrorRecord, folder / "error.json").error()
    if not isinstance(error, UserError | MissingDependencyError):
        error.hint = f"{error.hint} The folder of the step is kept: {folder}".strip()
    raise error


def _read(cls: type[R], path: Path) -> R:
    try:
        return read_record(cls, path)
    except (OSError, ValueError) as error:
        hint = "The modelpress that runs the job must be of the version that wrote it."
        raise HostError(*refusal(f"{path} cannot be read", error, hint)) from None


def input_path(folder: Path, name: str) -> Path:
    """Where an input lies for the process that runs the job."""
    here = folder / "inputs" / name
    if here.exists():
        return here
    reference = here.with_name(f"{name}.ref")
    try:
        return Path(reference.read_text(encoding="utf-8"))
    except OSError:
        raise HostError(
            f"The job's input {name!r} is not in {folder / 'inputs'}, "
            "where it was put: something has removed it.",
            "Run the same command again, and let nothing else clean that folder meanwhile.",
        ) from None


def input_names(job: Job) -> Iterator[str]:
    """The names of all inputs that the job needs."""
    if DATA_FOLDER_INPUT in job.sources:
        yield DATA_FOLDER_INPUT
    for model in (job.model, job.input_model):
        yield from _files_of(model)
    yield from _marked(job.options)
    for data in job.data.values():
        yield from _marked(data.options)


def _files_of(model: ModelInput | None) -> Iterator[str]:
    while model:
        yield model.input
        if model.meta.tokenizer_path:
            yield model.meta.tokenizer_path
        model = model.base


def _marked(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        if set(value) == {INPUT_MARK}:
            yield str(value[INPUT_MARK])
        else:
            for child in value.values():
                yield from _marked(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _marked(child)


def with_paths(options: Mapping[str, JSONValue], folder: Path) -> dict[str, JSONValue]:
    """The options with each {"$input": NAME} replaced by that input's path, as text."""
    return {
        option: replace_inputs(value, lambda name: str(input_path(folder, name)))
        for option, value in options.items()
    }


def replace_inputs(value: JSONValue, path_of: Callable[[str], str]) -> JSONValue:
    """The value with each {"$input": NAME} replaced by what the function gives for the name."""
    if isinstance(value, Mapping):
        if set(value) == {INPUT_MARK}:
            return path_of(str(value[INPUT_MARK]))
        return {key: replace_inputs(child, path_of) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [replace_inputs(child, path_of) for child in value]
    return value


def model_artifact(model: ModelInput, folder: Path) -> Artifact:
    """The input model, with its paths where the job runs."""
    meta = model.meta
    if meta.tokenizer_path:
        meta = replace(meta, tokenizer_path=str(input_path(folder, meta.tokenizer_path)))
    return Artifact(
        path=input_path(folder, model.input),
        format=model.format,
        key=model.key,
        base=model_artifact(model.base, folder) if model.base else None,
        meta=meta,
    )


def with_made(job: Job, folder: Path) -> Job:
    """The job with what is known by now of the models that jobs of the same submission have made."""

    def known(model: ModelInput | None) -> ModelInput | None:
        if model is None or model.input not in job.sources:
            return model
        base = known(model.base)
        if not job.sources[model.input].made_by:
            return replace(model, base=base)
        made = _read(Result, input_path(folder, model.input).with_name("result.json"))
        return replace(model, format=made.format, meta=made.meta, base=base if made.base else None)

    return replace(job, model=known(job.model) or job.model, input_model=known(job.input_model))


def ship_code(folder: Path, sources: Iterable[Path]) -> Path:
    """Copy Python packages and modules (their folders and files, as they lie where they are installed) into
    the job, so that a place that lacks them, or has another version, runs the very code that the plan was
    made with. Several folders of one name are the parts of a namespace."""
    code = folder / "code"
    code.mkdir(exist_ok=True)
    for source in sources:
        if source.is_file():
            shutil.copy2(source, code / source.name)
        for file in shipped_files(source):
            copy = code / source.name / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
    return code


def write_result(folder: Path, result: Result) -> None:
    """The job is done: its last word."""
    write_record(folder / "result.json", result)


def write_error(folder: Path, error: ErrorRecord) -> None:
    """The job failed: its last word."""
    write_record(folder / "error.json", error)


def scrub_job(folder: Path) -> None:
    """Take known secrets out of what a job has told: a pass may print them, a library may quote them."""
    names = ("result.json", "error.json", "events.jsonl", "log.txt")
    scrub(folder / name for name in names)
