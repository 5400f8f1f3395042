"""modelpress from Python: files and plain values are run, planned and validated; how it goes is told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import modelpress
from modelpress.errors import WorkflowError
from modelpress.events import Event, StepFinished

PASSES = {"first": {"type": "Append", "text": " more"}, "second": {"type": "Upper"}}
STARTED = "[1/2] Append first: started"


@pytest.fixture
def values(demo, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The demo's workflow as values; the current folder is the demo's."""
    monkeypatch.chdir(demo.folder)
    model = {"type": "TextModel", "model_path": Path("model")}
    return {"input_model": model, "passes": PASSES, "cache_dir": "cache"}


def test_values_run_as_their_file_would(demo, values) -> None:
    result = modelpress.run(values, output_dir="output", in_process=True)
    assert demo.text == "ONE TWO MORE"
    assert (result.run_record["workflow"], result.run_record["workflow_id"]) == ("", "workflow")
    events: list[Event] = []
    modelpress.run(demo.folder / "workflow.json", in_process=True, on_event=events.append)
    assert all(event.cached for event in events if isinstance(event, StepFinished))


def test_settings_count_more_and_stand_in_the_record(demo, values) -> None:
    for workflow in (values, demo.folder / "workflow.json"):
        result = modelpress.run(
            workflow, settings={"passes.first.text": " less"}, output_dir="output", in_process=True
        )
        assert demo.text == "ONE TWO LESS"
        assert result.run_record["settings"] == ['passes.first.text=" less"']


def test_a_plan_is_data_and_does_nothing(demo, values) -> None:
    plan = modelpress.plan(values)
    assert [(step.name, step.cached) for step in plan.steps] == [("first", False), ("second", False)]
    assert not demo.done
    assert not (demo.folder / "cache").exists()
    assert modelpress.plan(demo.folder / "workflow.json").steps[0].key == plan.steps[0].key


def test_validate_gives_every_problem_and_raises_none(demo, values) -> None:
    assert modelpress.validate(values) == ()
    assert modelpress.validate(str(demo.folder / "workflow.json")) == ()
    wrong = {**values, "passes": {"first": {"type": "Apend"}, "second": {"type": "Upper", "loud": True}}}
    told = [str(problem) for problem in modelpress.validate(wrong)]
    assert any(text.startswith("passes.first.type: ") and "'Append'" in text for text in told)
    assert any(text.startswith("passes.second.loud: ") for text in told)
    with pytest.raises(WorkflowError):
        modelpress.plan(wrong)


def test_a_run_is_logged_where_logging_shows_it(values, caplog, capsys) -> None:
    with caplog.at_level(logging.INFO, "modelpress"):
        modelpress.run(values, in_process=True)
    assert STARTED in caplog.messages
    assert {record.levelname for record in caplog.records} == {"INFO"}
    assert capsys.readouterr() == ("", "")


def test_a_run_tells_on_stderr_where_nobody_has_set_up_logging(
    values, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (None, "modelpress"):  # other tests, and libraries, may have set it up
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])
    monkeypatch.setattr(logging.getLogger("modelpress"), "level", logging.NOTSET)
    modelpress.run(values, in_process=True)
    told = capsys.readouterr()
    assert STARTED in told.err.splitlines()
    assert told.out == ""


def test_a_run_is_silent_where_that_is_wanted(values, caplog, capsys) -> None:
    modelpress.run(values, in_process=True, on_event=lambda event: None)
    caplog.set_level(logging.WARNING, "modelpress")
    modelpress.run(values, in_process=True)
    assert capsys.readouterr() == ("", "")
