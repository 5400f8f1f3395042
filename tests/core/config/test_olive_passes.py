"""Passes that Olive has under several names are read under the one that they have here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelpress.config.workflow import WorkflowDraft

    Load = Callable[..., WorkflowDraft]


def passes_of(load: Load, **options: Any) -> tuple[WorkflowDraft, dict[str, Any]]:
    document = {"input_model": {"type": "HfModel", "model_path": "m"}, "passes": {"q": options}}
    workflow = load(json.dumps(document, indent=1), "w.json")
    return workflow, workflow.native["passes"]


def told(workflow: WorkflowDraft) -> dict[str, str]:
    return {t.old: t.new for t in workflow.translations}


@pytest.mark.parametrize(
    ("old", "new"), [("GptqModel", "Gptq"), ("gptqquantizer", "Gptq"), ("AutoAWQQuantizer", "Awq")]
)
def test_each_is_told_as_a_translation(old: str, new: str, load: Load) -> None:
    workflow, passes = passes_of(load, type=old)
    assert passes["q"]["type"] == new
    assert told(workflow)[old] == new


def test_gptq_model_brings_its_own_defaults(load: Load) -> None:
    _, passes = passes_of(load, type="gptqmodel", damp_percent=0.1)
    assert passes["q"] == {
        "type": "Gptq", "damp_percent": 0.1, "group_size": -1, "sym": True, "true_sequential": True
    }  # fmt: skip


def test_dynamic_becomes_overrides_and_what_stays(load: Load) -> None:
    dynamic = {
        "+:.*lm_head*": {"bits": 8, "sym": True, "group_size": 32, "desc_act": False},
        "-:.*o_proj": {},
    }
    workflow, passes = passes_of(load, type="GptqModel", lm_head=True, dynamic=dynamic)
    assert passes["q"]["overrides"] == {
        "re:(?:.*lm_head*).*": {"bits": 8, "symmetric": True, "group_size": 32}
    }
    assert passes["q"]["modules_to_not_convert"] == ["re:(?:.*o_proj).*"]
    assert told(workflow)["dynamic"] == "overrides, modules_to_not_convert"


def test_a_rotation_becomes_a_pass_before_it(load: Load) -> None:
    workflow, passes = passes_of(load, type="GptqModel", rotation="hadamard")
    assert list(passes) == ["q_rotation", "q"]
    assert passes["q_rotation"] == {"type": "QuaRot", "rotate_mode": "hadamard"}
    assert told(workflow)["rotation"] == "a pass QuaRot before it"
