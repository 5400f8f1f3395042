"""A workflow as it was read: every name looked up, every option validated. What the plan starts from.

Parts are whole: what the loader finds wrong it tells as a problem and leaves out, or puts an `Unfit` in its
place where later parts depend on it. A `WorkflowDraft` has problems; a `Workflow` has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from modelpress.config.search_space import OpenWorkflow
from modelpress.context import Accelerator
from modelpress.errors import Location
from modelpress.json_types import JSONValue
from modelpress.options import Options
from modelpress.problems import Problems
from modelpress.registry import Registered
from modelpress.search import Candidate
from modelpress.specs import (
    DataContainerSpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    PassSpec,
    SamplerSpec,
    SystemSpec,
)
from modelpress.system import NO_NEEDS, Needs

LOCAL_SYSTEM = "local"
"""The system that every workflow has: where its `systems` does not name it, this machine as it is."""


@dataclass(frozen=True, slots=True)
class Translation:
    """Something written in an older form, and what it was read as.

    old, new: as the user would write them (`passes.lora.lora_r`, `r`); new is empty when it was left out.
    why:      what changed, or why it has no meaning any more
    count:    how often this same translation was made; where is the first place
    """

    old: str
    new: str
    why: str = ""
    where: Location | None = None
    count: int = 1

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        change = f"{self.old} is read as {self.new}" if self.new else f"{self.old} is left out"
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{place}{change}{times}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True, slots=True)
class Unfit:
    """An input model or a pass that cannot be used; why has been told as a problem.

    accepts, produces: formats, as far as its type is known: the chain around it is checked by them
    """

    name: str
    type_name: str
    path: str
    accepts: tuple[str, ...] = ()
    produces: str = ""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """`input_model`."""

    registered: Registered[ModelSpec]
    options: Options

    @property
    def produces(self) -> str:
        return self.registered.spec.produces


@dataclass(frozen=True, slots=True)
class PassChoice:
    """One entry of `passes`.

    name:       the key it was given
    host:       the system that runs it, its own or the workflow's
    metrics:    measured of what it gives: by its own evaluator or, for the last pass, the workflow's
    output_name: the folder below output_dir that a copy of this step's result goes to; None for no copy
    data:       role -> name in `data_configs`, for each option that is marked with a DataRole
    needs:      what it takes where it runs, as far as the user says it
    """

    name: str
    registered: Registered[PassSpec]
    options: Options
    host: str
    metrics: tuple[MetricChoice, ...] = ()
    output_name: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    needs: Needs = NO_NEEDS

    @property
    def type_name(self) -> str:
        return self.registered.spec.name

    @property
    def path(self) -> str:
        """Where its options stand, for `locate`: `passes.lora`."""
        return f"passes.{self.name}"

    @property
    def accepts(self) -> tuple[str, ...]:
        return self.registered.spec.accepts

    @property
    def produces(self) -> str:
        return self.registered.spec.produces


@dataclass(frozen=True, slots=True)
class DataChoice:
    """One entry of `data_configs`."""

    name: str
    registered: Registered[DataContainerSpec]
    options: Options

    @property
    def path(self) -> str:
        return f"data_configs.{self.name}"


@dataclass(frozen=True, slots=True)
class SystemChoice:
    """One entry of `systems`.

    accelerators: each device with each of its execution providers, in the order written; empty when the
                  workflow says nothing
    """

    name: str
    registered: Registered[SystemSpec]
    options: Options
    accelerators: tuple[Accelerator, ...] = ()

    @property
    def path(self) -> str:
        return f"systems.{self.name}"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a number is wanted to be. type: threshold, min-improvement, percent-min-improvement,
    max-degradation or percent-max-degradation."""

    type: str
    value: float


@dataclass(frozen=True, slots=True)
class SubMetric:
    """One of a metric's numbers: its name as written (`p50`), and what is wanted of it.

    numbers:  full names of those that the name means; a goal is about the first
    priority: 1 is the highest; None means that it is only reported
    higher_is_better: None takes the metric's own direction
    """

    name: str
    numbers: tuple[str, ...]
    priority: int | None = None
    higher_is_better: bool | None = None
    goal: Goal | None = None


@dataclass(frozen=True, slots=True)
class ObserverChoice:
    """One of `observers`. path: for `locate`."""

    registered: Registered[ObserverSpec]
    options: Options
    path: str

    @property
    def type_name(self) -> str:
        return self.registered.spec.name


@dataclass(frozen=True, slots=True)
class Packaging:
    """One of `packaging_config`: a zip, or what an image is built of.

    base_image: of a Dockerfile; empty for Python's own. requirements_file: absolute; None: made
    """

    is_zip: bool
    name: str
    base_image: str = ""
    requirements_file: Path | None = None


@dataclass(frozen=True, slots=True)
class MetricChoice:
    """One metric of an evaluator.

    data: role -> name in `data_configs`; a plain `data_config` key counts as role `data` where the
          metric's options have no field of that name
    sub_metrics: empty when the workflow names none: all that the metric gives
    path: for `locate`, `evaluators.common.metrics.0`
    """

    name: str
    registered: Registered[MetricSpec]
    options: Options
    data: Mapping[str, str]
    sub_metrics: tuple[SubMetric, ...]
    path: str

    @property
    def type_name(self) -> str:
        return self.registered.spec.name


@dataclass(frozen=True, slots=True)
class Positions:
    """Where each key of the native form stands in the file that the user wrote, whatever its dialect."""

    file: str
    places: Mapping[str, Location]
    """Dotted path (`passes.lora.r`; items of lists by number) -> the place of the key or item."""

    def locate(self, path: str) -> Location:
        """The place of a dotted path, or of the nearest thing around it that the file has."""
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        return self.places.get(path) or Location(self.file)


@dataclass(frozen=True, slots=True)
class Strategy:
    """`search_strategy`: see modelpress.config.schema.SearchSection, which has the same fields."""

    sampler: Registered[SamplerSpec]
    options: Options
    execution_order: str
    max_samples: int | None
    max_iter: int | None
    max_time: float | None
    stop_when_goals_met: bool
    prune: bool
    halving: int | None
    seed: int


@dataclass(frozen=True, slots=True)
class Search:
    """What a workflow leaves open, and how that is decided.

    strategy: None when it is wrong: told
    base:     a candidate in which nothing is wrong, where there is one; the first else
    decide:   the workflow with a candidate's choices; its problems are its own
    """

    strategy: Strategy | None
    open: OpenWorkflow
    base: Candidate
    decide: Callable[[Candidate], WorkflowDraft]


@dataclass(frozen=True, slots=True)
class SharedPlace:
    """A cache that machines share. address: as fsspec has it (`s3://bucket/team`); options: of its file
    system, no secrets; writes: whether what is made here is uploaded"""

    address: str
    options: Mapping[str, JSONValue] = field(default_factory=dict)
    writes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowParts:
    """What a draft and a whole workflow have alike.

    path, folder: the file, absolute, and its folder, which relative paths are resolved against; of a workflow
             that was given as values None, and the current folder
    workflow_id: the file's name without its suffix unless given
    data, systems, evaluators: those that are right, by name
    target:  None when the workflow names none
    metrics: what is measured of the model that comes out at the end
    native:  the whole in the native form, as plain JSON values in the order written, paths as written
    seed:    0 unless given
    evaluate_input_model: whether what passes give is measured of the input model, too
    require_goals: whether a goal that is missed is an error
    cache_dir, output_dir: absolute; None when not given
    shared_cache: where machines share results; None when nowhere
    log_severity_level: 0 verbose … 4 fatal; None when not given
    settings: single values that were given beside it, `passes.lora.r=8`; those that may be secret without
              the value
    observers: who watches the run, those that are right
    packages: what the finished model is packed into
    search:  what is open, of which this is the first choice of each; None when nothing is
    """

    path: Path | None
    folder: Path
    workflow_id: str
    data: Mapping[str, DataChoice]
    systems: Mapping[str, SystemChoice]
    evaluators: Mapping[str, tuple[MetricChoice, ...]]
    host: str
    target: str | None
    metrics: tuple[MetricChoice, ...]
    cache_dir: Path | None
    shared_cache: SharedPlace | None
    output_dir: Path | None
    seed: int
    evaluate_input_model: bool
    require_goals: bool
    log_severity_level: int | None
    native: Mapping[str, object]
    positions: Positions
    translations: tuple[Translation, ...]
    settings: tuple[str, ...]
    observers: tuple[ObserverChoice, ...] = ()
    packages: tuple[Packaging, ...] = ()
    search: Search | None = None

    def locate(self, path: str) -> Location:
        """The place in the file of a dotted path of the native form, e.g. `passes.lora.r`."""
        return self.positions.locate(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow(WorkflowParts):
    """A workflow without a problem: nothing of it is wrong or missing."""

    input_model: ModelChoice
    passes: tuple[PassChoice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDraft(WorkflowParts):
    """A workflow file, read, and what is wrong with it so far. The plan checks the rest and adds to it."""

    input_model: ModelChoice | Unfit
    passes: tuple[PassChoice | Unfit, ...]
    problems: Problems

    def whole(self) -> Workflow:
        """The workflow. Raises WorkflowError with every problem."""
        self.problems.raise_if_any()
        model, passes = self.input_model, tuple(p for p in self.passes if isinstance(p, PassChoice))
        if isinstance(model, Unfit) or len(passes) < len(self.passes):
            raise TypeError("A part of the workflow is unfit, and no problem tells why.")
        parts = {f.name: getattr(self, f.name) for f in fields(WorkflowParts)}
        return Workflow(input_model=model, passes=passes, **parts)
