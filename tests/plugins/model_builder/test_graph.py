"""Small changes to a built graph."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from modelpress_plugins.model_builder.graph import name_producer


@pytest.mark.parametrize(("version", "changed"), [("0.18.0+05880f6", True), ("0.18.0", False), ("", False)])
def test_a_builds_version_says_nothing_of_the_checkout_that_it_was_made_in(
    tmp_path: Path, version: str, changed: bool
) -> None:
    graph = onnx.helper.make_graph([], "main", [], [])
    file = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(graph, producer_name="builder", producer_version=version), file)
    assert name_producer(file) is changed
    assert onnx.load(file).producer_version == version.partition("+")[0]
