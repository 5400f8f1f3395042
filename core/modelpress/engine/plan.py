"""The plan as data: what a run would do, task by task, and every problem that was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Generic, TypeVar

from modelpress.config.workflow import DataChoice, MetricChoice, Translation, Workflow, WorkflowDraft
from modelpress.context import Accelerator, DataFacts, ModelFacts
from modelpress.engine.inputs import ResolvedOptions
from modelpress.engine.job import Result
from modelpress.json_types import JSONValue
from modelpress.problems import Problems
from modelpress.registry import Registered
from modelpress.specs import MetricSpec, PassSpec
from modelpress.system import Needs

S = TypeVar("S", PassSpec, MetricSpec)


@dataclass(frozen=True, slots=True)
class DataPlan:
    """A data config: its options resolved, and what identifies its content."""

    choice: DataChoice
    resolved: ResolvedOptions
    fingerprint: Mapping[str, JSONValue]
    facts: DataFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[S]):
    """One job of the plan: a pass or a metric, its options and data, and where it runs.

    name:      what the user calls it
    data:      by role
    device:    of the system
    target:    what the model is for; None for a pass to which that makes no difference
    target_is_here: whether the system has what the model is for
    libraries: name -> version, of what it requires on its system
    requires:  what that is (PEP 508), the worker's own included
    needs:     what it takes there
    key:       what its result is called in the cache; cached: whether it is there
    """

    name: str
    registered: Registered[S]
    resolved: ResolvedOptions
    data: Mapping[str, DataPlan]
    system: str
    device: str
    target: Accelerator | None
    target_is_here: bool
    libraries: Mapping[str, str]
    requires: tuple[str, ...]
    needs: Needs
    key: str
    cached: bool

    @property
    def type_name(self) -> str:
        return self.registered.spec.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Task[PassSpec]):
    """One pass of the plan. index counts from 1; memory: peak bytes, estimated; 0 when unknown."""

    index: int
    facts_in: ModelFacts
    facts_out: ModelFacts
    memory: int
    output_name: str | None

    @property
    def format_in(self) -> str:
        return self.facts_in.format

    @property
    def format_out(self) -> str:
        return self.facts_out.format

    @property
    def size(self) -> int:
        """Bytes of the result, estimated; 0 when unknown."""
        return self.facts_out.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement(Task[MetricSpec]):
    """One metric of an evaluator, for the model that a step gives (after=0: the input model).

    is_baseline: whether it only serves to compare later measurements with
    is_part: whether it looks at a first part of its data only, so that a search sees what is hopeless
    """

    after: int
    choice: MetricChoice
    is_baseline: bool = False
    is_part: bool = False

    def select(self, result: Result) -> Result:
        """With those numbers that the workflow asks for; all when it names none."""
        wanted = [full for sub in self.choice.sub_metrics for full in sub.numbers]
        numbers = {full: result.metrics[full] for full in wanted if full in result.metrics}
        if not numbers:
            return result
        intervals = {full: result.intervals[full] for full in numbers if full in result.intervals}
        return replace(result, metrics=numbers, intervals=intervals)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanParts:
    """What a draft and a whole plan have alike. disk_needed, memory_needed: bytes, estimated."""

    steps: Sequence[Step]
    measurements: Sequence[Measurement]
    notes: Sequence[str]
    disk_needed: int
    memory_needed: int

    @property
    def tasks(self) -> Iterator[Step | Measurement]:
        """All in the order in which they are done: each step, then what is measured of its model."""
        for after in range(len(self.steps) + 1):
            if after:
                yield self.steps[after - 1]
            yield from (m for m in self.measurements if m.after == after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(PlanParts):
    """What a run does. Nothing is wrong with it."""

    workflow: Workflow
    model: ModelFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDraft(PlanParts):
    """What a run would do, as far as it can be told. With problems, steps may be missing."""

    workflow: WorkflowDraft
    model: ModelFacts | None

    @property
    def problems(self) -> Problems:
        return self.workflow.problems

    @property
    def translations(self) -> Sequence[Translation]:
        return self.workflow.translations

    def whole(self) -> Plan:
        """The plan. Raises WorkflowError with every problem."""
        workflow = self.workflow.whole()
        if self.model is None or len(self.steps) < len(workflow.passes):
            raise TypeError("A part of the plan is missing, and no problem tells why.")
        parts = {f.name: getattr(self, f.name) for f in fields(PlanParts)}
        return Plan(workflow=workflow, model=self.model, **parts)
