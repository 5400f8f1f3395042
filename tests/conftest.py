"""Fixtures that every room shares: the embedded example, and a home that no test can spoil."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

# Before anything imports torch: threads that wait by spinning make a busy machine many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parent.parent
EMOTIONS = ROOT / "examples" / "emotions"


@pytest.fixture(scope="session")
def emotions_model() -> Path:
    """The folder of the embedded Phi-3-shaped model. Read-only: copy it before changing anything."""
    return EMOTIONS / "model"


@pytest.fixture(scope="session")
def emotions_data() -> Path:
    """The embedded data set: JSON records of {phrase, tone}."""
    return EMOTIONS / "data" / "emotions.json"


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """Run a command here: invoke("passes", "list").output. An error is raised as it is."""
    # Not at the top: few tests need the command line.
    from modelpress.cli.root import root

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(root, arguments, catch_exceptions=False, standalone_mode=False, **options)

    return run
