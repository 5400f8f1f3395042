"""A workflow as it was read: every name looked up, every option validated. What the plan starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelpress.context import Accelerator
from modelpress.errors import Location
from modelpress.options import Options
from modelpress.problems import Problems
from modelpress.registry import Registered
from modelpress.specs import DataContainerSpec, MetricSpec, ModelSpec, PassSpec, SystemSpec

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
class ModelChoice:
    """`input_model`. registered and options are None when they are wrong; the problem has been told."""

    registered: Registered[ModelSpec] | None
    options: Options | None


@dataclass(frozen=True, slots=True)
class PassChoice:
    """One entry of `passes`.

    name:       the key it was given
    type_name:  its `type` as written
    registered: None when no plugin brings that type; options: None when they are not valid. Both have been
                told as problems; the plan may still check what it can.
    host, evaluator: names in `systems` and `evaluators`; None where the workflow's own count
    output_name: the folder below output_dir that a copy of this step's result goes to; None for no copy
    data:       role -> name in `data_configs`, for each option that is marked with a DataRole
    """

    name: str
    type_name: str
    registered: Registered[PassSpec] | None
    options: Options | None
    host: str | None = None
    evaluator: str | None = None
    output_name: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where its options stand, for `LoadedWorkflow.locate`: `passes.lora`."""
        return f"passes.{self.name}"


@dataclass(frozen=True, slots=True)
class DataChoice:
    """One entry of `data_configs`. registered and options are None when wrong (told as problems)."""

    name: str
    registered: Registered[DataContainerSpec] | None
    options: Options | None

    @property
    def path(self) -> str:
        return f"data_configs.{self.name}"


@dataclass(frozen=True, slots=True)
class SystemChoice:
    """One entry of `systems`. registered and options are None when wrong (told as problems).

    accelerators: each device with each of its execution providers, in the order written; empty when the
                  workflow says nothing
    """

    name: str
    registered: Registered[SystemSpec] | None
    options: Options | None
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
    """One number of a metric: its name as Olive has it (`p50`), and what is wanted of it.

    priority: 1 is the highest; None means that it is only reported
    higher_is_better: None takes the metric's own direction
    """

    name: str
    priority: int | None = None
    higher_is_better: bool | None = None
    goal: Goal | None = None


@dataclass(frozen=True, slots=True)
class MetricChoice:
    """One metric of an evaluator. registered and options are None when wrong (told as problems).

    data: role -> name in `data_configs`; a plain `data_config` key counts as role `data` where the
          metric's options have no field of that name
    sub_metrics: empty when the workflow names none: all that the metric gives
    path: for `LoadedWorkflow.locate`, `evaluators.common.metrics.0`
    """

    name: str
    type_name: str
    registered: Registered[MetricSpec] | None
    options: Options | None
    data: Mapping[str, str]
    sub_metrics: tuple[SubMetric, ...]
    path: str


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
class LoadedWorkflow:
    """A workflow file, read. Look at `problems` first: with any, parts may be None or missing.

    path, folder: the file, absolute, and its folder, which relative paths are resolved against
    native:  the whole in the native form, as plain JSON values in the order written, paths as written
    seed:    0 unless given
    cache_dir, output_dir: absolute; None when not given
    log_severity_level: 0 verbose … 4 fatal; None when not given
    """

    path: Path
    folder: Path
    workflow_id: str | None
    input_model: ModelChoice | None
    passes: tuple[PassChoice, ...]
    data: Mapping[str, DataChoice]
    systems: Mapping[str, SystemChoice]
    evaluators: Mapping[str, tuple[MetricChoice, ...]]
    host: str | None
    target: str | None
    evaluator: str | None
    cache_dir: Path | None
    output_dir: Path | None
    seed: int
    log_severity_level: int | None
    native: Mapping[str, Any]
    positions: Positions
    translations: tuple[Translation, ...]
    problems: Problems

    def locate(self, path: str) -> Location:
        """The place in the file of a dotted path of the native form, e.g. `passes.lora.r`."""
        return self.positions.locate(path)
