"""What `training_args` may hold: transformers' TrainingArguments, less what the pass itself decides.

Written down here so that a workflow is checked without importing transformers; a test compares the names,
types and choices with those of the installed version.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from modelpress.api import Options

Optimizer = Literal[
    "adafactor", "adagrad", "adalomo", "adamw_8bit", "adamw_anyprecision", "adamw_bnb_8bit", "adamw_torch",
    "adamw_torch_4bit", "adamw_torch_8bit", "adamw_torch_fused", "adamw_torch_npu_fused", "adamw_torch_xla",
    "ademamix", "ademamix_8bit", "apollo_adamw", "apollo_adamw_layerwise", "galore_adafactor",
    "galore_adafactor_layerwise", "galore_adamw", "galore_adamw_8bit", "galore_adamw_8bit_layerwise",
    "galore_adamw_layerwise", "grokadamw", "lion_32bit", "lion_8bit", "lomo", "paged_adamw_32bit",
    "paged_adamw_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit", "paged_lion_32bit", "paged_lion_8bit",
    "rmsprop", "rmsprop_bnb", "rmsprop_bnb_32bit", "rmsprop_bnb_8bit", "schedule_free_adamw",
    "schedule_free_radam", "schedule_free_sgd", "sgd", "stable_adamw",
]  # fmt: skip

Schedule = Literal[
    "constant", "constant_with_warmup", "cosine", "cosine_warmup_with_min_lr", "cosine_with_min_lr",
    "cosine_with_restarts", "greedy", "inverse_sqrt", "linear", "polynomial", "reduce_lr_on_plateau",
    "warmup_stable_decay",
]  # fmt: skip


class TrainingArgs(Options):
    """Arguments of transformers' Trainer. One that is left out keeps the Trainer's own default, but for
    learning_rate, logging_steps, save_strategy and train_sampling_strategy (see those)."""

    # How long
    num_train_epochs: float | None = Field(default=None, gt=0)
    max_steps: int | None = Field(default=None, description="Steps; > 0 overrides num_train_epochs.")
    per_device_train_batch_size: int | None = Field(default=None, ge=1)
    per_device_eval_batch_size: int | None = Field(default=None, ge=1)
    gradient_accumulation_steps: int | None = Field(default=None, ge=1)
    auto_find_batch_size: bool | None = None

    # Optimizer and schedule
    learning_rate: float | None = Field(default=None, gt=0, description="Here 2e-4 when left out.")
    lr_scheduler_type: Schedule | None = None
    lr_scheduler_kwargs: dict[str, object] | str | None = None
    warmup_steps: float | None = Field(default=None, ge=0, description="Steps; below 1 a share of all steps.")
    optim: Optimizer | None = None
    optim_args: str | None = None
    optim_target_modules: str | list[str] | None = None
    weight_decay: float | None = None
    adam_beta1: float | None = None
    adam_beta2: float | None = None
    adam_epsilon: float | None = None
    max_grad_norm: float | None = Field(default=None, ge=0)
    label_smoothing_factor: float | None = None
    neftune_noise_alpha: float | None = None

    # Order of the samples, and chance
    train_sampling_strategy: Literal["random", "sequential", "group_by_length"] | None = Field(
        default=None,
        description="Here group_by_length when left out: samples of like length share a batch, so that "
        "little of it is padding.",
    )
    seed: int | None = Field(default=None, ge=0, description="The run's seed when left out.")
    data_seed: int | None = Field(default=None, ge=0, description="Of order and split; seed when left out.")
    dataloader_drop_last: bool | None = None
    dataloader_num_workers: int | None = Field(default=None, ge=0)
    dataloader_pin_memory: bool | None = None
    dataloader_persistent_workers: bool | None = None
    dataloader_prefetch_factor: int | None = None
    dataloader_multiprocessing_context: str | None = None
    dataloader_in_order: bool | None = None

    # Precision, memory, speed
    bf16: bool | None = None
    fp16: bool | None = None
    bf16_full_eval: bool | None = None
    fp16_full_eval: bool | None = None
    tf32: bool | None = None
    activation_checkpointing: bool | None = None
    activation_checkpointing_kwargs: dict[str, object] | str | None = None
    gradient_checkpointing: bool | None = None
    gradient_checkpointing_kwargs: dict[str, object] | str | None = None
    torch_compile: bool | None = None
    torch_compile_backend: str | None = None
    torch_compile_mode: str | None = None
    use_liger_kernel: bool | None = None
    liger_kernel_config: dict[str, bool] | None = None
    use_cache: bool | None = None
    torch_empty_cache_steps: int | None = None
    skip_memory_metrics: bool | None = None
    debug: str | list[str] | None = None

    # When to log, evaluate and save
    logging_strategy: Literal["no", "steps", "epoch"] | None = None
    logging_steps: float | None = Field(default=None, gt=0, description="Here 10 when left out.")
    logging_first_step: bool | None = None
    eval_strategy: Literal["no", "steps", "epoch"] | None = Field(
        default=None, description="Whatever it is, the end is evaluated when there is data for it."
    )
    eval_steps: float | None = Field(default=None, gt=0)
    eval_delay: float | None = None
    eval_on_start: bool | None = None
    save_strategy: Literal["no", "steps", "epoch", "best"] | None = Field(
        default=None, description="Here a checkpoint about every half minute when left out."
    )
    save_steps: float | None = Field(default=None, gt=0)
    save_total_limit: int | None = Field(default=None, ge=1, description="At least 2 are kept.")
    load_best_model_at_end: bool | None = None
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None

    def given(self) -> dict[str, object]:
        """What the user has set."""
        return {name: value for name, value in self if value is not None}

    @model_serializer(mode="wrap")
    def _only_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {name: value for name, value in handler(self).items() if value is not None}
