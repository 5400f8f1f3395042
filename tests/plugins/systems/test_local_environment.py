"""A worker sees what passes need and what the user names, and no token that was to be kept out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from modelpress.api import LocalPath
from modelpress.engine.environment import worker_environment
from modelpress.markers import marks
from modelpress_plugins.local.config import LocalOptions
from modelpress_plugins.local.run import open_local
from modelpress_plugins.python_environment.config import PythonEnvironmentOptions
from modelpress_plugins.systems.environment import local_environment


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell with something of everything in it."""
    for name, value in {
        "AWS_SECRET_ACCESS_KEY": "planted",
        "MY_PASSWORD": "planted",
        "EDITOR": "vi",
        "HF_TOKEN": "hf_planted",
        "HUGGING_FACE_HUB_TOKEN": "hf_planted",
        "HF_HOME": "/hub",
        "https_proxy": "http://proxy",
        "CUDA_VISIBLE_DEVICES": "1",
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
        "SSL_CERT_FILE": "/certs",
        "MODELPRESS_CACHE": "/cache",
        "ACME_LICENCE": "file",
    }.items():
        monkeypatch.setenv(name, value)


def test_what_passes_need_is_there_and_nothing_else() -> None:
    found = local_environment([], hf_token=None)
    needed = ["HF_HOME", "https_proxy", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "LC_ALL", "SSL_CERT_FILE"]
    assert {name: os.environ[name] for name in (*needed, "PATH", "MODELPRESS_CACHE")}.items() <= found.items()
    assert not {"AWS_SECRET_ACCESS_KEY", "MY_PASSWORD", "EDITOR", "ACME_LICENCE"} & set(found)


def test_the_user_names_more_with_or_without_values() -> None:
    assert local_environment(["ACME_LICENCE", "NOT_SET"], hf_token=None)["ACME_LICENCE"] == "file"
    assert "NOT_SET" not in local_environment(["NOT_SET"], hf_token=None)
    found = local_environment({"ACME_LICENCE": "other", "NEW": "x"}, hf_token=None)
    assert (found["ACME_LICENCE"], found["NEW"]) == ("other", "x")


@pytest.mark.parametrize("hf_token", [True, None])
def test_the_token_of_the_hub_is_let_in(hf_token: bool | None) -> None:
    found = local_environment([], hf_token=hf_token)
    assert found["HF_TOKEN"] == "hf_planted"
    assert "HF_TOKEN_PATH" not in found


def test_the_token_of_the_hub_is_kept_out_wherever_it_is(tmp_path: Path, monkeypatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    (tmp_path / "token").write_text("hf_in_a_file")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    found = local_environment({"HF_TOKEN": "hf_named"}, hf_token=False)
    assert not any("hf_" in value for value in found.values() if value.startswith("hf_"))
    assert Path(found["HF_TOKEN_PATH"]).read_text() == ""
    del hub


def test_the_general_list_knows_no_library() -> None:
    found = worker_environment()
    assert "HF_HOME" not in found
    assert "PATH" in found
    assert worker_environment(also=["hf_*"])["HF_HOME"] == "/hub"


def test_the_worker_has_that_environment(tmp_path: Path) -> None:
    system = open_local(
        LocalOptions.parse({"hf_token": False, "environment_variables": ["ACME_LICENCE"]}), "here"
    )
    environment = system._new_worker()._environment
    assert environment["ACME_LICENCE"] == "file"
    assert "HF_TOKEN" not in environment
    assert "MY_PASSWORD" not in environment
    assert str(Path(sys.path[-1])) in environment["PYTHONPATH"]


def test_paths_of_an_environment_count_from_the_workflow() -> None:
    options = PythonEnvironmentOptions.parse(
        {"python_environment_path": "env", "prepend_to_path": ["a", "b"]}
    )
    found = {mark.option: mark.value for mark in marks(type(options), options, LocalPath)}
    assert found == {"python_environment_path": "env", "prepend_to_path": ["a", "b"]}


def test_variables_are_names_or_names_with_values() -> None:
    with pytest.raises(ValidationError):
        LocalOptions.parse({"environment_variables": [1]})
