"""Conda files: what is no such file, what cannot run modelpress, and what is added."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpress.api import UserError
from modelpress_plugins.azureml.conda import read_conda

HERE = Path(__file__).parent
NEEDS = ("torch>=2.9", "onnxruntime>=1.24 | onnxruntime-gpu>=1.24", "xxhash>=3.5")


@pytest.fixture
def conda(tmp_path: Path):
    def write(text: str) -> Path:
        file = tmp_path / "conda.yaml"
        file.write_text(text)
        return file

    return write


def pip_of(content: dict) -> list[str]:
    return next(entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "no conda environment file"),
        ("- x", "no list `dependencies`"),
        ("dependencies: {}", "no list `dependencies`"),
        ("dependencies: [pip]", "installs no Python"),
        ("dependencies: [python=3.8.13]", "installs Python 3.8.13"),
        ("dependencies: [python=3.11, {pip: [torch==1.13]}]", "installs torch==1.13"),
    ],
)
def test_a_file_that_will_not_do_is_told_with_what_to_write(conda, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        read_conda(conda(text), NEEDS)
    assert error.value.hint


def test_what_the_work_needs_is_added_and_what_is_there_is_kept(conda) -> None:
    found = read_conda(conda("dependencies: [python=3.12, {pip: [torch==2.9.1, einops]}]"), NEEDS)
    assert pip_of(found.content) == ["torch==2.9.1", "einops", "onnxruntime>=1.24", "xxhash>=3.5"]
    assert "python=3.12" in found.content["dependencies"]
    assert len(found.changes) == 2


def test_a_line_without_a_version_gets_the_range_that_is_needed(conda) -> None:
    found = read_conda(conda("dependencies: [python=3.12, {pip: ['torch[x]', xxhash]}]"), NEEDS)
    assert pip_of(found.content)[:2] == ["torch[x]>=2.9", "xxhash>=3.5"]


def test_the_file_of_a_tutorial_for_olive_is_translated() -> None:
    found = read_conda(HERE / "conda.yaml", NEEDS)
    assert "python=3.11" in found.content["dependencies"]
    assert not [line for line in pip_of(found.content) if "olive" in line.lower() or "ort-nightly" in line]
    assert "onnxruntime-gpu>=1.24" in pip_of(found.content)  # its onnxruntime-genai is the one for CUDA
    assert any("3.8.13" in change for change in found.changes)
