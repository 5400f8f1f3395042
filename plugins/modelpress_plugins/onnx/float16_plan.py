"""What can be said of OnnxFloatToFloat16 before any work. Light."""

from __future__ import annotations

from dataclasses import replace

from modelpress.api import ModelFacts, PlanContext
from modelpress_plugins.onnx.config import Float16Options
from modelpress_plugins.onnx_graph.plan import known_graphs, plan_graphs

_BOTH = (("op_include_list", "op_block_list"), ("node_include_list", "node_block_list"))


def plan(model: ModelFacts, config: Float16Options, ctx: PlanContext) -> ModelFacts:
    """Half the bytes of what is float32; nothing else changes."""
    for include, block in _BOTH:
        if getattr(config, include) is not None and getattr(config, block) is not None:
            ctx.problem(f"{include} and {block} exclude each other.", "Give one of them.", option=include)
    facts = plan_graphs(model, config, ctx)
    floats = sum(graph.weights.get("float32", 0) for graph in known_graphs(model).values())
    return replace(facts, size=max(0, facts.size - floats // 2))
