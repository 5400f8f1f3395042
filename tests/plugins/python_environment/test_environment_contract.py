"""PythonEnvironment keeps the contract of every system: with this very Python, and with one that is made."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import JsonValue

from modelpress.testing import SystemContract


class TestPythonEnvironment(SystemContract):
    system_name = "PythonEnvironment"
    options: ClassVar[dict[str, str]] = {"python_environment_path": sys.prefix}


class TestManaged(SystemContract):
    system_name = "PythonEnvironment"

    @pytest.fixture(autouse=True)
    def there(self, place: Path, worker_wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Made by the first test, found by the others."""
        monkeypatch.setenv("MODELPRESS_CACHE", str(place / "cache"))
        self.wheels = worker_wheels

    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return {"managed": True, "wheels": str(self.wheels), "no_index": True}
