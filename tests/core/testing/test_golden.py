"""A golden result fails when the method changes, and not when another processor rounds otherwise."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

import pytest

from modelpress.api import CheckpointWriter
from modelpress.testing.golden import compare_with_golden


def write(folder: Path, codes: list[int], weights: list[float], config: str = '{"bits": 4}') -> Path:
    folder.mkdir(parents=True)
    layout = [("codes", "U8", (len(codes),)), ("weights", "F32", (len(weights),))]
    with CheckpointWriter(folder, layout) as writer:
        writer.write("codes", bytes(codes))
        writer.write("weights", struct.pack(f"<{len(weights)}f", *weights))
    (folder / "config.json").write_text(config, encoding="utf-8")
    return folder


@pytest.fixture
def codes() -> list[int]:
    return [Random(i).randrange(256) for i in range(2048)]


@pytest.fixture
def weights() -> list[float]:
    return [Random(i).gauss(0, 0.02) for i in range(2048)]


@pytest.fixture
def golden(tmp_path: Path, codes: list[int], weights: list[float], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, as the first run writes it."""
    monkeypatch.delenv("CI", raising=False)
    file = tmp_path / "golden" / "TestIt.v1.json"
    with pytest.raises(pytest.skip.Exception, match="commit"):
        compare_with_golden(file, {"out": write(tmp_path / "first", codes, weights)}, ("pytest",))
    return file


def test_the_same_result_is_the_golden_one(
    golden: Path, tmp_path: Path, codes: list[int], weights: list[float]
) -> None:
    compare_with_golden(golden, {"out": write(tmp_path / "again", codes, weights)}, ("pytest",))


def test_other_rounding_is_no_change(
    golden: Path, tmp_path: Path, codes: list[int], weights: list[float]
) -> None:
    """One code in two hundred one off, weights off by some millionths of themselves."""
    codes[::200] = [code ^ 1 for code in codes[::200]]
    rounded = [weight * (1 + 1e-5) for weight in weights]
    compare_with_golden(golden, {"out": write(tmp_path / "again", codes, rounded)}, ("pytest",))


@pytest.mark.parametrize("change", ["codes", "weights", "config", "missing"])
def test_another_method_is_a_change(
    golden: Path, tmp_path: Path, codes: list[int], weights: list[float], change: str
) -> None:
    if change == "codes":
        codes = [min(code + 1, 255) & 0xF0 | (code & 0x0F) // 2 for code in codes]
    if change == "weights":
        weights = [weight * 1.1 for weight in weights]
    folder = write(tmp_path / "again", codes, weights, '{"bits": 8}' if change == "config" else '{"bits": 4}')
    if change == "missing":
        (folder / "config.json").unlink()
    with pytest.raises(pytest.fail.Exception, match="raise `version`"):
        compare_with_golden(golden, {"out": folder}, ("pytest",))


def test_a_difference_that_may_come_from_other_libraries_is_an_error_that_says_so(
    golden: Path, tmp_path: Path, codes: list[int], weights: list[float]
) -> None:
    folder = write(tmp_path / "again", codes[::-1], [weight * 2 for weight in weights])
    with pytest.raises(
        pytest.fail.Exception, match=r"other versions of pydantic, .* delete TestIt\.v1\.json, run"
    ):
        compare_with_golden(golden, {"out": folder}, ("pytest", "pydantic"))


def test_other_libraries_that_give_the_same_are_no_change(
    golden: Path, tmp_path: Path, codes: list[int], weights: list[float]
) -> None:
    compare_with_golden(golden, {"out": write(tmp_path / "again", codes, weights)}, ("pytest", "pydantic"))


def test_in_ci_a_golden_result_that_is_not_committed_is_an_error(
    tmp_path: Path, codes: list[int], weights: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="commit"):
        compare_with_golden(tmp_path / "none.json", {"out": write(tmp_path / "x", codes, weights)}, ())
