"""The table of architectures: a right model is right in it, a wrong one wrong, and the page says which."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from modelpress_plugins.grids.grid import Grid
from modelpress_plugins.grids.nearest import round_to_nearest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("architectures", "architectures_page", "oracle", "published", "tiny")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "campaigns"))
    import architectures

    yield architectures
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.mark.timeout(600)
def test_a_pressed_model_is_right_and_one_with_other_weights_is_wrong(table, tmp_path: Path) -> None:
    import oracle

    cell = table.press("gemma", "Rtn", tmp_path, 1)
    assert (cell.verdict, cell.text) == (table.RIGHT, "")
    assert cell.exact < 1e-4 < cell.off < oracle.SHIPPED
    built = tmp_path / "cell" / "output" / "model"
    data = np.memmap(built / "model.onnx.data", np.uint8, "r+")
    data[len(data) // 4 : len(data) // 2] ^= 1
    data.flush()
    source = tmp_path / "models" / "gemma"
    verdict = oracle.compare(built, source, tmp_path / "cell" / "output" / "p0", 4, tmp_path / "scratch")
    assert "off" in verdict.wrong


def test_what_the_plan_refuses_is_told_in_its_words(table, tmp_path: Path) -> None:
    cell = table.press("whisper", "fp32", tmp_path, 1)
    assert cell.verdict == table.REFUSED
    assert "WhisperForConditionalGeneration" in cell.text


@pytest.mark.parametrize("grid", [(4, 32, True), (4, 16, False), (8, 32, True)])
def test_the_oracle_rounds_as_the_quantizers_do(table, grid: tuple[int, int, bool]) -> None:
    import oracle

    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    assert torch.equal(
        oracle.round_to_nearest(weight, oracle.Grid(*grid)),
        round_to_nearest(weight, Grid(*grid)).dequantize(),
    )


def test_the_page_has_a_row_a_model_and_the_reasons(table) -> None:
    cells = [table.Cell("llama", path, table.RIGHT, off=0.031) for path in table.PATHS]
    cells += [table.Cell("gpt2", path, table.REFUSED, "The builder cannot.") for path in table.PATHS]
    told = table.page(cells, 3, list(table.PATHS))
    assert "| llama | 3.1% |" in told
    assert "| gpt2 | no |" in told
    assert told.count("The builder cannot.") == 1
    assert str(ROOT) not in told


def test_the_page_is_what_its_own_cells_make_and_takes_new_rows(table) -> None:
    import architectures_page as pages
    from tiny import MODELS

    text, paths = table.PAGE.read_text(encoding="utf-8"), list(table.PATHS)
    told = re.search(r"seed (\d+), (\d+) workflows", text)
    assert told is not None
    seed, count = map(int, told.groups())
    assert len(list(pages.read_page(text, paths))) == count
    assert pages.with_rows(text, [], seed, paths, list(MODELS)).splitlines()[11:] == text.splitlines()[11:]
    row = [table.Cell("gptoss", path, table.RIGHT, off=0.5) for path in paths]
    changed = pages.with_rows(text, row, seed, paths, list(MODELS))
    assert f"| gptoss |{' 50.0% |' * len(paths)}" in changed
    with pytest.raises(SystemExit, match="not of seed"):
        pages.with_rows(text, row, seed + 1, paths, list(MODELS))


def test_what_is_done_is_not_done_again(table, tmp_path: Path) -> None:
    kept = tmp_path / "cells.jsonl"
    kept.write_text('{"model": "llama", "path": "int4", "verdict": "right"}\n{"model": "lla')
    assert list(table.read_cells(kept)) == [table.Cell("llama", "int4", table.RIGHT)]
    shutil.rmtree(tmp_path)
    assert list(table.read_cells(kept)) == []
