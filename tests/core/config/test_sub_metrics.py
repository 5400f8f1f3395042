"""What a name under `sub_types` means."""

from __future__ import annotations

import pytest

from modelpress.config.sub_metrics import known_names, numbers_meant
from modelpress.registry import Registry
from modelpress.spec_checks import what_is_wrong
from modelpress.specs import MetricSpec


@pytest.fixture(scope="module")
def metrics() -> dict[str, MetricSpec]:
    return {entry.spec.name: entry.spec for entry in Registry.load().all(MetricSpec)}


@pytest.mark.parametrize(
    ("metric", "name", "numbers"),
    [
        ("accuracy", "accuracy", ("accuracy",)),
        ("accuracy", "accuracy_score", ("accuracy",)),
        ("accuracy", "exact_match", ("accuracy",)),
        ("accuracy", "f1_score", ()),
        ("size_on_disk", "bytes", ("size_on_disk",)),
        ("latency", "p50", ("latency_p50_ms", "latency_first_token_p50_ms")),
        ("latency", "latency_avg_ms", ("latency_avg_ms",)),
        ("latency", "p42", ()),
        ("throughput", "avg", ("throughput_avg", "throughput_prompt_avg")),
    ],
)
def test_a_name_means_numbers(
    metrics: dict[str, MetricSpec], metric: str, name: str, numbers: tuple[str, ...]
) -> None:
    assert numbers_meant(name, metrics[metric]) == numbers


def test_what_may_be_written_is_known(metrics: dict[str, MetricSpec]) -> None:
    assert known_names(metrics["accuracy"]) == ["accuracy", "accuracy_score", "exact_match"]
    assert {"p50", "avg", "latency_p50_ms"} <= set(known_names(metrics["latency"]))
    assert "latency" not in known_names(metrics["latency"])


@pytest.mark.parametrize("sub_types", [{"f1_score": "f1"}, {"two words": "words"}, ["words"]])
def test_another_name_has_to_stand_for_a_number_that_is_given(sub_types: object) -> None:
    spec = MetricSpec("words", "Words.", run="m:r", gives={"words": ("", True)}, sub_types=sub_types)  # type: ignore[arg-type]
    assert "sub_types has to be a mapping" in what_is_wrong(spec)
