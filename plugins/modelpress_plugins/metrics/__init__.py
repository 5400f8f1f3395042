"""Numbers about a model, whatever its format: accuracy, perplexity, size, latency, throughput."""

from __future__ import annotations

from modelpress.api import MetricSpec, Rename, hookimpl
from modelpress_plugins.ranges import NUMPY

MODELPRESS_API = 1

_STATISTICS = ("avg", "max", "min", "p50", "p75", "p90", "p95", "p99", "p999")
_LATENCY = {
    **{f"latency_{name}_ms": ("ms", False) for name in _STATISTICS},
    **{f"latency_first_token_{name}_ms": ("ms", False) for name in _STATISTICS},
}
_THROUGHPUT = {
    **{f"throughput_{name}": ("tokens/s", True) for name in _STATISTICS},
    **{f"throughput_prompt_{name}": ("tokens/s", True) for name in _STATISTICS},
}
_TIMED = tuple(
    Rename(name, None, why="Answers are timed, to the prompts of data_config or to made-up ones.")
    for name in ("user_config", "inference_settings", "io_bind")
)
_COMPARED = tuple(
    Rename(name, None, why="Answers are generated and compared here.")
    for name in ("backend", "user_config", "inference_settings")
)


@hookimpl
def modelpress_metrics() -> list[MetricSpec]:
    run, config = "modelpress_plugins.metrics", "modelpress_plugins.metrics.config"
    return [
        MetricSpec(
            name="accuracy",
            summary="Share of prompts that the model answers exactly right, by generation.",
            run=f"{run}.accuracy:accuracy",
            config=f"{config}:AccuracyOptions",
            gives={"accuracy": ("", True)},
            sub_types={"accuracy_score": "accuracy", "exact_match": "accuracy"},
            renames=_COMPARED,
        ),
        MetricSpec(
            name="perplexity",
            summary="How surprised the model is by each token of the text; 1 is not at all.",
            run=f"{run}.perplexity:perplexity",
            config=f"{config}:PerplexityOptions",
            gives={"perplexity": ("", False)},
            requires=(NUMPY,),
            extra="train",
        ),
        MetricSpec(
            name="size_on_disk",
            summary="Bytes of the model's files.",
            run=f"{run}.size:size_on_disk",
            config=f"{config}:SizeOptions",
            gives={"size_on_disk": ("bytes", False)},
            sub_types={"bytes": "size_on_disk"},
            opens_model=False,
        ),
        MetricSpec(
            name="latency",
            summary="Milliseconds for each token of an answer, and for its first.",
            run=f"{run}.speed:latency",
            config=f"{config}:SpeedOptions",
            gives=_LATENCY,
            requires=(NUMPY,),
            extra="train",
            renames=_TIMED,
        ),
        MetricSpec(
            name="throughput",
            summary="Tokens a second, of answers and of prompts.",
            run=f"{run}.speed:throughput",
            config=f"{config}:SpeedOptions",
            gives=_THROUGHPUT,
            requires=(NUMPY,),
            extra="train",
            renames=_TIMED,
        ),
    ]
