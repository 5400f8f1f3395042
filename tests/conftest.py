"""Fixtures that every room shares: the embedded example, and a home that no test can spoil."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from packaging.requirements import Requirement

from modelpress.requirements import WORKER_REQUIRES

# Before anything imports torch: threads that wait by spinning make a busy machine many times slower, and so
# do more threads than processors where several tests run at once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent
EMOTIONS = ROOT / "examples" / "emotions"
LONGEST_FIRST = tuple(f"tests/{room}/" for room in ("azureml", "workflows", "plugins/docker", "plugins/ray"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests run in several processes, a file stays in one; what takes longest begins, so that
    no process is left alone with it."""
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


@pytest.fixture(scope="session")
def worker_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a worker needs, as a folder of wheels: an environment is made of it, and no index is asked."""
    folder, seen = tmp_path_factory.mktemp("wheels"), set[str]()
    for text in WORKER_REQUIRES:
        _wheel(Requirement(text).name, folder, seen)
    return folder


def _wheel(name: str, folder: Path, seen: set[str]) -> None:
    """The installed distribution as a wheel again, and what it requires."""
    found = distribution(name)
    if found.metadata["Name"] in seen:
        return
    seen.add(found.metadata["Name"])
    tag = next(line[5:] for line in (found.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: "))
    stem = f"{found.metadata['Name'].replace('-', '_')}-{found.version}"
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w") as made:
        for file in found.files or ():
            inside = file.parts[0] != ".." and file.suffix != ".pyc"
            if inside and not file.name.startswith(("RECORD", "INSTALLER", "REQUESTED", "direct_url")):
                made.write(Path(str(found.locate_file(file))), str(file))
        made.writestr(f"{stem}.dist-info/RECORD", "")
    for text in found.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            _wheel(requirement.name, folder, seen)
