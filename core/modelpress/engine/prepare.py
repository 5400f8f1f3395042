"""From a workflow file to its plan: the first half of a run, and all of `modelpress plan`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelpress.config.load import load_workflow
from modelpress.engine.cache import Cache, default_cache_folder
from modelpress.engine.export import check_output_dir
from modelpress.engine.plan import PlanDraft
from modelpress.engine.planner import make_plan
from modelpress.engine.systems import OpenSystems
from modelpress.registry import Registry


@dataclass(frozen=True, slots=True)
class Prepared:
    """A planned workflow, and what a run of it needs. output_dir is None when the result stays in the
    cache."""

    plan: PlanDraft
    cache: Cache
    systems: OpenSystems
    output_dir: Path | None
    offline: bool


@contextmanager
def prepare(
    file: Path,
    registry: Registry,
    *,
    output_dir: Path | None = None,
    cache_dir: Path | None = None,
    offline: bool = False,
    in_process: bool = False,
) -> Iterator[Prepared]:
    """Read and plan the workflow in a file; its problems are in the plan, and nothing is written.

    output_dir, cache_dir: instead of the workflow's own. The systems are closed at the end of the block.
    """
    workflow = load_workflow(file, registry)
    cache = Cache(cache_dir.absolute() if cache_dir else workflow.cache_dir or default_cache_folder())
    target = output_dir.absolute() if output_dir else workflow.output_dir
    systems = OpenSystems(workflow, registry, in_process=in_process)
    try:
        plan = make_plan(workflow, registry, cache, systems, offline=offline, output_dir=target)
        check_output_dir(target, plan.problems)
        yield Prepared(plan, cache, systems, target, offline)
    finally:
        systems.close()
