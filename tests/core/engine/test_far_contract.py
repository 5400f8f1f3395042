"""The far system keeps the contract of every system, too: it fits one that shares no files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from modelpress.testing import SystemContract

HERE = Path(__file__).parent


class TestFar(SystemContract):
    system_name = "Far"

    @pytest.fixture(autouse=True)
    def installed(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        site = place / "site"
        info = site / "far_plugin-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far-plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[modelpress]\nfar = far_plugin\n")
        for name in ("far_plugin", "far_place"):
            (site / f"{name}.py").write_text((HERE / f"{name}.py.txt").read_text())
        monkeypatch.syspath_prepend(str(site))
        self.far = place / "far"

    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return {"place": str(self.far), "max_jobs": 2}

    def left_behind(self) -> Iterable[Path]:
        return [self.far]
