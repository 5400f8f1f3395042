"""`modelpress init` writes a workflow that is right, or copies an example that is; or tells why not."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
import yaml

from modelpress import validate
from modelpress.errors import UserError, WorkflowError
from modelpress_plugins.first_steps import init


@pytest.fixture
def work(tmp_path: Path, emotions_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model and data in it."""
    (tmp_path / "model").symlink_to(emotions_model)
    (tmp_path / "rows.json").write_text(json.dumps([{"q": "a", "a": "b"}] * 8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_flags_alone_give_a_workflow_that_is_right(invoke, work: Path) -> None:
    done = invoke("init", "--model", "model", "--data", "rows.json", "--text-template", "{q} {a}",
                  "--build", "int4")  # fmt: skip
    assert "Next: modelpress run workflow.yaml" in done.stdout
    assert list(validate("workflow.yaml")) == []
    written = yaml.safe_load(Path("workflow.yaml").read_text())
    assert list(written["passes"]) == ["finetune", "merge", "build"]
    assert written["data_configs"][0]["load_dataset_config"]["data_files"] == "rows.json"
    assert str(work) not in Path("workflow.yaml").read_text().replace(str(work / "model"), "")


def test_what_is_not_said_is_asked_in_a_terminal(invoke, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init, "asks", lambda: True)
    answers = "\n".join(["model", "n", "y", "Hqq", "n", "cpu"]) + "\n"
    done = invoke("init", "press.yaml", input=answers)
    assert "By which pass" in done.stdout
    assert yaml.safe_load(Path("press.yaml").read_text())["passes"] == {"press": {"type": "Hqq", "bits": 4}}
    assert list(validate("press.yaml")) == []


def test_in_a_pipe_the_model_has_to_be_named(invoke, work: Path) -> None:
    with pytest.raises(click.UsageError, match="--model"):
        invoke("init")


def test_what_is_wrong_is_told_and_nothing_is_written(invoke, work: Path) -> None:
    with pytest.raises(WorkflowError, match="no_such_model"):
        invoke("init", "--model", "./no_such_model", "--quantize", "Rtn")
    assert not Path("workflow.yaml").exists()
    with pytest.raises(UserError, match="Rtx"):
        invoke("init", "--model", "model", "--quantize", "Rtx")


def test_a_file_that_is_there_stays_unless_it_is_said(invoke, work: Path) -> None:
    Path("workflow.yaml").write_text("mine")
    with pytest.raises(UserError, match="there already"):
        invoke("init", "--model", "model", "--quantize", "Rtn")
    invoke("init", "--model", "model", "--quantize", "rtn", "--force")
    assert "type: Rtn" in Path("workflow.yaml").read_text()


def test_the_example_is_copied_and_right(invoke, work: Path) -> None:
    done = invoke("init", "--example")
    assert f"modelpress run {Path('emotions/workflow.yaml')}" in done.stdout
    assert list(validate("emotions/workflow.yaml")) == []
    with pytest.raises(UserError, match="there already"):
        invoke("init", "--example")
