"""What is wrong with surgeries, before any work: names of surgeons, and of what they are to find. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelpress.api import JSONValue, ModelFacts, PlanContext, UserError, did_you_mean
from modelpress_plugins.graph_surgeries.choice import NAME, PROVIDER, find, hint
from modelpress_plugins.graph_surgeries.config import GraphSurgeriesOptions
from modelpress_plugins.onnx_graph.plan import known_graphs, plan_graphs

_RENAMES = {"RenameInputs": "input", "RenameOutputs": "output"}


def plan(model: ModelFacts, config: GraphSurgeriesOptions, ctx: PlanContext) -> ModelFacts:
    """The result is about as large as its source."""
    if not config.surgeries:
        ctx.problem("surgeries is empty: nothing is to be done.", "Name a surgeon.", option="surgeries")
    for index, surgery in enumerate(config.surgeries):
        _check(index, surgery, ctx)
    if len(graphs := list(known_graphs(model).values())) == 1:
        names = {
            "input": {value.name for value in graphs[0].inputs},
            "output": {value.name for value in graphs[0].outputs},
        }
        for index, surgery in enumerate(config.surgeries):
            _check_names(index, surgery, names, ctx)
    return plan_graphs(model, config, ctx)


def _check(index: int, surgery: Mapping[str, JSONValue], ctx: PlanContext) -> None:
    """Whether there is such a surgeon, and the one that the plan was made with."""
    name, option = str(surgery[NAME]), f"surgeries.{index}.{NAME}"
    try:
        surgeon = find(name)
    except UserError as error:
        ctx.problem(error.message, error.hint, option=option)
        return
    if surgeon is None:
        ctx.problem(f"There is no surgeon {name!r}.", hint(name), option=option)
    elif surgeon.provider:
        ctx.note(f"The surgeon {surgeon.name} comes from {str(surgery.get(PROVIDER)).rpartition(' ')[0]}.")


def _check_names(
    index: int, surgery: Mapping[str, JSONValue], names: dict[str, set[str]], ctx: PlanContext
) -> None:
    """Inputs and outputs that are renamed have to be there; what follows finds them by their new names."""
    what = _RENAMES.get(str(surgery[NAME]), "")
    if surgery[NAME] == "AttentionMaskToSequenceLengths":
        names["input"] |= {"past_seq_len", "total_seq_len"}
    old, new = surgery.get("old_names"), surgery.get("new_names")
    if surgery[NAME] == "RenameInputDims" and isinstance(surgery.get("input_name"), str):
        what, old, new = "input", [str(surgery["input_name"])], []
    if not what or not isinstance(old, Sequence) or not isinstance(new, Sequence):
        return
    for name in old:
        if name not in names[what]:
            ctx.problem(
                f"The graph has no {what} {name!r}.",
                did_you_mean(str(name), names[what], what="It has"),
                option=f"surgeries.{index}.{'old_names' if new else 'input_name'}",
            )
    if new:
        names[what] = names[what] - {str(name) for name in old} | {str(name) for name in new}
