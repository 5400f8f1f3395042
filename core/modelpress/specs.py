"""What a plugin says about the things it brings. Frozen facts; the code is named by string.

`run="package.module:function"` is imported only where and when it runs, so that listing passes costs
nothing and a machine that only plans needs no heavy library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Rename:
    """An option that has another name today. Applied before validation, and told to the user once.

    old, new: dotted paths inside the options (`training_args.evaluation_strategy`). new=None means that
    the option has no meaning any more: it is taken out, and `why` is told. values translates the value,
    where that changed too.
    """

    old: str
    new: str | None
    why: str = ""
    values: Mapping[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PassSpec:
    """One transformation of a model.

    run:      `module:function` with the signature (model: Artifact, config, ctx: PassContext) -> Artifact
    config:   `module:Class`, a subclass of modelpress.api.Options
    plan:     `module:function` (model: ModelFacts, config, ctx: PlanContext) -> ModelFacts, light; optional.
              It reports problems before any work (ctx.problem) and tells what the output will be like.
    accepts:  formats it takes; produces: the format it gives. `"same"` gives the format it took.
    requires: distributions on PyPI that it imports; their versions are part of the cache key
    extra:    the extra of the providing distribution that brings them, for the hint
    version:  raise it when the same input would give other bytes
    """

    kind: ClassVar[str] = "pass"
    name: str
    summary: str
    accepts: tuple[str, ...]
    produces: str
    run: str
    config: str
    plan: str = ""
    requires: tuple[str, ...] = ()
    extra: str = ""
    devices: tuple[str, ...] = ("cpu", "gpu")
    version: int = 1
    renames: tuple[Rename, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A way to name an input model in a workflow: `input_model: {type: HfModel, …}`.

    open: `module:function` (config, ctx: PlanContext) -> ModelFacts, light: finds the files (in the
          hub's local cache, or a folder) and reads config.json. It reports problems with ctx.problem.
    fetch: `module:function` (config, ctx: FetchContext) -> Path, run by the runner when ModelFacts.path
          is None: brings the files to this machine. Empty when the model is always local.
    """

    kind: ClassVar[str] = "model"
    name: str
    summary: str
    produces: str
    open: str
    config: str
    fetch: str = ""
    aliases: tuple[str, ...] = ()
    renames: tuple[Rename, ...] = ()


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """What an artifact is.

    check: `module:function` (folder: Path) -> None, light; raises UserError when files are missing or cut.
           Used for inputs, and before a pass's output is committed.
    load:  `module:function` (artifact: Artifact, device: str) -> LoadedModel; opens it in its runtime.
           Empty when the format cannot run by itself.
    tokenizer: `module:function` (artifact: Artifact) -> a transformers tokenizer; empty when it has none.
    """

    kind: ClassVar[str] = "format"
    name: str
    summary: str
    check: str
    load: str = ""
    tokenizer: str = ""
    requires: tuple[str, ...] = ()
    extra: str = ""


@dataclass(frozen=True, slots=True)
class DataContainerSpec:
    """A source of samples.

    open: `module:function` (config) -> DataSource (see modelpress.api); heavy, in the worker.
    peek: `module:function` (config) -> DataFacts, light, at plan time: columns where they can be known.
    """

    kind: ClassVar[str] = "data container"
    name: str
    summary: str
    open: str
    config: str
    peek: str = ""
    requires: tuple[str, ...] = ()
    extra: str = ""
    version: int = 1
    renames: tuple[Rename, ...] = ()


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """A place where work runs.

    open: `module:function` (config, name: str) -> System (see modelpress.api); light to import.
    """

    kind: ClassVar[str] = "system"
    name: str
    summary: str
    open: str
    config: str
    requires: tuple[str, ...] = ()
    extra: str = ""
    renames: tuple[Rename, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One or more numbers about a model.

    run: `module:function` (model: Artifact, config, ctx: PassContext) -> Mapping[str, float]; the keys are
         the metric's full names (`latency_p50_ms`) and each must be in `gives`.
    gives: full name -> (unit, higher_is_better)
    """

    kind: ClassVar[str] = "metric"
    name: str
    summary: str
    run: str
    config: str
    gives: Mapping[str, tuple[str, bool]]
    formats: tuple[str, ...] = ()
    """Formats it can measure; empty means all."""
    requires: tuple[str, ...] = ()
    extra: str = ""
    version: int = 1
    renames: tuple[Rename, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceSpec:
    """A kind of path that has to be fetched, named by `type` (`azureml_datastore`).

    identity: `module:function` (config) -> str: what the content is (an etag), without fetching it.
    fetch:    `module:function` (config, folder: Path) -> Path
    """

    kind: ClassVar[str] = "resource"
    name: str
    summary: str
    identity: str
    fetch: str
    config: str
    requires: tuple[str, ...] = ()
    extra: str = ""


Spec = PassSpec | ModelSpec | FormatSpec | DataContainerSpec | SystemSpec | MetricSpec | ResourceSpec
