"""From a workflow to its plan: the first half of a run, and all of `modelpress plan`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelpress.config.given import Given
from modelpress.config.load import load_workflow
from modelpress.config.workflow import Unfit, WorkflowDraft
from modelpress.engine.cache import Cache, default_cache_folder
from modelpress.engine.inputs import Lookup, place_remotes
from modelpress.engine.observers import observer_problems
from modelpress.engine.ownership import Export, check_outputs
from modelpress.engine.packaging import obstacles
from modelpress.engine.plan import Plan, PlanDraft
from modelpress.engine.planner import make_plan
from modelpress.engine.resources import Remotes
from modelpress.engine.shared_cache import SharedCache, shared_place
from modelpress.engine.systems import OpenSystem, OpenSystems
from modelpress.events import Event
from modelpress.identity import require_utf8
from modelpress.markers import resource_refs
from modelpress.problems import Problems
from modelpress.registry import Registry


@dataclass(frozen=True, slots=True)
class Prepared:
    """A planned workflow, and what a run of it needs.

    output_dir: None when the result stays in the cache
    detach:     asked at an interruption: whether jobs that can go on without the run are to do so
    """

    plan: PlanDraft
    cache: Cache
    shared: SharedCache
    systems: OpenSystems
    output_dir: Path | None
    offline: bool
    detach: Callable[[], bool] = field(default=lambda: False)


@contextmanager
def prepare(
    source: Path | Given,
    registry: Registry,
    *,
    output_dir: Path | None = None,
    cache_dir: Path | None = None,
    offline: bool = False,
    instead: OpenSystem | None = None,
) -> Iterator[Prepared]:
    """Read and plan a workflow; its problems are in the plan, and nothing is written.

    output_dir, cache_dir: instead of the workflow's own; instead: as OpenSystems has it. The systems are
    closed at the end of the block.
    """
    given = source if isinstance(source, Given) else Given(source)
    if given.file is not None:
        require_utf8(given.file)
    workflow = load_workflow(given, registry)
    cache = Cache(cache_dir.absolute() if cache_dir else workflow.cache_dir or default_cache_folder())
    target = output_dir.absolute() if output_dir else workflow.output_dir
    for path in (workflow.path, cache.folder, target):
        if path is not None:
            require_utf8(path)
    lookup = Lookup(
        workflow.folder, cache.digests, Remotes(registry, cache, workflow.folder, offline=offline)
    )
    workflow = _with_model_here(workflow, lookup)
    systems = OpenSystems(workflow, registry, lookup, instead)
    try:

        def planned(draft: WorkflowDraft) -> PlanDraft:
            return make_plan(draft, registry, cache, systems, offline=offline, output_dir=target)

        plan = _sound_plan(workflow, planned)
        if target is not None:
            for message, hint, where in check_outputs(
                target, _exports(plan, target, cache), _inputs(plan), cache.folder, cache.digests
            ):
                plan.problems.add(message, hint, where=workflow.locate(where))
        _check_packages(plan, target)
        for problem in observer_problems(workflow):
            plan.problems.take(problem)
        shared = SharedCache(shared_place(workflow), cache, offline=offline)
        yield Prepared(plan, cache, shared, systems, target, offline)
    finally:
        systems.close()
        cache.release()


def _check_packages(plan: PlanDraft, output_dir: Path | None) -> None:
    workflow = plan.workflow
    where = workflow.locate("packaging_config")
    if workflow.packages and output_dir is None:
        plan.problems.add("packaging_config needs an output_dir to write to.", "Add output_dir.", where=where)
    for reason in obstacles(workflow.packages, output_dir) if output_dir else ():
        plan.problems.add(reason, "Move it away, or choose another name.", where=where)


def complete_plan(prepared: Prepared, registry: Registry, tell: Callable[[Event], None]) -> Plan:
    """The whole plan. Where the input model is a resource it is fetched, environments that are not there are
    made, and the plan is made again: what they decide is known only now.

    Raises WorkflowError with every problem.
    """
    plan = prepared.plan.whole()
    elsewhere = resource_refs(plan.workflow.input_model.options)
    unmade = prepared.systems.unmade()
    for name in unmade:
        prepared.systems.make(name, prepared.cache, tell)
    if not elsewhere and not unmade:
        return plan
    lookup = prepared.systems.lookup
    for reference in elsewhere:
        lookup.remotes.look_up(reference.model_dump()).bring(prepared.cache, tell)
    draft = _with_model_here(replace(prepared.plan.workflow, problems=Problems()), lookup)
    again = make_plan(
        draft,
        registry,
        prepared.cache,
        prepared.systems,
        offline=prepared.offline,
        output_dir=prepared.output_dir,
    )
    return again.whole()


def _sound_plan(workflow: WorkflowDraft, planned: Callable[[WorkflowDraft], PlanDraft]) -> PlanDraft:
    """The plan. Of a search, that of a candidate which can be planned, where there is one: what is wrong with
    the first alone is told when its turn comes."""
    told = len(workflow.problems)
    plan = planned(workflow)
    search = workflow.search
    if search is None or told or not plan.problems:
        return plan
    for candidate in search.open.covering():
        draft = replace(search.decide(candidate), input_model=workflow.input_model)
        other = planned(replace(draft, search=replace(search, base=candidate)))
        if not other.problems:
            return other
    return plan


def _with_model_here(draft: WorkflowDraft, lookup: Lookup) -> WorkflowDraft:
    """The workflow with each resource that the input model names as a path, or by its identity before it was
    fetched."""
    choice = draft.input_model
    if isinstance(choice, Unfit):
        return draft

    def tell(message: str, hint: str, option: str) -> None:
        where = draft.locate(f"input_model.{option}")
        draft.problems.add(message, hint, where=where, step="input_model")

    options, _ = place_remotes(choice.options, lookup, tell)
    return replace(draft, input_model=replace(choice, options=options))


def _exports(plan: PlanDraft, output_dir: Path, cache: Cache) -> list[Export]:
    """What the run would write into the output folder, but for its record."""
    named = [
        Export(
            output_dir / step.output_name, step.key, cache.artifact_folder(step.key), f"passes.{step.name}"
        )
        for step in plan.steps
        if step.output_name
    ]
    if not plan.workflow.passes:
        return []
    key = plan.steps[-1].key if plan.steps else ""
    source = cache.artifact_folder(key) if plan.steps else None
    return [*named, Export(output_dir / "model", key, source, "output_dir")]


def _inputs(plan: PlanDraft) -> Iterator[Path]:
    """Every file and folder that the run reads."""
    if plan.workflow.path is not None:
        yield plan.workflow.path
    model = plan.model
    while model is not None:
        if model.path is not None:
            yield model.path
        if model.meta.tokenizer_path:
            yield Path(model.meta.tokenizer_path)
        model = model.base
    for task in plan.tasks:
        for resolved in (task.resolved, *(data.resolved for data in task.data.values())):
            yield from (path for path in resolved.inputs.values() if isinstance(path, Path))
