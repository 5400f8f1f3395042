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
    **{f"throughput_{name}": ("/s", True) for name in _STATISTICS},
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


_FOREIGN = tuple(
    Rename(f"user_config.{name}", None, why="The model is opened as its format is.")
    for name in ("inference_settings", "io_bind", "input_names", "input_shapes", "shape_kv")
)


_OF_A_BACKEND = tuple(
    Rename(name, None, why="The format of the model and the target say how it is opened.")
    for name in ("model_class", "device", "execution_provider", "provider_options", "model_args")
) + tuple(
    Rename(name, None, why="What is asked and answered is not kept; tasks say how long answers are.")
    for name in ("sample_log_num", "sample_log_dir", "max_gen_toks")
)


@hookimpl
def modelpress_metrics() -> list[MetricSpec]:
    run, config = "modelpress_plugins.metrics", "modelpress_plugins.metrics.config"
    return [
        MetricSpec(
            name="accuracy",
            summary="Share of prompts that are answered exactly right, by what is written or by likelihood.",
            run=f"{run}.accuracy:accuracy",
            config=f"{config}:AccuracyOptions",
            gives={"accuracy": ("", True)},
            requires=(NUMPY,),
            sub_types={"accuracy_score": "accuracy", "exact_match": "accuracy"},
            renames=_COMPARED,
            cost=2,
            part=("max_samples", 32),
        ),
        MetricSpec(
            name="custom",
            summary="Numbers that a function of yours returns.",
            run=f"{run}.custom:custom",
            config=f"{config}:CustomOptions",
            gives={},
            open_ended=True,
            requires=(NUMPY,),
            renames=_FOREIGN,
        ),
        MetricSpec(
            name="LMEvaluator",
            summary="Tasks of lm-evaluation-harness: mmlu, hellaswag, or definitions of your own.",
            run=f"{run}.harness:evaluate",
            config=f"{run}.harness_config:HarnessOptions",
            gives={"size_on_disk": ("bytes", False)},
            open_ended=True,
            requires=("lm-eval>=0.4.10", NUMPY),
            extra="lm-eval",
            renames=_OF_A_BACKEND,
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
            name="f1",
            summary="Words that answers and right answers have in common, as SQuAD judges, by generation.",
            run=f"{run}.overlap:f1",
            config=f"{config}:AnswerOptions",
            gives={"f1": ("", True)},
            requires=(NUMPY,),
            renames=_COMPARED,
            cost=2,
            part=("max_samples", 32),
        ),
        MetricSpec(
            name="exact_match",
            summary="Share of answers that are right but for case, punctuation and articles, by generation.",
            run=f"{run}.overlap:exact_match",
            config=f"{config}:AnswerOptions",
            gives={"exact_match": ("", True)},
            requires=(NUMPY,),
            renames=_COMPARED,
            cost=2,
            part=("max_samples", 32),
        ),
        MetricSpec(
            name="kl_divergence",
            summary="How far what it expects of each next token is from what the input model expects.",
            run=f"{run}.divergence:kl_divergence",
            config=f"{config}:DivergenceOptions",
            gives={"kl_divergence": ("nats", False)},
            requires=(NUMPY,),
            compares=True,
        ),
        MetricSpec(
            name="top1_agreement",
            summary="Share of tokens at which it expects the same next token as the input model.",
            run=f"{run}.divergence:top1_agreement",
            config=f"{config}:DivergenceOptions",
            gives={"top1_agreement": ("", True)},
            requires=(NUMPY,),
            compares=True,
        ),
        MetricSpec(
            name="size_on_disk",
            summary="Bytes of the model's files.",
            run=f"{run}.size:size_on_disk",
            config=f"{config}:SizeOptions",
            gives={"size_on_disk": ("bytes", False)},
            sub_types={"bytes": "size_on_disk"},
            opens_model=False,
            estimate=f"{run}.estimate:size_on_disk",
            cost=0,
        ),
        MetricSpec(
            name="latency",
            summary="Milliseconds for each token of an answer, and for its first; or for a run, on arrays.",
            run=f"{run}.speed:latency",
            config=f"{config}:SpeedOptions",
            gives=_LATENCY,
            requires=(NUMPY,),
            extra="train",
            renames=_TIMED,
            cost=3,
            alone=True,
        ),
        MetricSpec(
            name="throughput",
            summary="Tokens a second, of answers and of prompts; of models that take arrays, runs a second.",
            run=f"{run}.speed:throughput",
            config=f"{config}:SpeedOptions",
            gives=_THROUGHPUT,
            requires=(NUMPY,),
            extra="train",
            renames=_TIMED,
            cost=3,
            alone=True,
        ),
        MetricSpec(
            name="time_to_first_token",
            summary="Milliseconds from a prompt to the first token of its answer, the median.",
            run=f"{run}.speed:time_to_first_token",
            config=f"{config}:SpeedOptions",
            gives={"time_to_first_token_ms": ("ms", False)},
            requires=(NUMPY,),
            renames=_TIMED,
            cost=3,
            alone=True,
        ),
        MetricSpec(
            name="tokens_per_second",
            summary="Tokens of answers a second, while decoding.",
            run=f"{run}.speed:tokens_per_second",
            config=f"{config}:SpeedOptions",
            gives={"tokens_per_second": ("tokens/s", True)},
            requires=(NUMPY,),
            renames=_TIMED,
            cost=3,
            alone=True,
        ),
        MetricSpec(
            name="peak_memory",
            summary="Bytes that opening a model and running it once take; of models that take arrays.",
            run=f"{run}.arrays:peak_memory",
            config=f"{config}:PeakMemoryOptions",
            gives={"peak_memory": ("bytes", False)},
            requires=(NUMPY,),
            formats=("onnx",),
        ),
        MetricSpec(
            name="discrepancy",
            summary="How far its outputs are from those of the input model: arrays, or logits.",
            run=f"{run}.discrepancy:discrepancy",
            config=f"{config}:DiscrepancyOptions",
            gives={
                "discrepancy_largest": ("", False),
                "discrepancy_mean": ("", False),
                "discrepancy_cosine": ("", True),
                "discrepancy_top_1": ("", True),
            },
            requires=(NUMPY,),
            compares=True,
        ),
        MetricSpec(
            name="load_time",
            summary="Seconds until the model stands ready in its runtime.",
            run=f"{run}.load:load_time",
            config=f"{config}:LoadOptions",
            gives={"load_time_s": ("s", False)},
            requires=(NUMPY,),
            cost=3,
            alone=True,
        ),
    ]
