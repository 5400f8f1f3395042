"""What each reference of a spec names: one Protocol for each function that a plugin gives.

A spec says `plan="acme.plan:plan"`; that function has the signature of PassPlan. The core calls it through
`Registered.call`, which checks the answer against what the Protocol says it returns. Arguments are given by
position. To have a type checker compare a function with its contract: `_: PassPlan[PruneOptions] = plan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from modelpress.artifact import Artifact
from modelpress.context import (
    DataContext,
    DataFacts,
    FetchContext,
    ModelFacts,
    PassContext,
    PlanContext,
)
from modelpress.estimate import Estimate
from modelpress.findings import Finding
from modelpress.observer import Observed, Observer
from modelpress.opened import LoadedModel, Tokenizer
from modelpress.options import Options
from modelpress.samples import DataSource
from modelpress.search import Sampler, SearchSpace
from modelpress.system import System
from modelpress.usage import Usage

C = TypeVar("C", bound=Options, contravariant=True)


class PassRun(Protocol[C]):
    """PassSpec.run: the work. Reads `model.path`, writes below `ctx.out`; returns `ctx.artifact(…)`."""

    def __call__(self, model: Artifact, config: C, ctx: PassContext, /) -> Artifact: ...


class PassPlan(Protocol[C]):
    """PassSpec.plan: before any work, light. Tells problems with ctx.problem, and returns the facts of the
    model that will come out."""

    def __call__(self, model: ModelFacts, config: C, ctx: PlanContext, /) -> ModelFacts: ...


class ModelOpen(Protocol[C]):
    """ModelSpec.open: light. Finds the files and reads what is known of the model; None when it has told a
    problem."""

    def __call__(self, config: C, ctx: PlanContext, /) -> ModelFacts | None: ...


class ModelFetch(Protocol[C]):
    """ModelSpec.fetch: brings the files to this machine, so that `open` finds them there. Returns their
    folder."""

    def __call__(self, config: C, ctx: FetchContext, /) -> Path: ...


class FormatCheck(Protocol):
    """FormatSpec.check: light. Raises UserError when files are missing or cut."""

    def __call__(self, folder: Path, /) -> None: ...


class FormatLoad(Protocol):
    """FormatSpec.load: opens a model in its runtime. device: `cpu` or `gpu`."""

    def __call__(self, artifact: Artifact, device: str, /) -> LoadedModel: ...


class FormatTokenizer(Protocol):
    """FormatSpec.tokenizer: the tokenizer that lies with a model."""

    def __call__(self, artifact: Artifact, /) -> Tokenizer: ...


class FormatUsage(Protocol):
    """FormatSpec.usage: how a finished model is used, for its card and for whoever made it. Light."""

    def __call__(self, artifact: Artifact, /) -> Usage: ...


class DataOpen(Protocol[C]):
    """DataContainerSpec.open: where the pass runs. data: where it may keep what it converts, and tell."""

    def __call__(self, config: C, data: DataContext, /) -> DataSource: ...


class DataDescribe(Protocol[C]):
    """DataContainerSpec.describe: before any work, light. Tells problems with ctx.problem; returns what can
    be known without loading."""

    def __call__(self, config: C, ctx: PlanContext, /) -> DataFacts: ...


class SystemOpen(Protocol[C]):
    """SystemSpec.open: the place itself. name: what the workflow calls it."""

    def __call__(self, config: C, name: str, /) -> System: ...


class MetricRun(Protocol[C]):
    """MetricSpec.run: measures. Returns full names -> numbers; each name is in the spec's `gives`. An
    Estimate says how sure the number is, too."""

    def __call__(self, model: Artifact, config: C, ctx: PassContext, /) -> Mapping[str, float | Estimate]: ...


class MetricEstimate(Protocol[C]):
    """MetricSpec.estimate: full names -> numbers that measuring would give, as near as the plan's facts of
    the model are; nothing for what they do not tell."""

    def __call__(self, model: ModelFacts, config: C, /) -> Mapping[str, float]: ...


class ResourceIdentity(Protocol[C]):
    """ResourceSpec.identity: what the content is (an etag, a digest), without fetching it."""

    def __call__(self, config: C, /) -> str: ...


class ResourceFetch(Protocol[C]):
    """ResourceSpec.fetch: brings it below the folder, and returns the path there."""

    def __call__(self, config: C, folder: Path, /) -> Path: ...


class ResourceSecret(Protocol[C]):
    """ResourceSpec.secret: the secret that the options name, as text. Asked once in a run, when a job
    that needs it is about to start, and kept in no file. What it prints is not shown;
    what it raises must not repeat the secret."""

    def __call__(self, config: C, /) -> str: ...


class ObserverOpen(Protocol[C]):
    """ObserverSpec.open: begins to watch a run, in the process that the user started, before any work."""

    def __call__(self, config: C, run: Observed, /) -> Observer: ...


class LibraryCheck(Protocol):
    """LibrarySpec.check: whether the library and what it needs are well on this machine. Nothing heavy is
    imported, no network asked, no secret told; `broken` alone makes doctor fail."""

    def __call__(self) -> Sequence[Finding]: ...


class SamplerOpen(Protocol[C]):
    """SamplerSpec.open: begins a search."""

    def __call__(self, config: C, search: SearchSpace, /) -> Sampler: ...
