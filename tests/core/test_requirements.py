"""Requirements of specs: what is absent or too old is told with what was found."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from modelpress.provider import installed_versions
from modelpress.requirements import WORKER_REQUIRES, Lack, lacks, parse_requirement, required_names


def test_what_is_there_and_new_enough_lacks_nothing() -> None:
    assert lacks(("torch>=2.9", "numpy"), {"torch": "2.13.0+cpu", "numpy": "1.0"}) == []


def test_what_is_absent_is_told_with_what_is_required() -> None:
    (lack,) = lacks(("torch>=2.9",), {"numpy": "1.0"})
    assert str(lack) == "torch>=2.9 (not installed)"


def test_what_is_too_old_is_told_with_what_was_found() -> None:
    (lack,) = lacks(("torch>=2.9,<3", "numpy"), {"torch": "2.4.1", "numpy": "2.0"})
    assert str(lack) == "torch>=2.9,<3 (torch 2.4.1 is there)"


def test_names_are_compared_as_pypi_does() -> None:
    assert lacks(("onnx-ir>=0.1",), {"onnx_ir": "1.0"}) == []
    assert lacks(("Demo.Library",), {"demo-library": "1.0"}) == []


def test_one_of_several_wheels_will_do() -> None:
    wheels = "onnxruntime>=1.24 | onnxruntime-gpu>=1.24"
    assert lacks((wheels,), {"onnxruntime-gpu": "1.25"}) == []
    assert lacks((wheels,), {"onnxruntime": "1.20", "onnxruntime-gpu": "1.25"}) == []
    assert lacks((wheels,), {"onnxruntime-gpu": "1.20"}) == [Lack(wheels, ("onnxruntime-gpu 1.20",))]
    assert required_names((wheels, "onnx")) == ["onnx", "onnxruntime", "onnxruntime-gpu"]


def test_a_marker_that_does_not_hold_requires_nothing() -> None:
    assert lacks(('nowhere>=1; python_version < "3"',), {}) == []


def test_previews_and_builds_of_ones_own_are_taken() -> None:
    assert lacks(("torch>=2.9",), {"torch": "2.10.0.dev20260101"}) == []
    assert lacks(("torch>=2.9",), {"torch": "our-own-build"}) == []


@pytest.mark.parametrize("text", ["torch >> 2", "", "torch>=2.9 | ", "pip install torch"])
def test_what_is_no_requirement_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is no requirement like"):
        parse_requirement(text)


def test_the_worker_requires_what_the_project_does_of_the_same_versions() -> None:
    document = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(document)["project"]
    wanted = {r.name: str(r.specifier) for r in map(Requirement, project["dependencies"])}
    for (found,) in map(parse_requirement, WORKER_REQUIRES):
        assert str(found.specifier) == wanted[found.name]
    assert lacks(WORKER_REQUIRES, installed_versions(required_names(WORKER_REQUIRES))) == []
