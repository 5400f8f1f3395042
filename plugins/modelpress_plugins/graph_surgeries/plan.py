"""What is wrong with surgeries, before any work: names of surgeons, and of what they are to find. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelpress.api import JSONValue, ModelFacts, PlanContext, UserError, did_you_mean
from modelpress_plugins.graph_surgeries.choice import NAME, PROVIDER, find, find_quietly, hint
from modelpress_plugins.graph_surgeries.config import GraphSurgeriesOptions
from modelpress_plugins.onnx_graph.folder import GENAI
from modelpress_plugins.onnx_graph.plan import known_graphs, plan_graphs, without_operators

_LENGTHS = "AttentionMaskToSequenceLengths"
LENGTHS_TOLD = (
    "The graph takes past_seq_len and total_seq_len in place of attention_mask: onnxruntime runs it, and "
    "onnxruntime-genai only as part of a pipeline of static graphs."
)
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
    _check_lengths(model, config, ctx)
    found = [find_quietly(str(surgery[NAME])) for surgery in config.surgeries]
    gone = {operator for surgeon in found if surgeon for operator in surgeon.takes_away}
    return plan_graphs(without_operators(model, gone), config, ctx)


def _check_lengths(model: ModelFacts, config: GraphSurgeriesOptions, ctx: PlanContext) -> None:
    if model.format != GENAI or all(surgery[NAME] != _LENGTHS for surgery in config.surgeries):
        return
    if config.verify == "required":
        ctx.problem(LENGTHS_TOLD, f"Set verify to auto, or take {_LENGTHS} out.", option="verify")
    else:
        ctx.note(LENGTHS_TOLD)


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
    if surgery[NAME] == _LENGTHS:
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
