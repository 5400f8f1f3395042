"""The built-in metrics keep the contract of every metric."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from modelpress.api import Artifact, Exchange, Sample
from modelpress.testing import MetricContract, input_artifact, make_tiny_model


class TestSizeOnDisk(MetricContract):
    metric_name = "size_on_disk"

    def make_input(self, folder: Path) -> Artifact:
        folder.mkdir()
        (folder / "weights.bin").write_bytes(bytes(100))
        return input_artifact(folder, "hf-model")


class Rows:
    """A data source: two rows of prompt and answer."""

    name = "rows"
    prompt_template: str | None = None

    def records(self) -> Iterator[dict[str, str]]:
        yield from ({"prompt": "one", "answer": "two"}, {"prompt": "three", "answer": "four"})

    def exchanges(self, tokenizer: Any = None) -> Iterator[Exchange]:
        yield from (Exchange(row["prompt"], row["answer"]) for row in self.records())

    def samples(self, tokenizer: Any, limit: int | None = None, seed: int | None = None) -> list[Sample]:
        return [Sample(ids, ids) for ids in ([3, 4, 5, 6], [7, 8, 9])][:limit]

    def split(self, eval_size: float, seed: int) -> tuple[Rows, Rows]:
        return self, self


class OnModel(MetricContract):
    def make_input(self, folder: Path) -> Artifact:
        return input_artifact(make_tiny_model(folder), "hf-model")


class TestLatency(OnModel):
    metric_name = "latency"
    exact: ClassVar[bool] = False
    options: ClassVar[dict[str, Any]] = {"warmup_num": 1, "repeat_test_num": 2, "new_tokens": 2}


class TestThroughput(OnModel):
    metric_name = "throughput"
    exact: ClassVar[bool] = False
    options: ClassVar[dict[str, Any]] = TestLatency.options


class TestAccuracy(OnModel):
    metric_name = "accuracy"
    data: ClassVar[dict[str, Any]] = {"data": Rows()}
    options: ClassVar[dict[str, Any]] = {"data_config": "rows", "max_new_tokens": 2}


class TestPerplexity(OnModel):
    metric_name = "perplexity"
    data: ClassVar[dict[str, Any]] = {"data": Rows()}
    options: ClassVar[dict[str, Any]] = {"data_config": "rows"}


class TestAccuracyByLikelihood(OnModel):
    metric_name = "accuracy"
    options: ClassVar[dict[str, Any]] = {"method": "likelihood"}
    data: ClassVar[dict[str, Any]] = {"data": Rows()}


class TestF1(OnModel):
    metric_name = "f1"
    data: ClassVar[dict[str, Any]] = {"data": Rows()}


class TestExactMatch(OnModel):
    metric_name = "exact_match"
    data: ClassVar[dict[str, Any]] = {"data": Rows()}


class TestTimeToFirstToken(OnModel):
    metric_name = "time_to_first_token"
    exact: ClassVar[bool] = False
    options: ClassVar[dict[str, Any]] = TestLatency.options


class TestTokensPerSecond(OnModel):
    metric_name = "tokens_per_second"
    exact: ClassVar[bool] = False
    options: ClassVar[dict[str, Any]] = TestLatency.options


class TestLoadTime(OnModel):
    metric_name = "load_time"
    exact: ClassVar[bool] = False
    options: ClassVar[dict[str, Any]] = {"repeat_test_num": 2}


class TestKlDivergence(OnModel):
    metric_name = "kl_divergence"
    data: ClassVar[dict[str, Any]] = {"data": Rows()}


class TestTop1Agreement(OnModel):
    metric_name = "top1_agreement"
    data: ClassVar[dict[str, Any]] = {"data": Rows()}
