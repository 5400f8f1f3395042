"""`modelpress finetune MODEL --data train.json -o OUT`: an adapter, merged or not, without a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from modelpress.api import (
    JSONValue,
    Registry,
    Setting,
    Verbosity,
    examples,
    execute_workflow,
    json_option,
    offline_option,
    set_option,
    verbosity_options,
)
from modelpress_plugins.first_steps.compose import (
    BUILD,
    Data,
    find_method,
    input_model,
    judged,
    methods,
    tuning,
)


def _complete(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[str]:
    names = methods(Registry.load())
    return [name for name in names if name.casefold().startswith(incomplete.casefold())]


@click.command(
    "finetune",
    epilog=examples(
        "modelpress finetune phi3 --data train.json --text-template '{question} {answer}' -o phi3-mine",
        "modelpress finetune phi3 --data chats.jsonl --chat --method QLoRA --r 16 --epochs 2 -o phi3-mine",
    ),
)
@click.argument("model")
@click.option(
    "-o", "--output-dir", "--output", required=True, type=click.Path(path_type=Path),
    help="Where the model and its workflow go.",
)  # fmt: skip
@click.option(
    "-d", "--data", required=True, type=click.Path(path_type=Path),
    help="Text to learn from: json, jsonl, csv, parquet, txt.",
)  # fmt: skip
@click.option("--text-template", metavar="TEXT", help="How a row becomes text: '{question} {answer}'.")
@click.option("--chat", is_flag=True, help="Rows are conversations: `messages`, each of a role and content.")
@click.option(
    "--whole-text",
    is_flag=True,
    help="Learn the whole text.  [default: the answer alone, where there is one]",
)
@click.option("--max-seq-len", type=click.IntRange(min=2), help="Longest sample, in tokens.")
@click.option("--eval-data", type=click.Path(path_type=Path), help="A file to measure on.")
@click.option(
    "--holdout", type=click.FloatRange(0, 0.9), default=0.1, show_default=True,
    help="Without --eval-data: share of the rows to measure on instead; 0 measures nothing.",
)  # fmt: skip
@click.option(
    "--method", default="LoRA", show_default=True, metavar="NAME", shell_complete=_complete,
    help="LoRA, QLoRA, DoRA, LoHa, LoKr or another pass that trains an adapter.",
)  # fmt: skip
@click.option("--r", type=click.IntRange(min=1), help="Rank of the adapter.  [default: the method's]")
@click.option("--alpha", type=click.IntRange(min=1), help="Its change is scaled by alpha / r.")
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), help="Times that all rows are seen.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Steps, whatever --epochs says.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="The largest.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows of a step.")
@click.option(
    "--merge/--no-merge", default=True, show_default=True, help="Whether to merge it into the model."
)
@click.option(
    "--build", type=click.Choice(["fp32", "fp16", "int8", "int4"]),
    help="Build it for onnxruntime-genai, too, in this precision.",
)  # fmt: skip
@click.option(
    "--device", type=click.Choice(["cpu", "gpu"]), help="What to train on.  [default: what is here]"
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Every random choice follows from it.")
@click.option("--trust-remote-code", is_flag=True, help="Run Python code that lies in the model's folder.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help="Where finished steps are kept.")
@set_option
@offline_option
@verbosity_options
@json_option
def command(
    model: str,
    output_dir: Path,
    data: Path,
    text_template: str | None,
    chat: bool,
    whole_text: bool,
    max_seq_len: int | None,
    eval_data: Path | None,
    holdout: float,
    method: str,
    r: int | None,
    alpha: int | None,
    epochs: float | None,
    max_steps: int | None,
    learning_rate: float | None,
    batch_size: int | None,
    merge: bool,
    build: str | None,
    device: str | None,
    seed: int,
    trust_remote_code: bool,
    cache_dir: Path | None,
    settings: Sequence[Setting],
    offline: bool,
    verbosity: Verbosity,
    as_json: bool,
) -> None:
    """Fine-tune MODEL (a folder, or the id of a model on the hub) on a file of data.

    The model is left with the adapter, and with `workflow.yaml`, which makes both again; what else the passes
    can is set there, or here: --set passes.finetune.training_args.warmup_steps=20
    """
    if build and not merge:
        raise click.UsageError("--build takes a merged model: leave out --no-merge.")
    rows = Data(
        file=data,
        text_template=text_template,
        chat=chat,
        held_out=eval_data or holdout,
        whole_text=whole_text,
        max_seq_len=max_seq_len,
    )
    training: dict[str, JSONValue] = {
        "num_train_epochs": epochs,
        "max_steps": max_steps,
        "learning_rate": learning_rate,
        "per_device_train_batch_size": batch_size,
    }
    passes = tuning(find_method(Registry.load(), method), {"r": r, "alpha": alpha}, training, merge=merge)
    if build:
        passes[BUILD] = {"type": "ModelBuilder", "precision": build}
    workflow: dict[str, JSONValue] = {
        "input_model": input_model(model, Path.cwd(), trust_remote_code=trust_remote_code),
        "data_configs": list(rows.sections()),
        "passes": passes,
        "seed": seed,
        **judged(rows.metrics(), compared=True),
    }
    if device:
        workflow["systems"] = {"here": {"type": "LocalSystem", "accelerators": [{"device": device}]}}
        workflow["host"] = "here"
    execute_workflow(
        workflow,
        settings=settings,
        output_dir=output_dir,
        cache_dir=cache_dir,
        offline=offline,
        verbosity=verbosity,
        as_json=as_json,
        leave_workflow=True,
    )
