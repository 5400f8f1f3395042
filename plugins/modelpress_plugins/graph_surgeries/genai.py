"""genai_config.json after a surgery: names of inputs and outputs, and how long a prompt may be."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from modelpress.api import Artifact, JSONValue, PassContext, PassError, TextModel, UserError
from modelpress_plugins.graph_surgeries.edit import Operation
from modelpress_plugins.graph_surgeries.plan import LENGTHS_TOLD
from modelpress_plugins.onnx_graph.folder import GENAI_CONFIG

_LENGTHS = {"past_sequence_length": "past_seq_len", "total_sequence_length": "total_seq_len"}
_RUN_WHOLE = 10**8
"""Bytes up to which a folder is opened."""
_IDS = (1, 2, 3, 4, 5, 6, 7, 8)
_FAR = 0.2
"""Of the largest logit: a surgery that is not exact stays within it, another input's name does not."""
_LIMITS = (("model", "context_length"), ("search", "max_length"))


def follow(folder: Path, graph: str, operation: Operation, tell: Callable[[str], None]) -> bool:
    """Let the configuration say what the graph is like now. Whether there is one, and something to be said.

    Raises UserError where it cannot: one of a row of inputs (`past_key_values.%d.key`) has another name now.
    """
    path = folder / GENAI_CONFIG
    if not path.is_file() or not _has_to_change(operation):
        return False
    config = json.loads(path.read_text(encoding="utf-8"))
    for section in _sections(config.get("model", {}), graph):
        _rename(section, "inputs", operation.input_names)
        _rename(section, "outputs", operation.output_names)
        inputs = section.get("inputs")
        if isinstance(inputs, dict) and "attention_mask" in operation.removed_inputs:
            inputs.pop("attention_mask", None)
            inputs.update(_LENGTHS)
    for part, key in _LIMITS if operation.longest else ():
        held = config.get(part, {})
        if isinstance(held.get(key), int) and held[key] > operation.longest:
            held[key] = operation.longest
            tell(f"{GENAI_CONFIG}: {key} is {operation.longest} now.")
    path.write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")
    return True


def prove_in_genai(
    model: Artifact, result: Artifact, ctx: PassContext, *, lengths: bool, required: bool
) -> None:
    """Ask onnxruntime-genai for logits by the new configuration, and compare them with those of the source.

    lengths: the graph takes lengths in place of a mask, which the runtime gives to pipelines of static graphs
    alone: that is told, and an error where a proof is required. Raises PassError when another model fails.
    """
    if sum(path.stat().st_size for path in model.path.rglob("*") if path.is_file()) > _RUN_WHOLE:
        ctx.note("The folder was not opened in onnxruntime-genai: it is large.")
        return
    if lengths:
        if required:
            raise PassError(LENGTHS_TOLD, "Set verify to auto, or take AttentionMaskToSequenceLengths out.")
        ctx.note(LENGTHS_TOLD)
        return
    before, after = _logits(model, ctx), _logits(result, ctx)
    gap = float(np.abs(before - after).max())
    ctx.note(f"onnxruntime-genai gives logits at most {gap:.3g} from those of the source.")
    if gap > _FAR * max(1.0, float(np.abs(before).max())):
        raise PassError("onnxruntime-genai computes something else by the new configuration.")


def _logits(model: Artifact, ctx: PassContext) -> npt.NDArray[np.float32]:
    loaded = cast("TextModel", ctx.load(model, "cpu"))
    try:
        return np.asarray(loaded.logits(_IDS), np.float32)
    finally:
        loaded.close()


def _has_to_change(operation: Operation) -> bool:
    return bool(
        operation.input_names or operation.output_names or operation.removed_inputs or operation.longest
    )


def _sections(section: object, graph: str) -> list[dict[str, JSONValue]]:
    """The parts of the configuration that name this graph's file."""
    if isinstance(section, list):
        return [found for value in section for found in _sections(value, graph)]
    if not isinstance(section, dict):
        return []
    here = [section] if section.get("filename") == graph else []
    return here + [found for value in section.values() for found in _sections(value, graph)]


def _rename(section: dict[str, JSONValue], part: str, names: Mapping[str, str]) -> None:
    held = section.get(part)
    if not isinstance(held, dict):
        return
    for key, value in held.items():
        if not isinstance(value, str):
            continue
        if value in names:
            held[key] = names[value]
        elif "%d" in value:
            held[key] = _pattern(value, names)


def _pattern(pattern: str, names: Mapping[str, str]) -> str:
    """The pattern of names that are numbered, after all of them were renamed alike."""
    form = re.compile(re.escape(pattern).replace("%d", r"(\d+)"))
    found = [(match[1], new) for old, new in names.items() if (match := form.fullmatch(old))]
    if not found:
        return pattern
    number, new = found[0]
    made = new.replace(number, "%d", 1)
    if "%d" not in made or any(made.replace("%d", number) != new for number, new in found):
        raise UserError(
            f"{GENAI_CONFIG} names {pattern!r} by number; the new names differ by more than that.",
            "Rename all of them alike: past.0 -> cache.0, past.1 -> cache.1 …",
        )
    return made
