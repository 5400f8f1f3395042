"""Functions of the user's that measure: what they are given, what they return, and what is told of faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import Artifact, UserError
from modelpress.registry import Registry
from modelpress.specs import MetricSpec
from modelpress.testing import MetricContract, input_artifact, make_tiny_model
from modelpress.testing.context import run_metric

from .test_metric_contracts import Rows

SCRIPT = """
from pathlib import Path


def count(model, device, execution_providers):
    assert (device, execution_providers) == ("cpu", ["CPUExecutionProvider"])
    weights = sum(p.numel() for p in model.load_model().parameters())
    return {"weights": weights, "files": len(list(Path(model.model_path).iterdir()))}


def of_2023(model, data_dir, batch_size, device, execution_providers):
    return float(batch_size)


def kinds(model, *, factor=1):
    return model.prepare_session().config.num_hidden_layers * factor


def letters(outputs, targets, extra=0):
    return sum(len(right) for right in targets) / len(outputs.preds) + extra


def broken(model):
    return 1 / 0


def leaves(model):
    raise SystemExit(3)


def text(model):
    return "much"
"""


def line_of(text: str) -> int:
    return SCRIPT.splitlines().index(f"    {text}") + 1


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return input_artifact(make_tiny_model(tmp_path_factory.mktemp("custom") / "model"), "hf-model")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "user_script.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def measure(model: Artifact, script: Path, tmp_path: Path) -> Callable[..., Mapping[str, float]]:
    registry = Registry.load()

    def run(function: str, kind: str = "evaluate_func", **more: Any) -> Mapping[str, float]:
        user = {"user_script": str(script), kind: function, **more.pop("user", {})}
        options = {"user_config": user, **more}
        return run_metric(
            registry.find(MetricSpec, "custom"), model, options, tmp_path / "job", registry=registry,
            data={"data": Rows()},
        )  # fmt: skip

    return run


class TestCustom(MetricContract):
    metric_name = "custom"
    options = {  # noqa: RUF012 - pytest never changes it
        "user_config": {"evaluate_func": "tests_custom_function:answer"},
        "sub_types": [{"name": "answer", "priority": 1, "goal": {"type": "threshold", "value": 1}}],
    }
    bad_options = {"user_config": {}}  # noqa: RUF012

    def some_options(self, folder: Path) -> Mapping[str, Any]:
        return {"user_config": {"evaluate_func": "m:f"}, "sub_types": ["answer"]}

    @pytest.fixture
    def source(self) -> None:
        pytest.skip("what it measures, a function of the user's decides")


def test_a_function_returns_several_numbers_or_one(measure: Callable[..., Mapping[str, float]]) -> None:
    found = measure("count")
    assert set(found) == {"weights", "files"}
    assert found["weights"] > 1000
    assert measure("count", sub_types=[{"name": "files", "priority": 1}]) == {"files": found["files"]}
    assert measure("kinds") == {"kinds": 2}
    assert measure("kinds", sub_types=[{"name": "layers"}]) == {"layers": 2}


def test_functions_of_olive_are_called_as_they_were_written(
    measure: Callable[..., Mapping[str, float]],
) -> None:
    assert measure("of_2023", user={"batch_size": 4}) == {"of_2023": 4.0}
    assert measure("kinds", user={"evaluate_func_kwargs": {"factor": 10}}) == {"kinds": 20}
    told = {"max_new_tokens": 2, "user": {"metric_func_kwargs": {"extra": 100}}}
    assert measure("letters", "metric_func", **told) == {"letters": 100 + 3.5}


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("broken", r"Your function broken raised ZeroDivisionError: division by zero "
                   rf"\(user_script.py, line {line_of('return 1 / 0')}\)"),
        ("leaves", rf"raised SystemExit: 3 \(user_script.py, line {line_of('raise SystemExit(3)')}\)"),
        ("text", "text returned str; a number is expected"),
        ("nowhere", "has no function 'nowhere'"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_file_and_line(
    measure: Callable[..., Mapping[str, float]], function: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        measure(function)


def test_a_number_that_is_wanted_and_not_returned_is_told(
    measure: Callable[..., Mapping[str, float]],
) -> None:
    with pytest.raises(UserError, match="no number 'weight'; there are: weights, files"):
        measure("count", sub_types=[{"name": "weight"}])
    with pytest.raises(UserError, match="returned one number, and sub_types wants 2"):
        measure("kinds", sub_types=[{"name": "a"}, {"name": "b"}])


def test_what_is_wanted_of_a_number_is_no_part_of_what_is_measured() -> None:
    entry = Registry.load().find(MetricSpec, "custom")
    user = {"user_config": {"evaluate_func": "m:f"}}
    plain = entry.parse({**user, "sub_types": [{"name": "a"}]})
    wanted = entry.parse({**user, "sub_types": [{"name": "a", "goal": {"type": "threshold", "value": 1.0}}]})
    assert plain.canonical() == wanted.canonical()
