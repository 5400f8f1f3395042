"""Environments that are made from requirements: once, by one process, kept by what they were made from."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from modelpress.api import Event, HostError, Registry, load_workflow
from modelpress.config.given import Given
from modelpress_plugins.python_environment import managed
from modelpress_plugins.python_environment.config import PythonEnvironmentOptions
from modelpress_plugins.python_environment.managed import Recipe, find_made, make
from modelpress_plugins.python_environment.run import open_environment

LOCAL = ["press-helper>=1"]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two versions of a distribution; nothing else can be installed."""
    monkeypatch.setenv("MODELPRESS_CACHE", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        info = f"press_helper-{version}.dist-info"
        with zipfile.ZipFile(folder / f"press_helper-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("press_helper.py", f"VERSION = {version!r}\n")
            wheel.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: press-helper\nVersion: {version}\n"
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture(params=["pip", "uv"])
def recipe(wheels: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    if request.param == "pip":
        monkeypatch.setattr(managed, "find_uv", lambda: None)
    elif managed.find_uv() is None:
        pytest.skip("uv is not installed")
    return Recipe(wheels=wheels, offline=True)


def test_it_is_made_once_and_found_again_in_no_time(recipe: Recipe) -> None:
    told: list[Event] = []
    assert find_made(recipe, LOCAL) is None
    made = make(recipe, LOCAL, told.append)
    assert made.libraries["press-helper"] == "2.0"
    said = subprocess.run([made.executable, "-c", "import press_helper"], check=False)
    assert said.returncode == 0
    started = time.perf_counter()
    again = find_made(recipe, LOCAL)
    assert time.perf_counter() - started < 0.2
    assert again == made
    make(recipe, LOCAL, told.append)
    assert len(told) == 1


def test_other_requirements_are_another_environment(recipe: Recipe) -> None:
    old = make(recipe, ["press-helper<2"], print)
    assert old.libraries["press-helper"] == "1.0"
    assert find_made(recipe, ["press-helper<2 | never-heard-of-it"]) == old  # the first that will do
    assert find_made(recipe, LOCAL) is None


def test_one_that_was_cut_or_changed_is_made_again(recipe: Recipe) -> None:
    made = make(recipe, LOCAL, print)
    (info,) = made.folder.glob("lib/python*/site-packages/press_helper-*.dist-info")
    info.rename(info.with_name("press_helper-9.0.dist-info"))
    assert find_made(recipe, LOCAL) is None
    assert make(recipe, LOCAL, print).libraries["press-helper"] == "2.0"


def test_what_no_index_has_is_told_with_the_installers_words_and_leaves_nothing(recipe: Recipe) -> None:
    with pytest.raises(HostError, match="cannot be made") as caught:
        make(recipe, ["press-helper>=3"], print)
    assert "press-helper" in caught.value.message
    assert "wheels" in caught.value.hint
    left = [
        path for path in (Path(os.environ["MODELPRESS_CACHE"]) / "environments").iterdir() if path.is_dir()
    ]
    assert not left


def test_two_that_need_the_same_at_once_make_it_once(recipe: Recipe) -> None:
    told: list[Event] = []
    threads = [threading.Thread(target=make, args=(recipe, LOCAL, told.append)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    assert find_made(recipe, LOCAL)


def test_a_python_that_is_not_there_is_told(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed, "find_uv", lambda: None)
    with pytest.raises(HostError, match=r"There is no Python 3\.2 on this machine"):
        make(Recipe(python="3.2", wheels=wheels, offline=True), LOCAL, print)


def test_until_it_is_made_it_is_known_by_what_it_will_be_made_from(wheels: Path) -> None:
    options = PythonEnvironmentOptions(managed=True, wheels=str(wheels), no_index=True)
    system = open_environment(options, "quark")
    before = system.environment(LOCAL)
    assert before.digest
    assert not before.libraries
    system.prepare(LOCAL, print)
    after = system.environment(LOCAL)
    assert after.libraries == {"press-helper": "2.0"}
    assert not after.digest
    assert after.python.startswith(f"{sys.version_info.major}.")
    system.close()


@pytest.mark.parametrize("options", [{}, {"managed": True, "python_environment_path": "/x"}])
def test_an_environment_is_either_there_or_made(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="needs either python_environment_path, or managed: true"):
        PythonEnvironmentOptions.parse(options)


def test_an_environment_that_olive_makes_is_a_managed_one() -> None:
    system = {"type": "PythonEnvironment", "olive_managed_env": True, "requirements_file": "r.txt"}
    draft = load_workflow(Given(values={"systems": {"s": system}}), Registry.load())
    assert draft.systems["s"].options.canonical()["managed"] is True
