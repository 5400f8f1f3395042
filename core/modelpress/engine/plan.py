"""The plan as data: what a run would do, step by step, and every problem that was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelpress.config.workflow import DataChoice, LoadedWorkflow, MetricChoice, Translation
from modelpress.context import Accelerator, DataFacts, ModelFacts
from modelpress.engine.inputs import ResolvedOptions
from modelpress.options import Options
from modelpress.problems import Problems
from modelpress.registry import Registered
from modelpress.specs import PassSpec


@dataclass(frozen=True, slots=True)
class DataPlan:
    """A data config: its options resolved, and what identifies its content."""

    choice: DataChoice
    resolved: ResolvedOptions
    fingerprint: Mapping[str, Any]
    facts: DataFacts


@dataclass(frozen=True, slots=True)
class Step:
    """One pass of the plan.

    key:    what its result is called in the cache; cached: whether it is there
    size:   bytes of the result, estimated; memory: peak bytes, estimated; 0 when unknown
    """

    index: int
    name: str
    registered: Registered[PassSpec]
    options: Options
    resolved: ResolvedOptions
    data: Mapping[str, DataPlan]
    system: str
    accelerator: Accelerator
    facts_in: ModelFacts
    facts_out: ModelFacts
    key: str
    cached: bool
    memory: int
    libraries: Mapping[str, str]
    output_name: str | None

    @property
    def pass_type(self) -> str:
        return self.registered.spec.name

    @property
    def format_in(self) -> str:
        return self.facts_in.format

    @property
    def format_out(self) -> str:
        return self.facts_out.format

    @property
    def size(self) -> int:
        return self.facts_out.size


@dataclass(frozen=True, slots=True)
class Measurement:
    """One metric of an evaluator, for the model that a step gives (after=0: the input model)."""

    after: int
    choice: MetricChoice
    resolved: ResolvedOptions
    data: Mapping[str, DataPlan]
    system: str
    accelerator: Accelerator
    key: str
    cached: bool

    def select(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """Those numbers that the workflow asks for by their short names (`p50` of `latency_p50_ms`); all when
        it names none, and a metric's only number under whatever name."""
        names = [sub.name for sub in self.choice.sub_metrics]
        chosen = {full: numbers[full] for name in names for full in numbers if _means(name, full)}
        return chosen or numbers


def _means(name: str, full: str) -> bool:
    return name == full or f"_{name}_" in f"_{full}_"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do. With problems, steps may be missing."""

    workflow: LoadedWorkflow
    model: ModelFacts | None
    steps: Sequence[Step]
    measurements: Sequence[Measurement]
    notes: Sequence[str]
    problems: Problems
    disk_needed: int
    memory_needed: int

    @property
    def translations(self) -> Sequence[Translation]:
        return self.workflow.translations
