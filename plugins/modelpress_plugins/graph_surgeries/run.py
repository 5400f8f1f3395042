"""GraphSurgeries: each graph of a model under each surgeon in turn, and compared with what it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from modelpress.api import Artifact, PassContext, UserError
from modelpress_plugins.graph_surgeries.choice import NAME, PROVIDER, Surgeon, find_of, hint, parse
from modelpress_plugins.graph_surgeries.config import GraphSurgeriesOptions, Surgery
from modelpress_plugins.graph_surgeries.duplicates import keep_one_of_equals
from modelpress_plugins.graph_surgeries.edit import Operation
from modelpress_plugins.graph_surgeries.genai import follow, prove_in_genai
from modelpress_plugins.onnx_graph.folder import graph_names
from modelpress_plugins.onnx_graph.graph import from_proto, open_proto
from modelpress_plugins.onnx_graph.press import Changed, press_each


@dataclass(frozen=True, slots=True)
class _Task:
    """A surgeon with the options of one surgery."""

    surgeon: Surgeon
    surgery: Surgery

    def do(self, model: object, operation: Operation, told: list[str]) -> int:
        changed = self.surgeon.operate(model, parse(self.surgeon, self.surgery), operation)
        told.append(f"{self.surgeon.name} {changed}")
        return changed


def run(model: Artifact, config: GraphSurgeriesOptions, ctx: PassContext) -> Artifact:
    """Raises UserError where a surgeon does not find what its options name."""
    tasks = [_task(surgery) for surgery in config.surgeries]
    names = graph_names(model.path, model.format, model.meta)
    operations: dict[str, Operation] = {}

    def change(name: str) -> Changed:
        operation = operations[name] = Operation(tell=ctx.note)
        graph, changed, told = _operate(model, name, tasks, operation)
        if config.remove_duplicate_initializers:
            changed += (equal := keep_one_of_equals(graph))
            told += [f"initializers that were there twice {equal}"] if equal else []
        ctx.note(f"{name}, nodes changed: {', '.join(told)}.")
        exact = all(getattr(task.surgeon.options, "exact", True) for task in tasks)
        return Changed(graph, changed, feeds=operation.feeds, exact=exact)

    artifact = press_each(model, config, ctx, names, change)
    followed = [follow(ctx.out, name, operations[name], ctx.note) for name in names]
    if any(followed) and config.verify != "never":
        lengths = any(operation.removed_inputs for operation in operations.values())
        prove_in_genai(model, artifact, ctx, lengths=lengths, required=config.verify == "required")
    return artifact


def _task(surgery: Surgery) -> _Task:
    name = str(surgery[NAME])
    surgeon = find_of(surgery)
    if surgeon is None:
        raise UserError(f"There is no surgeon {name!r} where this runs.", hint(name))
    if surgeon.provider != str(surgery.get(PROVIDER, "")):
        raise UserError(
            f"The plan was made with the surgeon {name} of {surgery.get(PROVIDER)}; where this runs there is "
            f"that of {surgeon.provider}.",
            "Install the same version there.",
        )
    return _Task(surgeon, surgery)


def _operate(
    model: Artifact, name: str, tasks: Sequence[_Task], operation: Operation
) -> tuple[ir.Model, int, list[str]]:
    """Those that mend the file come first, whatever their place: nothing else can read it."""
    told: list[str] = []
    proto = open_proto(model.path / name)
    changed = sum(task.do(proto, operation, told) for task in tasks if task.surgeon.on_file)
    graph = from_proto(proto, (model.path / name).parent)
    changed += sum(task.do(graph, operation, told) for task in tasks if not task.surgeon.on_file)
    return graph, changed, told
