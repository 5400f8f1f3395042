"""A finished model as one thing to hand on: whole, the same each time, never in the place of another's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from modelpress.artifact import Artifact
from modelpress.config.workflow import Packaging
from modelpress.engine.packaging import obstacles, package
from modelpress.errors import UserError
from modelpress.usage import Usage

ZIP, IMAGE = Packaging(True, "tones"), Packaging(False, "tones", base_image="debian:12")
USAGE = Usage(
    text="", packages=("packaging", "not-here[cpu]"),
    code="from pathlib import Path as P\nprint(P('weights').stat().st_size, P('config.json').read_text())",
)  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Artifact:
    folder = tmp_path / "out" / "model"
    (folder / "parts").mkdir(parents=True)
    (folder / "weights").write_bytes(bytes(range(256)) * 5000)
    (folder / "config.json").write_text(json.dumps({"size": 1}))
    (folder / "parts" / "vocabulary.txt").write_text("a\nb\n")
    (folder / "README.md").write_text("# The card\n")
    return Artifact(folder, "acme", "key")


def test_the_sample_of_an_unpacked_zip_runs_the_model_from_anywhere(model: Artifact, tmp_path: Path) -> None:
    packed = package(ZIP, model, USAGE, tmp_path / "out")
    with zipfile.ZipFile(packed) as file:
        file.extractall(tmp_path / "elsewhere")
    there = tmp_path / "elsewhere" / "tones"
    assert (there / "model" / "parts" / "vocabulary.txt").read_text() == "a\nb\n"
    assert (there / "model" / "README.md").is_file()
    done = subprocess.run(
        [sys.executable, str(there / "sample.py")], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == '1280000 {"size": 1}\n'
    requirements = (there / "requirements.txt").read_text().splitlines()
    assert re.fullmatch(r"packaging==\d[\w.]+", requirements[0])
    assert requirements[1] == "not-here[cpu]"


def test_the_same_model_gives_the_same_bytes(model: Artifact, tmp_path: Path) -> None:
    first = package(ZIP, model, USAGE, tmp_path / "out").read_bytes()
    (model.path / "config.json").touch()
    assert package(ZIP, model, USAGE, tmp_path / "out").read_bytes() == first


def test_a_dockerfile_copies_the_model_and_runs_the_sample(model: Artifact, tmp_path: Path) -> None:
    path = package(IMAGE, model, USAGE, tmp_path / "out")
    steps = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert steps[0] == "FROM debian:12"
    assert steps[-1] == 'CMD ["python", "sample.py"]'
    sources = [line.split()[1] for line in steps if line.startswith("COPY")]
    assert all((path.parent / source).exists() for source in sources)
    ignored = (path.parent / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[1:] == ["*", "!model", "!docker_content"]
    assert package(IMAGE, model, USAGE, tmp_path / "out") == path  # its own is written anew


def test_packages_of_ones_own_are_taken(model: Artifact, tmp_path: Path) -> None:
    own = tmp_path / "mine.txt"
    own.write_text("acme==1\n")
    wanted = Packaging(False, "tones", requirements_file=own)
    package(wanted, model, USAGE, tmp_path / "out")
    written = (tmp_path / "out" / "docker_content" / "requirements.txt").read_text()
    assert written.splitlines()[1:] == ["acme==1"]
    assert f"FROM python:3.{sys.version_info[1]}-slim" in (tmp_path / "out" / "Dockerfile").read_text()


@pytest.mark.parametrize("wanted", [ZIP, IMAGE])
def test_what_is_anothers_stays(wanted: Packaging, model: Artifact, tmp_path: Path) -> None:
    path = package(wanted, model, USAGE, tmp_path / "out")
    assert list(obstacles([wanted], tmp_path / "out")) == []
    if wanted.is_zip:
        with zipfile.ZipFile(path, "a") as file:
            file.writestr("mine.txt", "mine")
    else:
        path.write_text(path.read_text() + "RUN mine\n")
    with pytest.raises(UserError, match="was not written by modelpress, or was changed since"):
        package(wanted, model, USAGE, tmp_path / "out")
