"""What a user writes before it becomes options: environment variables are put in, secrets are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from modelpress.config.load import load_workflow
from modelpress.config.workflow import PassChoice, WorkflowDraft
from modelpress.secrets import looks_secret

if TYPE_CHECKING:
    from conftest import FakeSite

PLUGIN = """
    HERE = "PACKAGE.config"

    @hookimpl
    def modelpress_passes():
        return [PassSpec(name="Press", summary="Press.", accepts=("x",), produces="x", run="m:r",
                         config=f"{HERE}:Press")]

    @hookimpl
    def modelpress_systems():
        return [SystemSpec(name="AcmeCloud", summary="There.", open="m:o", config=f"{HERE}:AcmeCloud")]

    @hookimpl
    def modelpress_models():
        return [ModelSpec(name="Model", summary="A model.", produces="x", open="m:o", config=f"{HERE}:Model")]
"""
CONFIG = """
    from typing import Annotated, Any

    from pydantic import ConfigDict, field_validator

    from modelpress.api import DataRole, Options, ResourcePath, SecretName, Verbatim

    class Model(Options):
        model_path: ResourcePath

    class Part(Options):
        note: str = ""
        data: Annotated[str | None, DataRole("test")] = None

    class Extra(Options):
        model_config = ConfigDict(extra="allow")

    class Press(Options):
        note: str = ""
        template: Annotated[str, Verbatim()] = ""
        part: Part | None = None
        notes: list[str] = []
        password: str | None = None
        pad_token: str = "<pad>"
        token: SecretName | None = None
        tokens: dict[str, SecretName] = {}
        load: Extra = Extra()

        @field_validator("note")
        @classmethod
        def short(cls, value):
            assert len(value) < 40, f"{value} is too long"
            return value

    class AcmeCloud(Options):
        folder: str = ""
        environment_variables: dict[str, str] | list[str] = []
"""


@pytest.fixture
def load(site: FakeSite, tmp_path):
    """load(step, **more): the workflow with those options of its one pass."""
    site.install("main", PLUGIN, package="written_main", files={"config.py": CONFIG})
    registry = site.registry()
    assert not registry.broken

    def load_step(step=None, **more) -> WorkflowDraft:
        document = {
            "input_model": {"type": "Model", "model_path": "m"},
            "passes": {"press": {"type": "Press", **(step or {})}},
            **more,
        }
        path = tmp_path / "w.json"
        path.write_text(json.dumps(document, indent=1))
        return load_workflow(path, registry)

    return load_step


def options(workflow: WorkflowDraft):
    assert not list(workflow.problems)
    [step] = workflow.passes
    assert isinstance(step, PassChoice)
    return step.options


def test_a_variable_is_put_in_wherever_it_stands(load, monkeypatch) -> None:
    monkeypatch.setenv("PLACE", "there")
    step = {"note": "from ${PLACE}/x", "part": {"note": "${PLACE}"}, "notes": ["a", "${PLACE}${PLACE}"]}
    found = options(load(step))
    assert found.note == "from there/x"
    assert found.part.note == "there"
    assert found.notes == ["a", "therethere"]


def test_folders_of_the_workflow_know_variables_too(load, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PLACE", "there")
    workflow = load(output_dir="${PLACE}/out", cache_dir="/x/${PLACE}")
    assert workflow.output_dir == tmp_path / "there" / "out"
    assert str(workflow.cache_dir) == "/x/there"
    [problem] = load(output_dir="${NOT_SET}/out").problems
    assert problem.message == "'output_dir' names the environment variable 'NOT_SET', which is not set."
    assert problem.where is not None
    assert problem.where.line > 1


def test_a_variable_that_is_not_set_is_told_in_its_place(load, monkeypatch) -> None:
    monkeypatch.setenv("PLACE_OF_IT", "there")
    [problem] = load({"notes": ["${PLACE_OF_I}"]}).problems
    assert problem.message == "'notes.0' names the environment variable 'PLACE_OF_I', which is not set."
    assert problem.hint == "Did you mean ${PLACE_OF_IT}?"
    assert problem.where is not None
    assert problem.where.line == 10


def test_what_is_no_reference_stays(load, monkeypatch) -> None:
    monkeypatch.setenv("PLACE", "there")
    assert options(load({"note": "$PLACE {PLACE} $${PLACE} $5"})).note == "$PLACE {PLACE} ${PLACE} $5"
    assert options(load({"template": "${PLACE} ${price}"})).template == "${PLACE} ${price}"


def test_a_secret_is_named_as_it_is_or_in_braces(load) -> None:
    assert options(load({"token": "ACME_TOKEN"})).token == "ACME_TOKEN"
    assert options(load({"token": "${ACME_TOKEN}"})).token == "ACME_TOKEN"
    assert options(load({"tokens": {"a": "ACME_TOKEN"}})).tokens == {"a": "ACME_TOKEN"}


@pytest.mark.parametrize(
    "step",
    [
        {"token": "planted-value"},
        {"token": ["planted-value"]},
        {"tokens": {"a": "planted-value"}},
        {"password": "planted-value"},
        {"load": {"api_key": "planted-value"}},
        {"load": {"deep": [{"client_secret": "planted-value"}]}},
        {"load": {"password": ["planted-value"]}},
        {"note": "${PLANTED_TOKEN}"},
        {"password": "planted-value", "notes": 3},
        {"passwort": "planted-value", "password": "planted-value"},
    ],
)
def test_a_secret_that_is_written_out_is_refused_and_not_repeated(load, monkeypatch, step) -> None:
    monkeypatch.setenv("PLANTED_TOKEN", "planted-value")
    workflow = load(step)
    assert list(workflow.problems)
    told = [f"{problem}" for problem in workflow.problems]
    assert not any("planted-value" in text for text in told), told
    assert "planted-value" not in repr(workflow.passes)


def test_a_secret_for_the_worker_may_stand_in_a_system(load, monkeypatch) -> None:
    monkeypatch.setenv("PLANTED_TOKEN", "planted-value")
    systems = {"there": {"type": "AcmeCloud", "environment_variables": {"API_TOKEN": "${PLANTED_TOKEN}"}}}
    workflow = load(systems=systems)
    assert not list(workflow.problems)
    assert workflow.systems["there"].options.environment_variables == {"API_TOKEN": "planted-value"}


def test_a_role_in_a_nested_model_needs_its_data(load) -> None:
    messages = [problem.message for problem in load({"part": {"data": "absent"}}).problems]
    assert messages == ["There is no data config named 'absent'."]


@pytest.mark.parametrize(
    "name",
    [
        *("password", "api_key", "token", "hf_token", "auth_token", "client_secret", "connection_string"),
        *("account_key", "credentials", "sas_token", "Password"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize("name", ["pad_token", "eos_token", "max_tokens", "key", "sort_key", "tokenizer",
                                  "new_tokens", "secretary", "passes", "keyword", "token_ids"])  # fmt: skip
def test_names_that_only_sound_like_it(name: str) -> None:
    assert not looks_secret(name)
