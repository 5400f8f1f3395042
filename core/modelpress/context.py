"""What passes and metrics are given and what they give: the protocols.

What a pass opens with its context is described in modelpress.samples and modelpress.opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from modelpress.artifact import NO_META, Artifact, Meta
from modelpress.errors import PassError
from modelpress.json_types import JSONValue
from modelpress.opened import LoadedModel
from modelpress.samples import DataSource


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A device and how onnxruntime uses it. device: cpu, gpu, npu; execution_provider: its name there."""

    device: str = "cpu"
    execution_provider: str = "CPUExecutionProvider"


def declared_target(target: Accelerator | None, step: str) -> Accelerator:
    """The target of a pass. Raises PassError when its spec does not say that the target matters to it: what
    it gives would be taken from the cache for another target, too."""
    if target is None:
        raise PassError(
            f"{step} asked what the model is for, and its spec has no `targets`.",
            "Name in the PassSpec the execution providers that it builds for, or '*' for any.",
        )
    return target


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the plan knows of a model that may not exist yet.

    path:     its folder; None when an earlier step will make it or it must be fetched
    identity: what the content is (`content:…`, `hub:org/name@commit`); empty for a step's output
    config:   config.json of the model (of the base, for an adapter)
    size:     bytes on disk, estimated; 0 when unknown
    base:     the base, for an adapter
    """

    format: str
    path: Path | None = None
    identity: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    meta: Meta = NO_META
    base: ModelFacts | None = None


@dataclass(frozen=True, slots=True)
class ArrayFacts:
    """An array of a sample. dtype: numpy's name; `string` for text. shape: -1 where it differs."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {['?' if dim < 0 else dim for dim in self.shape]}".replace("'", "")


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What the plan knows of a data set. columns and rows are None when only loading would tell.

    arrays: of the first row, by column, where columns are arrays and their files tell
    """

    columns: tuple[str, ...] | None = None
    rows: int | None = None
    arrays: Mapping[str, ArrayFacts] = field(default_factory=dict)


class PlanContext(Protocol):
    """Given to `plan`, `open` and `describe` functions: report, do not raise.

    folder: the workflow's folder, which relative paths of a ModelSpec's options are resolved against.
            (Options marked as Resource reach passes and data containers as absolute paths already.)
    device: where the step will run (host); accelerator: what the model is for (target). target_is_here:
            whether the host has that accelerator, so that what is built can be tried where it is built.
    """

    @property
    def device(self) -> str: ...

    @property
    def accelerator(self) -> Accelerator: ...

    @property
    def target_is_here(self) -> bool: ...

    @property
    def offline(self) -> bool: ...

    @property
    def folder(self) -> Path: ...

    def problem(
        self,
        message: str,
        hint: str = "",
        *,
        option: str = "",
        kind: Literal["input", "dependency"] = "input",
    ) -> None:
        """Tell a problem. option: dotted path of the option concerned, for its file and line."""

    def note(self, message: str) -> None:
        """Tell something the user should know, once."""

    def needs(self, *, memory: int = 0) -> None:
        """Bytes of memory that the step will take at its peak, estimated."""

    def data(self, role: str) -> DataFacts | None:
        """Facts of the data config that the option with this role names; None when there is none."""


class FetchContext(Protocol):
    """Given to `fetch` functions. folder: the workflow's, as in PlanContext."""

    @property
    def offline(self) -> bool: ...

    @property
    def folder(self) -> Path: ...

    def progress(self, done: int, total: int, unit: str) -> None: ...

    def note(self, message: str) -> None: ...


@dataclass(frozen=True, slots=True)
class DataContext:
    """Given to `open` functions of data containers.

    folder: for converted data, shared by all steps on the machine
    note:   says something that the user should read (what was kept is damaged), also later, when samples are
            made
    """

    folder: Path
    note: Callable[[str], None] = field(default=lambda message: None)


class PassContext(Protocol):
    """Given to a pass or a metric while it runs.

    out:        an empty folder: write the model here
    scratch:    an empty folder, removed afterwards
    checkpoint: a folder that survives an interrupted try of the same step; empty at the first
    data_folder: a folder for converted data sets, shared by the steps on this machine
    device:     where it runs (host): cpu, gpu or npu
    accelerator: what the model is for (target); of a metric, what it is measured on. Passes whose spec has
                no `targets` may not ask.
    target_is_here: whether the machine is known to have that accelerator
    rank, ranks: which of how many processes this is that do the pass together; 0 of 1 but for `in_ranks`
    """

    out: Path
    scratch: Path
    checkpoint: Path
    data_folder: Path
    seed: int
    device: str
    target_is_here: bool
    offline: bool
    rank: int
    ranks: int

    @property
    def accelerator(self) -> Accelerator: ...

    @property
    def input_model(self) -> Artifact:
        """The model that the workflow began with, for metrics whose spec says that they compare."""

    @property
    def compared_folder(self) -> Path | None:
        """Where a metric may keep what it found of the input model, for the next model that it compares with
        it: of this input model, these data and these libraries alone, not of the metric's options. None
        where nothing is kept."""

    def data(self, role: str) -> DataSource:
        """Open the data config named by the option with this role. Raises UserError when none is."""

    def secret(self, name: str) -> str:
        """The secret that a Secret option names, in an environment variable or a vault: `config.token`. Never
        write it anywhere; what the pass prints or raises is searched for it. Raises PassError when no option
        of the step names it."""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Say how far it is; total 0 when unknown. Cheap: call it as often as you like."""

    def report(self, name: str, value: JSONValue) -> None:
        """Say a number (`loss`, `learning_rate`); the last of each name goes into the run record."""

    def note(self, message: str) -> None:
        """Say something that the user should read."""

    def artifact(self, format: str, *, base: Artifact | None = None, meta: Meta | None = None) -> Artifact:
        """The artifact in `out`, to be returned."""

    def in_ranks(self, count: int) -> Artifact:
        """Have this very pass, with the same model and options, done by so many processes together, which
        torch.distributed can join by their environment, here or on the machines of the system that runs it.
        Returns what the first of them made; `ctx.rank` says which one a process is."""

    def was_run(self) -> None:
        """Say that the result has been run as its runtime would, so that it is not opened once more to see
        that it works."""

    def load(self, model: Artifact, device: str = "") -> LoadedModel:
        """Open a model in its runtime, whatever its format. Close it when done. device: where the pass runs,
        unless given."""
