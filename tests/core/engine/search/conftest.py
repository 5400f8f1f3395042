"""The demo with passes and metrics that a search compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import modelpress
from modelpress.engine.search.record import SearchRecord
from modelpress.records import from_json

HERE = Path(__file__).parent


class Searched:
    """Runs searches over the demo's text, and tells what came of them."""

    def __init__(self, demo: Any) -> None:
        self.demo = demo

    def write(self, passes: Mapping[str, Any], *metrics: Mapping[str, Any], **changes: Any) -> Path:
        found: Path = self.demo.write(
            passes=passes,
            evaluators={"e": {"metrics": list(metrics)}},
            evaluator="e",
            **{"search_strategy": {"sampler": "sequential"}, **changes},
        )
        return found

    def run(self, passes: Mapping[str, Any], *metrics: Mapping[str, Any], **changes: Any) -> SearchRecord:
        result = modelpress.run(self.write(passes, *metrics, **changes), in_process=True)
        return from_json(SearchRecord, result.run_record["search"])

    def count(self, what: str) -> int:
        return sum(line.startswith(what) for line in self.demo.done)


@pytest.fixture
def searched(demo: Any) -> Iterator[Searched]:
    info = demo.site / "search_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: search-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modelpress]\nsearch = search_plugin\n")
    (info / "RECORD").write_text("search_plugin.py,,\nsearch_plugin_options.py,,\n")
    for name in ("search_plugin", "search_plugin_options"):
        (demo.site / f"{name}.py").write_text((HERE / f"{name}.py.txt").read_text())
    yield Searched(demo)
    for name in ("search_plugin", "search_plugin_options"):
        sys.modules.pop(name, None)
