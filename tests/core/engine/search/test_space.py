"""What can be open: the accelerators of the target, choices that depend on others; and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import modelpress
from modelpress.errors import WorkflowError

LENGTH = {"type": "length", "sub_types": [{"name": "length", "priority": 1}]}
NEAR = {"type": "near", "sub_types": [{"name": "near", "priority": 2}]}


def targets(*providers: str) -> dict[str, Any]:
    accelerators = [{"device": "cpu", "execution_providers": list(providers)}]
    return {"systems": {"it": {"type": "LocalSystem", "accelerators": accelerators}}, "target": "it"}


def test_each_accelerator_of_the_target_is_built_for(searched) -> None:
    both = targets("WebGpuExecutionProvider", "CPUExecutionProvider")
    file = searched.write({"build": {"type": "For"}}, LENGTH, NEAR, **both)
    done = searched.demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = json_of(searched)["candidates"]
    assert first["choices"] == {"systems.it.accelerators": "WebGpuExecutionProvider"}
    assert (first["status"], second["status"]) == ("unmeasured", "finished")
    assert first["error"]["message"] == "near not measured: there is no WebGpuExecutionProvider here."
    assert first["artifact"]
    assert searched.demo.text == "one two for CPUExecutionProvider"
    written = yaml.safe_load((file.parent / "output" / "workflow.yaml").read_text())
    assert written["systems"]["it"]["accelerators"] == [
        {"device": "cpu", "execution_providers": ["CPUExecutionProvider"]}
    ]


def test_without_a_search_the_first_accelerator_is_built_for(searched) -> None:
    both = targets("CPUExecutionProvider", "WebGpuExecutionProvider")
    searched.write({"build": {"type": "For"}}, LENGTH, search_strategy=None, **both)
    assert searched.demo.run().returncode == 0
    assert searched.demo.text == "one two for CPUExecutionProvider"


def json_of(searched: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((searched.demo.folder / "output" / "run.json").read_text())["search"]
    return found


def test_a_choice_may_depend_on_another(searched) -> None:
    first = {"type": "Grow", "text": {"choice": ["n", "nn", "b"]}}
    cases = [
        {"choice": ["x", "xx"], "when": {"passes.first.text": ["n"]}},
        {"choice": ["y"], "when": {"passes.first.text": ["nn"]}},
    ]
    passes = {"first": first, "second": {"type": "Grow", "text": {"cases": cases}}}
    found = searched.run(passes, LENGTH)
    assert [tuple(each.choices.values()) for each in found.candidates] == [
        ("n", "x"), ("n", "xx"), ("nn", "y"), ("b",),
    ]  # fmt: skip
    assert searched.demo.text == "one twob"


def test_olives_conditional_is_read(searched) -> None:
    kind = {"olive_parameter_type": "SearchParameter", "type": "Categorical"}
    text = {
        "type": "Conditional",
        "parents": ["seconds"],
        "support": {"0.0": {**kind, "support": ["x", "xx"]}},
        "default": {**kind, "support": ["OLIVE_IGNORED_PARAM_VALUE"]},
    }
    passes = {"grow": {"type": "Grow", "seconds": {**kind, "support": [0.0, 0.001]}, "text": text}}
    found = searched.run(passes, LENGTH)
    assert [tuple(each.choices.values()) for each in found.candidates] == [(0.0, "x"), (0.0, "xx"), (0.001,)]


def test_what_only_the_first_values_cannot_be_is_no_obstacle(searched) -> None:
    passes = {"add": {"type": "Refuse", "text": {"choice": ["bad", "n", "nn"]}}}
    found = searched.run(passes, LENGTH)
    assert [each.status for each in found.candidates] == ["failed", "finished", "finished"]
    assert "'bad' cannot be added." in found.candidates[0].error.message
    assert found.winner == 2


def test_what_no_value_can_be_is_told_before_any_work(searched) -> None:
    passes = {"add": {"type": "Refuse", "text": {"choice": ["bad", "very bad"]}}}
    with pytest.raises(WorkflowError, match="'bad' cannot be added"):
        searched.run(passes, LENGTH)


def test_a_sampler_that_needs_an_end_is_told_before_any_work(searched) -> None:
    passes = {"grow": {"type": "Grow", "seconds": {"range": [0.0, 1.0]}}}
    file = searched.write(passes, LENGTH, search_strategy={"sampler": "sequential", "max_samples": 3})
    found = modelpress.validate(file)
    assert ["The sampler sequential has to come to an end" in str(each) for each in found] == [True]


def test_plugins_of_one_file_go_with_the_winners_workflow(searched) -> None:
    folder: Path = searched.demo.folder
    (folder / "modelpress_plugins").mkdir()
    plugin = (
        "from modelpress.api import PassSpec, hookimpl\n"
        "MODELPRESS_API = 1\n"
        "@hookimpl\n"
        "def modelpress_passes():\n"
        "    it = {'accepts': ('text',), 'produces': 'text', 'run': 'of_mine:it'}\n"
        "    return [PassSpec(name='Mine', summary='It.', **it)]\n"
        "def it(model, options, ctx):\n"
        "    (ctx.out / 'text.txt').write_text('mine')\n"
        "    return ctx.artifact('text')\n"
    )
    (folder / "modelpress_plugins" / "of_mine.py").write_text(plugin)
    passes = {"it": [{"type": "Mine"}, {"type": "Grow", "text": "nnnnn"}]}
    searched.run(passes, LENGTH, plugins=["of_mine.py"])
    written = folder / "output" / "workflow.yaml"
    again = modelpress.run(written, in_process=True, cache_dir=folder / "other", output_dir=folder / "o")
    assert (again.artifact.path / "text.txt").read_text() == "mine"
