"""Fixtures that every room shares: the embedded example, and a home that no test can spoil."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

# Before anything imports torch: threads that wait by spinning make a busy machine many times slower, and so
# do more threads than processors where several tests run at once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
EMOTIONS = ROOT / "examples" / "emotions"
LONGEST_FIRST = ("tests/azureml", "tests/workflows", "tests/campaigns")
TOGETHER = {
    "tests/azureml/": "azureml",  # they share the emulator
    "tests/workflows/test_emotions.py": "emotions",  # they share the example's run
    "tests/workflows/test_readme.py": "emotions",
}


@pytest.hookimpl(tryfirst=True)  # ahead of xdist, which reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, a file stays in one, and so do files that share what is dear.
    What takes longest begins, so that no process is left alone with it."""
    for item in items:
        file = item.nodeid.partition("::")[0]
        group = next((name for start, name in TOGETHER.items() if file.startswith(start)), file)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST_FIRST))


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
