"""Requirements at plan time: each system is asked once, for all that runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import modelpress
from modelpress import in_process
from modelpress.errors import WorkflowError
from modelpress.requirements import WORKER_REQUIRES, required_names


class Asked:
    """What every system is asked for, and what it answers beside what is really there."""

    def __init__(self) -> None:
        self.questions: list[Sequence[str]] = []
        self.answers: dict[str, str] = {}
        self.absent: set[str] = set()
        self._versions = in_process.installed_versions

    def __call__(self, names: Sequence[str]) -> Mapping[str, str]:
        self.questions.append(names)
        there = {**self._versions(names), **{n: v for n, v in self.answers.items() if n in names}}
        return {name: version for name, version in there.items() if name not in self.absent}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setenv("DEMO_LINES", "1")
    monkeypatch.setattr(in_process, "installed_versions", made)
    return made


def run(demo) -> list[str]:
    """The problems of the plan, none when it runs."""
    try:
        modelpress.run(demo.folder / "workflow.json", in_process=True)
    except WorkflowError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_system_is_asked_once_for_everything(demo, asked: Asked) -> None:
    (demo.folder / "lines.txt").write_text("a\n")
    demo.write(
        data_configs=[{"name": "d", "type": "Lines", "file": "lines.txt"}],
        passes={"a": {"type": "Library"}, "b": {"type": "Append", "train_data_config": "d"}},
        evaluators={"e": {"metrics": [{"type": "words"}]}},
        evaluator="e",
    )
    asked.answers = {"demo-library": "1.5", "demo-lines": "3"}
    assert run(demo) == []
    (names,) = asked.questions
    assert {"demo-library", "demo-lines", *required_names(WORKER_REQUIRES)} <= set(names)


def test_too_old_a_library_is_told_with_found_and_expected(demo, asked: Asked) -> None:
    demo.write(passes={"first": {"type": "Library"}})
    asked.answers = {"demo-library": "0.9"}
    (problem,) = run(demo)
    assert (
        "'local' lacks what is needed there: demo-library>=1.0 (demo-library 0.9 is there) (first)."
        in problem
    )
    assert 'pip install "demo-plugin[cpu]"' in problem
    assert demo.done == []


def test_libraries_of_data_and_metrics_are_checked_too(demo, asked: Asked) -> None:
    (demo.folder / "lines.txt").write_text("a\n")
    demo.write(
        data_configs=[{"name": "d", "type": "Lines", "file": "lines.txt"}],
        passes={"b": {"type": "Append", "train_data_config": "d"}},
    )
    asked.absent = {"demo-lines"}
    (problem,) = run(demo)
    assert "'local' lacks what is needed there: demo-lines (b)." in problem


def test_all_that_is_missing_is_one_problem_with_the_steps_and_one_remedy(demo, asked: Asked) -> None:
    (demo.folder / "lines.txt").write_text("a\n")
    demo.write(
        data_configs=[{"name": "d", "type": "Lines", "file": "lines.txt"}],
        passes={
            "a": {"type": "Library"},
            "b": {"type": "Append", "train_data_config": "d"},
            "c": {"type": "Library"},
        },
    )
    asked.absent = {"demo-lines", "psutil"}
    (problem,) = run(demo)
    assert "psutil>=6.0 (the worker); demo-library>=1.0 (a, c); demo-lines (b)." in problem
    assert problem.count("pip install") == 1
    assert 'pip install "psutil>=6.0" "demo-plugin[cpu]"' in problem
    assert demo.done == []


def test_of_extras_that_contain_one_another_the_largest_is_the_remedy(
    demo, asked: Asked, emotions_model: Path
) -> None:
    """`modelpress[cpu]` brings what `modelpress[train]` brings, and onnxruntime-genai."""
    demo.write(
        input_model={"type": "HfModel", "model_path": str(emotions_model)},
        passes={"quant": {"type": "Rtn"}, "build": {"type": "ModelBuilder", "precision": "int4"}},
    )
    asked.absent = {"torch", "onnxruntime-genai", "onnx"}
    (problem,) = run(demo)
    assert "torch>=2.9 (quant, build); " in problem
    assert "onnx>=1.20" in problem
    assert problem.endswith('pip install "modelpress[cpu]"')


def test_an_environment_that_cannot_hold_the_worker_is_told(demo, asked: Asked) -> None:
    asked.answers = {"pydantic": "1.9", "demo-lines": "1"}
    asked.absent = {"psutil"}
    (problem,) = run(demo)
    assert "pydantic>=2.11 (pydantic 1.9 is there)" in problem
    assert "psutil>=6.0, pydantic" in problem
    assert 'pip install "psutil>=6.0" "pydantic>=2.11"' in problem


def test_another_version_of_a_containers_library_changes_the_key(demo, asked: Asked) -> None:
    (demo.folder / "lines.txt").write_text("a\n")
    demo.write(
        data_configs=[{"name": "d", "type": "Lines", "file": "lines.txt"}],
        passes={"b": {"type": "Append", "train_data_config": "d"}},
    )
    for version in ("1", "1", "2"):
        asked.answers = {"demo-lines": version}
        assert run(demo) == []
    assert demo.done == ["append ", "append "]
    assert len(list((demo.folder / "cache" / "artifacts").iterdir())) == 2
