"""The shape of a workflow file. Options of passes, systems, data containers and metrics are the plugins'."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from modelpress.errors import UserError
from modelpress.options import Size
from modelpress.sizes import parse_time

Name = Annotated[str, StringConstraints(min_length=1)]

GoalType = Literal[
    "threshold",
    "min-improvement",
    "percent-min-improvement",
    "max-degradation",
    "percent-max-degradation",
]


def _folder_name(value: str) -> str:
    if not value or value.strip(".") == "" or any(c in value for c in '/\\:*?"<>|'):
        raise ValueError("has to be the name of a folder, without a path")
    return value


class Section(BaseModel):
    """A part whose every key is known here."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class Typed(BaseModel):
    """A part that a plugin brings: `type` names it, and the keys not known here are its options."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, protected_namespaces=())

    type: Name = Field(description="Which one it is.")


class InputModelSection(Typed):
    """The model to begin with."""


class DataSection(Typed):
    """A named source of samples."""


class AcceleratorSection(Section):
    """A device, and how onnxruntime is to use it."""

    device: Literal["cpu", "gpu", "npu"] | None = Field(
        default=None, description="Unset: that of the first execution provider."
    )
    execution_providers: list[Name] | None = Field(
        default=None,
        min_length=1,
        description="onnxruntime's names, the most wanted first. Unset: CPUExecutionProvider or "
        "CUDAExecutionProvider, by the device.",
    )


class SystemSection(Typed):
    """A place where work runs."""

    accelerators: list[AcceleratorSection] | None = Field(
        default=None,
        description="Of the host: the first is what passes run on. Of the target: the first is what models "
        "are built for.",
    )


class GoalSection(Section):
    """What a number is wanted to be."""

    type: GoalType = Field(description="How value is meant; all but threshold compare with the input model.")
    value: float = Field(description="In the metric's own unit, or in percent.")


class SubMetricSection(Section):
    """One of the numbers that a metric gives."""

    name: Name = Field(description="`accuracy_score`, `p50` …")
    priority: int | None = Field(default=None, description="1 is the highest; -1 or unset: only reported.")
    higher_is_better: bool | None = Field(default=None, description="Unset: as the metric has it.")
    goal: GoalSection | None = Field(
        default=None, description="What it is wanted to be: judged when it is measured."
    )


class MetricSection(Typed):
    """One metric."""

    name: Name | None = Field(default=None, description="What it is called in the results. Unset: its type.")
    data_config: Name | None = Field(default=None, description="Name of the data to measure on.")
    sub_types: list[SubMetricSection] | None = Field(
        default=None, description="Which of its numbers are wanted. Unset: all."
    )


class EvaluatorSection(Section):
    """A named list of metrics."""

    metrics: list[MetricSection] = Field(description="What is measured.")


def _a_time(value: float | str) -> float | str:
    try:
        parse_time(value)
    except UserError as error:
        raise ValueError('has to be a time: seconds, or text like "30m" or "2h"') from error
    return value


class NeedsSection(Section):
    """What a step takes where it runs. A system that shares its machine out keeps as much free for it."""

    memory: Size | None = Field(default=None, description="Unset: as the plan estimates it.")
    disk: Size | None = Field(default=None, description="Unset: as the plan estimates it.")
    gpus: int | None = Field(default=None, ge=0, description="How many GPUs. Unset: as the system has it.")
    cpus: int | None = Field(
        default=None, ge=1, description="How many processors. Unset: as the system has it."
    )
    time: Annotated[float | int | str, AfterValidator(_a_time)] | None = Field(
        default=None, description='Seconds, or text like "30m" or "2h", after which the system may end it.'
    )


class CacheSection(Section):
    """A cache that machines share."""

    shared: Name = Field(
        description="Its address: `s3://bucket/folder`, `az://container/folder`, `gs://bucket/folder`, "
        "`file:///folder`, or what else fsspec knows. Credentials are found as its library finds them."
    )
    options: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="For fsspec's file system (`account_name`, `endpoint_url`). No secrets.",
    )
    update: bool = Field(default=True, description="Whether what is made here is uploaded.")


class PassSection(Typed):
    """One transformation of the model."""

    host: Name | None = Field(default=None, description="The system that runs it. Unset: the workflow's.")
    needs: NeedsSection | None = Field(default=None, description="What it takes where it runs.")
    evaluator: Name | None = Field(
        default=None, description="Measures what it gives. Unset: nothing does, except after the last pass."
    )
    disable_search: bool = Field(
        default=False, description="Whether its options that are not written stay as they are in a search."
    )
    output_name: Annotated[str, AfterValidator(_folder_name)] | None = Field(
        default=None, description="Keep a copy of what it gives in this folder of output_dir."
    )


class ObserverSection(Typed):
    """Who watches the run."""


class SearchSection(BaseModel):
    """How a search goes. Keys not known here are options of the sampler."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, protected_namespaces=())

    sampler: Name = Field(default="tpe", description="Decides what is tried: `modelpress samplers list`.")
    execution_order: Literal["joint", "pass-by-pass"] = Field(
        default="joint",
        description="`joint`: all that is open at once; `pass-by-pass`: what one pass leaves open after the "
        "other, each with the best that was found for those before it.",
    )
    max_samples: int | None = Field(
        default=None,
        ge=1,
        description="Candidates that the sampler may propose. Unset: as many as there are.",
    )
    max_iter: int | None = Field(default=None, ge=1, description="Candidates that are built. Unset: any.")
    max_time: float | None = Field(
        default=None, gt=0, description="Seconds after which no candidate is begun. Unset: any."
    )
    stop_when_goals_met: bool = Field(
        default=False, description="Whether the first candidate that meets all goals is taken."
    )
    prune: bool = Field(
        default=True,
        description="Whether work on a candidate ends as soon as it is known that it cannot be chosen: too "
        "large by its plan, a goal missed, worse than the best in what counts most.",
    )
    halving: int | None = Field(
        default=3,
        ge=2,
        description="Of so many trainings one goes on, by its loss after a ninth and a third (of 3) of its "
        "steps. null: each goes on to its end.",
    )
    seed: int | None = Field(
        default=None, ge=0, lt=2**32, description="Every choice follows from it. Unset: the workflow's."
    )
    include_pass_params: bool = Field(
        default=True,
        description="Whether options that are not written, and of which the pass says what is worth trying, "
        "are open too.",
    )


class PackagingSection(Section):
    """The finished model as one thing to hand on: model, card, sample code, packages with versions."""

    type: Literal["Zipfile", "Dockerfile"] = Field(
        default="Zipfile", description="A zip, or a Dockerfile and what it copies; both in output_dir."
    )
    name: Annotated[str, AfterValidator(_folder_name)] = Field(
        default="OutputModels", description="Of the zip, or of the image."
    )
    base_image: Name | None = Field(
        default=None, description="What the Dockerfile begins from. Unset: Python's own image."
    )
    requirements_file: Name | None = Field(
        default=None, description="Packages to install, from this file's folder. Unset: those that run it."
    )


class WorkflowFile(Section):
    """A modelpress workflow: a model, and what is done to it."""

    plugins: list[Name] | None = Field(
        default=None,
        description="Files in the folder modelpress_plugins beside this file that bring plugins: my_pass.py.",
    )
    workflow_id: str | None = Field(
        default=None,
        description="What it is called in lists of runs and in run.json. Unset: the file's name.",
    )
    input_model: InputModelSection = Field(description="The model to begin with.")
    data_configs: dict[str, DataSection] | None = Field(
        default=None, description="Data sets by name, for passes and metrics to use."
    )
    systems: dict[str, SystemSection] | None = Field(
        default=None, description="Places where work runs, by name. `local` is always there."
    )
    evaluators: dict[str, EvaluatorSection] | None = Field(
        default=None, description="Lists of metrics, by name."
    )
    passes: dict[str, PassSection] | None = Field(
        default=None, description="What is done to the model, in this order; each has a name of your own."
    )
    host: Name | None = Field(default=None, description="The system that runs passes. Unset: this machine.")
    target: Name | None = Field(
        default=None, description="The system that the model is for, and is measured on. Unset: the host."
    )
    evaluator: Name | None = Field(default=None, description="Measures the model that comes out at the end.")
    evaluate_input_model: bool = Field(
        default=False, description="Whether the input model is measured too, to compare with."
    )
    cache_dir: Name | None = Field(
        default=None,
        description="Where results of steps are kept, from this file's folder. Unset: the user's own.",
    )
    cache: CacheSection | None = Field(
        default=None, description="A cache that machines share, beside that of this one."
    )
    output_dir: Name | None = Field(
        default=None, description="Where the model and the report are written, from this file's folder."
    )
    observers: list[ObserverSection] | None = Field(
        default=None, description="Who watches the run: `modelpress observers list`."
    )
    packaging_config: PackagingSection | list[PackagingSection] | None = Field(
        default=None, description="What the finished model is packed into, in output_dir."
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="Every random choice follows from it.")
    require_goals: bool = Field(
        default=False, description="Whether a goal that is missed makes the run fail, with exit code 4."
    )
    log_severity_level: int | None = Field(
        default=None,
        ge=0,
        le=4,
        description="Least level of lines shown: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal.",
    )
    pass_flows: list[list[Name]] | None = Field(
        default=None,
        description="Several orders of passes, each by their names: a search decides. One: that order.",
    )
    search_strategy: SearchSection | bool | None = Field(
        default=None,
        description="How what the workflow leaves open is decided. Unset, true: as it says by default; "
        "false: nothing may be open.",
    )


def common_keys(section: type[BaseModel]) -> frozenset[str]:
    """The keys of a section that are not its plugin's options."""
    return frozenset(section.model_fields)
