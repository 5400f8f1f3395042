"""Two models are measured the same way, and what differs is told with its certainty."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelpress_plugins.model_folder.compare import Row


@pytest.mark.parametrize(
    ("one", "other", "intervals", "verdict"),
    [
        (1.0, 1.0, None, "the same"),
        (1.0, 3.0, None, "2 more"),
        (3.0, 1.0, None, "2 less"),
        (1.0, 3.0, ((0.5, 1.5), (2.5, 3.5)), "differs"),
        (3.0, 1.0, ((2.5, 3.5), (0.5, 1.5)), "differs"),
        (1.0, 2.0, ((0.5, 1.8), (1.7, 2.5)), "no difference shown"),
    ],
)
def test_numbers_differ_where_their_intervals_do(one, other, intervals, verdict) -> None:
    assert Row("x", one, other, intervals).verdict == verdict


def test_a_model_is_compared_with_itself(invoke, emotions_model: Path, tmp_path: Path) -> None:
    model = str(emotions_model)
    options = ["-m", "size_on_disk", "--cache-dir", str(tmp_path), "--json"]
    found = json.loads(invoke("compare", model, model, *options).stdout)
    assert [(row["name"], row["verdict"]) for row in found] == [("size_on_disk", "the same")]
    assert "the same" in invoke("compare", model, model, *options[:-1], "-q").stdout
