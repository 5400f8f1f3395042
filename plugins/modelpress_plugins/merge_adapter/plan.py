"""What can be told about a merge before any work: from configs and headers, without torch."""

from __future__ import annotations

from dataclasses import replace

from modelpress.api import Checkpoint, ModelFacts, PlanContext, UserError

from .adapter import STEM, read_adapter
from .config import MergeAdapterOptions


def plan(model: ModelFacts, config: MergeAdapterOptions, ctx: PlanContext) -> ModelFacts:
    return model
