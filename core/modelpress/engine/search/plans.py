"""Plans of candidates."""

from __future__ import annotations

from dataclasses import replace

from modelpress.engine.plan import Plan, PlanDraft
from modelpress.engine.plan_memo import PlanMemo
from modelpress.engine.planner import make_plan
from modelpress.engine.prepare import Prepared
from modelpress.registry import Registry
from modelpress.search import Candidate


class CandidatePlans:
    """Plans of candidates: all of them share the input model, the systems and the cache."""

    def __init__(self, base: Plan, prepared: Prepared, registry: Registry) -> None:
        self._base = base
        self._prepared = prepared
        self._registry = registry
        self._memo = PlanMemo()

    def draft(self, candidate: Candidate, *, parts: bool = True) -> PlanDraft:
        """The plan of a candidate; what is wrong with it is in its problems. parts: see make_plan."""
        workflow, prepared = self._base.workflow, self._prepared
        if workflow.search is None:
            raise TypeError("Nothing is open in this workflow.")
        draft = workflow.search.decide(candidate)
        return make_plan(
            replace(draft, input_model=workflow.input_model),  # fetched, where it was elsewhere
            self._registry,
            prepared.cache,
            prepared.systems,
            offline=prepared.offline,
            parts=parts,
            memo=self._memo,
        )

    def plan(self, candidate: Candidate, *, parts: bool = True) -> Plan:
        """The plan of a candidate. Raises WorkflowError."""
        return self.draft(candidate, parts=parts).whole()
