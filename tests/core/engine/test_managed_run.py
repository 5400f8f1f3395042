"""A pass in an environment that is made for it, of wheels that lie in a folder: no index is asked."""

from __future__ import annotations

import json
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from modelpress.requirements import WORKER_REQUIRES


def wheel(name: str, folder: Path, seen: set[str]) -> None:
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
            wheel(requirement.name, folder, seen)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    seen = set[str]()
    for text in WORKER_REQUIRES:
        wheel(Requirement(text).name, folder, seen)
    return folder


def test_it_is_made_on_the_way_and_the_second_run_finds_it_and_the_result(demo, wheels, monkeypatch) -> None:
    monkeypatch.setenv("MODELPRESS_CACHE", str(demo.folder / "shared"))
    quark = {"type": "PythonEnvironment", "managed": True, "wheels": str(wheels), "no_index": True}
    demo.write(passes={"a": {"type": "Append", "text": "!", "host": "quark"}}, systems={"quark": quark})
    environment = {**demo.environment, "MODELPRESS_CACHE": str(demo.folder / "shared")}
    monkeypatch.setattr(type(demo), "environment", environment)
    done = demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Making an environment with" in done.stdout
    assert demo.text == "one two!"
    (step,) = json.loads((demo.folder / "output" / "run.json").read_text())["steps"]
    assert step["system"] == "quark"
    again = demo.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Making" not in again.stdout
    assert demo.done == ["append !"]
    quark["requirements"] = ["never-heard-of-it"]
    demo.write(passes={"a": {"type": "Append", "text": "?", "host": "quark"}}, systems={"quark": quark})
    failed = demo.run()
    assert failed.returncode == 5
    assert "never-heard-of-it" in failed.stderr
    assert demo.done == ["append !"]
