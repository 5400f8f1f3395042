"""What pydantic finds wrong with options, said in a user's words, each fault once and at its path."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from modelpress.api import Options, Secret, SecretName, Size
from modelpress.config.validation import Fault, faults, model_in


class Schedule(Options):
    steps: int = Field(default=1, ge=1, description="Steps of the optimizer.")
    name: str = Field(description="Which curve the rate follows.")


class Warmup(Options):
    ratio: float = Field(ge=0, lt=1)


class Everything(Options):
    flag: bool = False
    rank: int = Field(default=8, ge=1, le=512, multiple_of=2)
    rate: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    dtype: Literal["float16", "bfloat16", "float32"] = "float32"
    only: Literal["one"] = "one"
    note: str = Field(default="x", min_length=1, pattern="^[a-z]*$")
    long: str = Field(default="xxx", min_length=3)
    file: Path | None = None
    names: list[str] = Field(default_factory=list, max_length=2)
    pair: list[int] = Field(default_factory=lambda: [1, 2], min_length=2)
    either: int | Literal["auto"] = "auto"
    targets: list[str] | str = ""
    table: dict[str, int] = Field(default_factory=dict)
    schedule: Schedule | None = None
    stages: list[Schedule] = Field(default_factory=list)
    by_name: dict[str, Schedule] = Field(default_factory=dict)
    start: Schedule | Warmup | None = None
    nothing: None = None
    limit: Size = 0
    token: SecretName | None = None
    password: int = 0
    even: int = 0
    shard: Annotated[str | None, Secret()] = None

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("has to be even.")
        return value


def found(values: dict[str, Any], model: type[BaseModel] = Everything, **names: str) -> list[Fault]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        return list(faults(error, model, values, "Prune", names))
    return []


def only(values: dict[str, Any], model: type[BaseModel] = Everything, **names: str) -> Fault:
    (fault,) = found(values, model, **names)
    return fault


@pytest.mark.parametrize(
    ("value", "expected", "described"),
    [
        ({"flag": "yes"}, "true or false", "text 'yes'"),
        ({"flag": 1}, "true or false", "the number 1"),
        ({"rank": "8"}, "a whole number", "text '8'"),
        ({"rank": 8.5}, "a whole number", "the number 8.5"),
        ({"rank": True}, "a whole number", "true"),
        ({"rank": None}, "a whole number", "empty (null)"),
        ({"rank": 0}, "at least 1", "the number 0"),
        ({"rank": 514}, "at most 512", "the number 514"),
        ({"rank": 7}, "a multiple of 2", "the number 7"),
        ({"rate": "fast"}, "a number", "text 'fast'"),
        ({"rate": 0.0}, "greater than 0.0", "the number 0.0"),
        ({"rate": float("nan")}, "a finite number", "the number nan"),
        ({"dtype": 16}, "one of 'float16', 'bfloat16' or 'float32'", "the number 16"),
        ({"only": "two"}, "'one'", "text 'two'"),
        ({"note": ""}, "text that is not empty", "text ''"),
        ({"note": "UP"}, "text of the pattern ^[a-z]*$", "text 'UP'"),
        ({"note": ["x"]}, "text", "a list"),
        ({"names": "x"}, "a list", "text 'x'"),
        ({"names": ["a", "b", "c"]}, "a list of at most 2", "a list"),
        ({"pair": [1]}, "a list of at least 2", "a list"),
        ({"table": [1]}, "a mapping", "a list"),
        ({"schedule": "linear"}, "a mapping", "text 'linear'"),
        ({"nothing": 1}, "empty (null)", "the number 1"),
        ({"limit": "big"}, 'a number of bytes, or text like "500MB" or "20GB"', "text 'big'"),
        ({"even": 3}, "even", "the number 3"),
        ({"either": "some"}, "a whole number or 'auto'", "text 'some'"),
        ({"targets": 1}, "a list or text", "the number 1"),
    ],
)
def test_what_was_expected_and_found_is_told(value: dict[str, Any], expected: str, described: str) -> None:
    (name,) = value
    assert only(value).message == f"{name!r} has to be {expected}, not {described}."


def test_a_text_that_is_long_is_told_by_its_begin() -> None:
    told = only({"rank": "x" * 500}).message
    assert f"text '{'x' * 57}...'" in told
    assert len(told) < 150


def test_a_rule_of_pydantic_that_has_no_words_of_ours_is_told_in_its_own() -> None:
    assert "has to be longer (String should have at least 3 characters)" in only({"long": "x"}).message


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"names": ["a", 1]}, "names.1"),
        ({"table": {"a": "x"}}, "table.a"),
        ({"schedule": {"name": "cosine", "steps": 0}}, "schedule.steps"),
        ({"stages": [{"name": "a"}, {"name": "b", "steps": "2"}]}, "stages.1.steps"),
        ({"by_name": {"late": {"name": 5}}}, "by_name.late.name"),
        ({"targets": ["a", 1]}, "targets.1"),
    ],
)
def test_a_fault_inside_is_told_at_its_path(values: dict[str, Any], path: str) -> None:
    fault = only(values)
    assert fault.path == path
    assert fault.message.startswith(f"{path!r} has to be ")


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"rnak": 1}, "Prune has no option 'rnak'.", "Did you mean 'rank'?"),
        ({"schedule": {"name": "x", "stesp": 1}}, "Prune has no option 'schedule.stesp'.", "'steps'"),
        ({"stages": [{"name": "x", "stesp": 1}]}, "Prune has no option 'stages.0.stesp'.", "'steps'"),
        ({"by_name": {"a": {"name": "x", "stesp": 1}}}, "no option 'by_name.a.stesp'.", "'steps'"),
    ],
)
def test_an_option_that_is_none_is_told_with_the_nearest(
    values: dict[str, Any], message: str, hint: str
) -> None:
    fault = only(values)
    assert message in fault.message
    assert hint in fault.hint


def test_what_is_like_no_option_is_told_with_all_that_there_are() -> None:
    fault = only({"zzzzzz": 1, "name": "x"}, Schedule)
    assert fault.hint == "It has: name, steps."


def test_a_name_that_is_used_beside_the_options_may_be_the_nearest() -> None:
    fault = only({"hosst": "gpu"}, host="host")
    assert fault.hint == "Did you mean 'host'?"
    inside = only({"schedule": {"name": "x", "hosst": 1}}, host="host")
    assert "host" not in inside.hint.replace("hosst", "")


def test_a_word_that_is_nearly_one_of_the_choices_is_told_with_it() -> None:
    assert only({"dtype": "bfloat61"}).hint == "Did you mean 'bfloat16'?"
    assert only({"dtype": "quaternion"}).hint == ""


def test_what_is_lacking_is_told_with_what_it_is_for() -> None:
    fault = only({"schedule": {"steps": 2}})
    assert fault == Fault("schedule", "Prune needs 'schedule.name'.", "Which curve the rate follows.")


def test_a_name_that_is_misspelt_is_not_lacking_as_well() -> None:
    assert [fault.path for fault in found({"schedule": {"nmae": "cosine"}})] == ["schedule.nmae"]
    both = found({"schedule": {"colour": "red"}})
    assert {fault.path for fault in both} == {"schedule.colour", "schedule"}


def test_branches_of_a_union_are_one_fault() -> None:
    assert len(found({"either": [1]})) == 1
    assert len(found({"targets": {"a": 1}})) == 1


def test_each_fault_is_told_and_each_once() -> None:
    many = found({"flag": 1, "rank": "x", "rate": -1.0, "stages": [{"name": 1}, {"steps": 0, "name": "x"}]})
    assert [fault.path for fault in many] == ["flag", "rank", "rate", "stages.0.name", "stages.1.steps"]


@pytest.mark.parametrize(
    "values", [{"password": "hush-hush"}, {"token": "hush-hush"}, {"shard": ["hush-hush"]}]
)
def test_what_may_be_a_secret_is_not_repeated(values: dict[str, Any]) -> None:
    fault = only(values)
    assert "hush" not in fault.message + fault.hint
    assert "has to be" in fault.message


def test_the_values_below_a_name_that_sounds_secret_are_not_repeated_either() -> None:
    class Vault(Options):
        credentials: dict[str, int] = Field(default_factory=dict)

    assert "hush" not in only({"credentials": {"user": "hush"}}, Vault).message


def test_a_key_of_the_workflow_is_called_a_key() -> None:
    class File(Options):
        seed: int = 0

    File.__module__ = "modelpress.config.anything"
    assert only({"sede": 1}, File).message == "Prune has no key 'sede'."


@pytest.mark.parametrize(
    ("annotation", "model"),
    [
        (Schedule, Schedule),
        (Schedule | None, Schedule),
        (int | Warmup | None, Warmup),
        (list[Schedule], None),
        (dict[str, Schedule], None),
        (int, None),
    ],
)
def test_the_model_in_a_type_is_found_where_its_options_stand_at_once(
    annotation: object, model: type | None
) -> None:
    assert model_in(annotation) is model
