"""Jobs, results and errors as JSON: one way there and back, and never half of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelpress.artifact import Artifact, Meta
from modelpress.engine.job import (
    DataInput,
    ErrorRecord,
    FormatCode,
    Job,
    ModelInput,
    Result,
    input_names,
    model_artifact,
    read_answer,
    read_job,
    write_error,
    write_job,
    write_result,
)
from modelpress.errors import HostError, PassError, UserError
from modelpress.fence import Origin
from modelpress.files import sealed
from modelpress.records import from_json, read_record, to_json, write_record

META = Meta(
    task="text-generation",
    prompt_template="{phrase} ",
    trust_remote_code=True,
    load_kwargs={"torch_dtype": "auto"},
    tokenizer_path="model-tokenizer",
    extra={"quantization": {"load_in_4bit": True}, "list": [1, None]},
)
LORA = Origin("pass", "LoRA", "lora", "modelpress", "1.0", "pip install it")
LINES = Origin("data container", "Lines", "acme", "acme-press", "2.3")
HF_MODEL = Origin("format", "hf-model", "huggingface", "modelpress", "1.0")
JOB = Job(
    origin=LORA,
    name="lora",
    run="m:run",
    config="m:Config",
    options={"r": 8, "file": {"$input": "step-1-0"}},
    model=ModelInput("model", "hf-adapter", "k", META, ModelInput("model-base", "hf-model", "content:1")),
    produces="hf-model",
    data={"train": DataInput("d", LINES, "m:open", "m:Lines", {"file": {"$input": "data-0-0"}})},
    formats={"hf-model": FormatCode(HF_MODEL, "m:check", "m:load")},
)


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_job(tmp_path, JOB, {})
    assert read_job(tmp_path) == JOB


def test_a_job_names_every_input_that_it_needs() -> None:
    assert list(input_names(JOB)) == ["model", "model-tokenizer", "model-base", "step-1-0", "data-0-0"]


def test_the_model_of_a_job_has_its_paths_where_it_runs(tmp_path: Path) -> None:
    here = {name: tmp_path / name for name in input_names(JOB)}
    write_job(tmp_path, JOB, here)
    model = model_artifact(JOB.model, tmp_path)
    assert model.path == here["model"].resolve()
    assert model.meta.tokenizer_path == str(here["model-tokenizer"].resolve())
    assert model.base
    assert model.base.path == here["model-base"].resolve()
    assert model.meta.extra == META.extra


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = Result(
        format="hf-adapter", meta=META, base="k", reports={"loss": 0.5}, seconds=1.5, peak_memory=9
    )
    write_result(tmp_path, result)
    assert read_answer(tmp_path) == result


def test_an_error_is_raised_as_if_it_had_happened_here(tmp_path: Path) -> None:
    write_error(tmp_path, ErrorRecord("UserError", "The column 'tone' is missing.", "Name one."))
    with pytest.raises(UserError, match="tone") as caught:
        read_answer(tmp_path)
    assert caught.value.hint == "Name one."
    write_error(tmp_path, ErrorRecord("ZeroDivisionError", "division by zero"))
    with pytest.raises(PassError, match="ZeroDivisionError: division by zero") as failed:
        read_answer(tmp_path)
    assert str(tmp_path) in failed.value.hint


def test_no_answer_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no answer"):
        read_answer(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be read"),
        ("[]", "it has no seal"),
        ('{"version": 1}', "it has no seal"),
        (sealed({"version": 1}).decode().replace("1", "2", 1), "it is not as it was written"),
        (sealed({"version": 99}).decode(), "it is of version 99, this modelpress reads version 1"),
        (sealed({"version": 1, "kind": "pass"}).decode(), "origin: Field required"),
    ],
)
def test_what_is_no_job_is_told_with_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(HostError) as caught:
        read_job(tmp_path)
    assert told in caught.value.message
    assert "version" in caught.value.hint


def test_a_field_of_the_wrong_type_is_named() -> None:
    with pytest.raises(ValueError, match=r"model\.input: "):
        from_json(Job, {**to_json(JOB), "model": {**to_json(JOB.model), "input": 3}})


def test_what_json_does_not_have_is_written_as_text(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_record(path, Result(reports={"where": Path("here"), "loss": float("nan")}))
    assert read_record(Result, path).reports["where"] == "here"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_an_artifact_with_its_meta_survives_its_manifest() -> None:
    base = Artifact(Path("/base"), "hf-model", "content:1")
    artifact = Artifact(Path("/a"), "hf-adapter", "k", base, META)
    assert from_json(Artifact, json.loads(json.dumps(to_json(artifact)))) == artifact
