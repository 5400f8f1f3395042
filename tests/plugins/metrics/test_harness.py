"""LMEvaluator on tasks that lie in a folder, really run by lm-eval's harness: no hub is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'modelpress[lm-eval]'")

from modelpress.api import Artifact, UserError
from modelpress.registry import Registry
from modelpress.specs import MetricSpec
from modelpress.testing import input_artifact, make_tiny_model
from modelpress.testing.context import pass_context
from modelpress_plugins.metrics import harness
from modelpress_plugins.metrics.harness_config import HarnessOptions

CHOOSE = {
    "task": "tones",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.json"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "Text: {{phrase}}\nTone:",
    "doc_to_choice": ["joy", "fear"],
    "doc_to_target": "{{label}}",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}
READ = {
    **{key: CHOOSE[key] for key in ("dataset_path", "dataset_kwargs", "test_split")},
    "task": "reading",
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{phrase}}",
    "metric_list": [{"metric": "word_perplexity"}],
}
WRITE = {
    **{key: CHOOSE[key] for key in ("dataset_path", "dataset_kwargs", "test_split", "doc_to_text")},
    "task": "writing",
    "output_type": "generate_until",
    "doc_to_target": "{{tone}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 3, "do_sample": False},
    "metric_list": [{"metric": "exact_match"}],
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {"phrase": f"{word} on day {i}", "tone": tone, "label": label}
        for i in range(4)
        for label, (word, tone) in enumerate((("Sun", "joy"), ("Night", "fear")))
    ]
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "tones.yaml").write_text(json.dumps(CHOOSE))  # JSON is YAML
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return input_artifact(make_tiny_model(tmp_path_factory.mktemp("harness") / "model"), "hf-model")


@pytest.fixture
def evaluate(
    model: Artifact, tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Mapping[str, Any]]:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    registry = Registry.load()
    entry = registry.find(MetricSpec, "LMEvaluator")

    def run(*names: Any, **options: Any) -> Mapping[str, Any]:
        context = pass_context(tmp_path, registry=registry, name="LMEvaluator", origin=entry.origin)
        parsed = HarnessOptions.parse({"tasks": list(names), "include_path": str(tasks), **options})
        return harness.evaluate(model, parsed, context)

    return run


def test_a_task_in_a_folder_is_run_and_says_how_sure_it_is(evaluate) -> None:
    found = evaluate("tones", "size_on_disk", bootstrap_iters=10)
    assert set(found) == {"size_on_disk", "tones_acc", "tones_acc_norm"}
    accuracy = found["tones_acc"]
    assert 0 <= accuracy.value <= 1
    assert accuracy.low < accuracy.value < accuracy.high or accuracy.value in (0, 1)


def test_every_runtime_is_asked_as_transformers_is(evaluate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness's own class for transformers, and ours for whatever writes: the same numbers."""
    options = {"bootstrap_iters": 0, "limit": 6}
    theirs = evaluate("tones", READ, WRITE, **options)
    asked = lambda loaded, config, ctx: harness.Asked(loaded, loaded.context_length, ctx)  # noqa: E731
    monkeypatch.setattr(harness, "_asked", asked)
    ours = evaluate("tones", READ, WRITE, **options)
    assert {name: float(value) for name, value in ours.items()} == pytest.approx(
        {name: float(value) for name, value in theirs.items()}, rel=1e-5
    )
    assert set(ours) == {
        "tones_acc", "tones_acc_norm", "reading_word_perplexity", "writing_exact_match",
    }  # fmt: skip


def test_an_unknown_task_is_told_with_the_nearest(evaluate, monkeypatch: pytest.MonkeyPatch) -> None:
    class Known:
        """In place of the harness's 14,000, which take long to look through."""

        def __init__(self, **options: Any) -> None:
            self.all_tasks = ["hellaswag", "mmlu"]

    monkeypatch.setattr(harness, "TaskManager", Known)
    with pytest.raises(UserError, match="no task 'helaswag'") as error:
        evaluate("helaswag")
    assert "hellaswag" in error.value.hint


def test_data_that_are_not_there_are_told(evaluate) -> None:
    away = {**CHOOSE, "task": "away", "dataset_kwargs": {"data_files": {"test": "nowhere.json"}}}
    with pytest.raises(UserError, match=r"lm-eval cannot evaluate away: .*nowhere\.json"):
        evaluate(away)


def test_a_metric_that_is_counted_in_several_ways_says_which() -> None:
    results = {
        "results": {
            "gsm8k": {
                "alias": "gsm8k", "exact_match,strict-match": 0.5, "exact_match_stderr,strict-match": 0.1,
                "exact_match,flexible-extract": 0.6, "exact_match_stderr,flexible-extract": "N/A",
            }
        }
    }  # fmt: skip
    found = dict(harness.numbers(results))
    assert found["gsm8k_exact_match_strict-match"].low == pytest.approx(0.5 - 0.196, abs=1e-3)
    assert found["gsm8k_exact_match_flexible-extract"] == 0.6
