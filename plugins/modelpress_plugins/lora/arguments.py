"""From the user's training_args to transformers' TrainingArguments."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainingArguments

from modelpress.api import PassContext, UserError
from modelpress_plugins.lora.config import AdapterConfig

_DEFAULTS: dict[str, Any] = {
    "learning_rate": 2e-4,
    "logging_steps": 10,
    "logging_first_step": True,
    "train_sampling_strategy": "group_by_length",
}
_OURS: dict[str, Any] = {
    "report_to": "none",
    "disable_tqdm": True,
    "remove_unused_columns": False,
    "prediction_loss_only": True,
    "logging_nan_inf_filter": False,
}

_TOGETHER: dict[str, Any] = {"ddp_find_unused_parameters": False, "ddp_broadcast_buffers": False}
"""An adapter uses all that it trains, and has no running means."""


def trainer_arguments(
    config: AdapterConfig, ctx: PassContext, device: torch.device, dtype: torch.dtype, *, evaluates: bool
) -> TrainingArguments:
    """Raises UserError when the Trainer does not take them together."""
    given = config.training_args.given()
    on_cpu = device.type == "cpu"
    chosen = {
        **_DEFAULTS,
        "seed": ctx.seed,
        "dataloader_pin_memory": not on_cpu,
        "bf16": not on_cpu and dtype == torch.bfloat16 and not given.get("fp16", False),
        **given,
        **_OURS,
        "use_cpu": on_cpu,
        **({"ddp_backend": "gloo" if on_cpu else "nccl", **_TOGETHER} if ctx.ranks > 1 else {}),
        "output_dir": str(ctx.checkpoint),
        "save_strategy": _save_strategy(given),
        "save_total_limit": max(2, config.training_args.save_total_limit or 2),
    }
    if not evaluates:
        chosen["eval_strategy"] = "no"
    try:
        arguments = TrainingArguments(**chosen)
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(f"The Trainer does not take these training_args: {error}") from error
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # or the Trainer would copy the model to all GPUs in this one process
    return arguments


def global_batch(arguments: TrainingArguments) -> int:
    """Samples that one step sees, of all processes together."""
    size: int = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
    return size


def saves_by_time(config: AdapterConfig) -> bool:
    """Whether it is left to the pass when to save."""
    return not {"save_strategy", "save_steps"} & set(config.training_args.given())


def _save_strategy(given: dict[str, Any]) -> str:
    strategy: str = given.get("save_strategy", "steps" if "save_steps" in given else "no")
    return strategy
