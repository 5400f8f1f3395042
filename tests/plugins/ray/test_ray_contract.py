"""Ray keeps the contract of every system, where its machines share files and where files are carried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue

from modelpress.registry import Registered
from modelpress.specs import SystemSpec
from modelpress.system import System
from modelpress.testing import SystemContract


class TestRay(SystemContract):
    system_name = "Ray"

    @pytest.fixture(autouse=True)
    def running(self, cluster: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.address = cluster
        self.storage = tmp_path_factory.getbasetemp() / "ray-store"

    @pytest.fixture
    def system(
        self,
        registered: Registered[SystemSpec],
        libraries: None,
        tmp_path: Path,
        request: pytest.FixtureRequest,
    ) -> System:
        """Opened once for all tests of a class: a connection takes seconds, and workers stay warm."""

        def make() -> System:
            open_ray = registered.resolve(registered.spec.open)
            opened = open_ray(self.parsed(registered, self.some_options(tmp_path)), "place")
            request.session.addfinalizer(opened.close)
            return opened

        return self.kept("system", make)

    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return {"address": self.address, "max_jobs": 2, "retries": 1, "storage": str(self.storage)}


class TestRayThatSharesNoFiles(TestRay):
    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return {**super().some_options(folder), "shared_files": False}

    def left_behind(self) -> Iterable[Path]:
        return [self.storage]
