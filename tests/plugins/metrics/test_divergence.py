"""A model is compared with the one that it was made from."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

import modelpress
from modelpress.context import PassContext
from modelpress.testing import make_tiny_model
from modelpress_plugins.metrics import divergence
from modelpress_plugins.metrics.config import DivergenceOptions
from modelpress_plugins.metrics.divergence import Asked, differences


def test_the_same_expectations_do_not_diverge() -> None:
    rows = np.random.default_rng(0).normal(0, 3, (100, 50)).astype(np.float32)
    nats, same = differences(rows, rows + 4)  # a constant changes no probability
    assert nats == pytest.approx(0, abs=1e-4)
    assert same == 100


def test_nats_are_those_of_the_definition() -> None:
    ours, theirs = np.log([[0.5, 0.5]], dtype=np.float32), np.log([[0.9, 0.1]], dtype=np.float32)
    nats, same = differences(ours, theirs)
    assert nats == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1), rel=1e-5)
    assert same == 1  # the first of several that are equal
    assert differences(theirs, ours[:, ::-1])[0] != pytest.approx(nats)  # it has a direction


def test_what_a_runtime_pads_the_vocabulary_with_does_not_count() -> None:
    rows = np.zeros((2, 5), dtype=np.float32)
    padded = np.concatenate([rows, np.full((2, 3), 9, dtype=np.float32)], axis=1)
    assert differences(rows, padded) == (0, 2)


def _workflow(folder: Path, passes: dict[str, object]) -> Path:
    model = make_tiny_model(folder / "model", spread=0.3)
    rows = [{"text": f"the number {number} is one of many numbers"} for number in range(6)]
    (folder / "rows.json").write_text(json.dumps(rows))
    metrics = [{"type": name, "data_config": "text"} for name in ("kl_divergence", "top1_agreement")]
    document = {
        "input_model": {"type": "HfModel", "model_path": str(model)},
        "data_configs": [
            {
                "name": "text",
                "type": "HuggingfaceContainer",
                "load_dataset_config": {"data_name": "json", "data_files": "rows.json", "split": "train"},
                "pre_process_data_config": {"text_template": "{text}", "strategy": "line-by-line"},
            }
        ],
        "evaluators": {"near": {"metrics": metrics}},
        "evaluator": "near",
        "passes": passes,
        "output_dir": "out",
    }
    file = folder / "workflow.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, modelpress.RunResult]:
    """Results by bits of the weights."""
    results = {}
    for bits in (8, 4):
        folder = tmp_path_factory.mktemp(f"near{bits}")
        results[bits] = modelpress.run(
            _workflow(folder, {"round": {"type": "Rtn", "bits": bits, "group_size": 32}}),
            cache_dir=folder / "cache",
        )
    return results


def test_fewer_bits_are_farther_from_the_input_model(found: dict[int, modelpress.RunResult]) -> None:
    eight, four = (found[bits].metrics for bits in (8, 4))
    assert 0 < eight["kl_divergence"] < four["kl_divergence"]
    assert 1 >= eight["top1_agreement"] >= four["top1_agreement"] > 0


def test_each_number_says_how_sure_it_is(found: dict[int, modelpress.RunResult]) -> None:
    for name, (low, high) in found[4].intervals.items():
        assert low <= found[4].metrics[name] <= high
    assert set(found[4].intervals) == {"kl_divergence", "top1_agreement"}


def test_the_record_keeps_the_intervals(found: dict[int, modelpress.RunResult]) -> None:
    record = found[8].run_record
    assert set(record["intervals"]) == {"kl_divergence", "top1_agreement"}


def test_the_input_model_is_part_of_what_the_numbers_are_kept_by(tmp_path: Path) -> None:
    """The same result of a pass, compared with another input, is another number."""
    file = _workflow(tmp_path, {})
    cache = tmp_path / "cache"
    first = modelpress.run(file, cache_dir=cache)
    assert first.metrics == {"kl_divergence": 0, "top1_agreement": 1}
    again = modelpress.run(file, cache_dir=cache)
    assert all(step["cached"] for step in again.run_record["steps"])
    make_tiny_model(tmp_path / "model", seed=1, spread=0.3)
    other = modelpress.run(file, cache_dir=cache)
    assert not any(step["cached"] for step in other.run_record["steps"])


def test_the_input_model_is_asked_once_for_all_that_are_compared_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    ask = divergence._ask

    def counted(config: DivergenceOptions, ctx: PassContext, folder: Path) -> list[Asked]:
        asked.append(folder)
        return ask(config, ctx, folder)

    monkeypatch.setattr(divergence, "_ask", counted)

    def run(group_size: int) -> modelpress.RunResult:
        file = _workflow(tmp_path, {"q": {"type": "Rtn", "group_size": group_size}})
        return modelpress.run(file, cache_dir=tmp_path / "cache", in_process=True)

    assert run(16).metrics["kl_divergence"] != run(32).metrics["kl_divergence"]
    assert len(asked) == 1
    for file in (tmp_path / "cache").glob("data/compared/*/*/0.npy"):
        file.write_bytes(file.read_bytes()[:100])
    run(64)
    assert len(asked) == 2, "what is damaged is asked for again"
