"""What can be said before any training: options that do not fit together or the model, size, memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isqrt, prod

from modelpress.api import Checkpoint, ModelFacts, PlanContext, UserError
from modelpress_plugins.hf.config import ModelConfig
from modelpress_plugins.hf.families import is_linear
from modelpress_plugins.hf.files import require_tokenizer
from modelpress_plugins.hf.tied import embedding_of, is_tied
from modelpress_plugins.lora.config import (
    AdapterConfig,
    DoRAConfig,
    LoHaConfig,
    LoKrConfig,
    LoRAConfig,
    LowRankConfig,
    QLoRAConfig,
)
from modelpress_plugins.lora.targets import ALL_LINEAR, is_named, joined_experts, last_names, unmatched

Shapes = Mapping[str, tuple[int, ...]]
"""Module path -> shape of its weight, (out, in) for a linear layer."""

_RUNTIME = 600 * 2**20  # torch, transformers and peft themselves
_BYTES = {"auto": 4, "float32": 4, "float16": 2, "bfloat16": 2}
_TRAINING_BYTES = 16  # of a trained parameter: float32 value, gradient, and Adam's two moments


def plan(model: ModelFacts, config: AdapterConfig, ctx: PlanContext) -> ModelFacts:
    _check_evaluation(config, ctx)
    _check_pattern(config, ctx)
    require_tokenizer(model, ctx)
    _check_model(model, ctx)
    shapes = _matrices(model)
    if shapes:
        _check_targets(config, shapes, ctx)
    _check_experts(config, model, ctx)
    trained = _trained_parameters(config, shapes, model)
    ctx.needs(memory=_RUNTIME + _base_bytes(config, model, ctx) + trained * _TRAINING_BYTES)
    return ModelFacts(
        format="hf-adapter", config=model.config, size=trained * 4, meta=model.meta, base=replace(model)
    )


def _check_evaluation(config: AdapterConfig, ctx: PlanContext) -> None:
    size, given = config.eval_dataset_size, config.training_args
    if size is not None and size > 1 and size != int(size):
        ctx.problem(
            f"eval_dataset_size is {size}: neither a share below 1 nor a whole count of rows.",
            option="eval_dataset_size",
        )
    if size is not None and config.eval_data_config is not None:
        ctx.problem(
            "Both eval_data_config and eval_dataset_size are given.",
            "Keep one: the first names other data, the second cuts the training data.",
            option="eval_dataset_size",
        )
    evaluates = given.eval_strategy not in (None, "no") or given.load_best_model_at_end
    if evaluates and size is None and config.eval_data_config is None:
        ctx.problem(
            "Evaluation is asked for, but there is no data for it.",
            "Set eval_dataset_size (0.1, say) or eval_data_config.",
            option="training_args.eval_strategy" if given.eval_strategy else "training_args",
        )
    for role in ("train", "eval"):
        facts = ctx.data(role)
        if facts is not None and facts.rows == 0:
            ctx.problem("The data set has no rows.", option=f"{role}_data_config")


def _check_pattern(config: AdapterConfig, ctx: PlanContext) -> None:
    try:
        if isinstance(config.target_modules, str):
            re.compile(config.target_modules)
    except re.error as error:
        ctx.problem(
            f"target_modules is no valid regular expression: {error}.",
            "Write names as a list, [qkv_proj, o_proj].",
            option="target_modules",
        )


def _check_model(model: ModelFacts, ctx: PlanContext) -> None:
    task = model.meta.task or "text-generation"
    if task not in ("text-generation", "text-generation-with-past"):
        ctx.problem(f"The model's task is {task}; adapters are trained for text-generation only.")
    if kind := ModelConfig(model.config).other_kind:
        ctx.problem(f"The model is {kind}; adapters are trained for causal language models only.")
    if method := ModelConfig(model.config).quant_method:
        ctx.problem(
            f"The model is quantized already ({method}).",
            "Train on the float model and quantize after the merge; QLoRA saves memory while training.",
        )


def _check_targets(config: AdapterConfig, shapes: Shapes, ctx: PlanContext) -> None:
    # A regular expression is left to the training: transformers may give modules other prefixes on loading.
    targets = config.target_modules
    if isinstance(targets, str):
        return
    lost = unmatched(targets, shapes)
    if len(lost) == len(targets):
        ctx.problem(
            f"No module of the model is named {' or '.join(lost)}.",
            f"It has {last_names(shapes)}.",
            option="target_modules",
        )
    elif lost:
        ctx.note(f"No module of the model is named {' or '.join(lost)}; the others get their adapter.")


def _check_experts(config: AdapterConfig, model: ModelFacts, ctx: PlanContext) -> None:
    experts = ModelConfig(model.config).family.experts
    if not isinstance(config, LowRankConfig) or not joined_experts(config.target_modules, experts):
        return
    where = "on experts, of which transformers makes one parameter"
    if isinstance(config, DoRAConfig) or (isinstance(config, LoRAConfig) and config.use_dora):
        ctx.problem(
            f"peft has no DoRA {where}.",
            "Use LoRA, or name target_modules without them: [q_proj, k_proj, v_proj, o_proj].",
            option="target_modules",
        )
    elif config.lora_dropout and "lora_dropout" in config.model_fields_set:
        ctx.problem(f"peft has no dropout {where}.", "Set lora_dropout to 0.", option="lora_dropout")
    elif config.lora_dropout:
        ctx.note(f"lora_dropout is 0: peft has no dropout {where}.")


def _matrices(model: ModelFacts) -> Shapes:
    """Modules with a two-dimensional weight, by the headers of the files; empty when they are not here.
    A damaged checkpoint is told by the check of its format, not here."""
    if model.path is None:
        return {}
    try:
        with Checkpoint(model.path) as checkpoint:
            infos = [checkpoint.info(name) for name in checkpoint.names()]
            config = ModelConfig(model.config)
            tied = checkpoint.info(embedding_of(checkpoint, config)) if is_tied(checkpoint, config) else None
    except (UserError, OSError):
        return {}
    found = {
        i.name.removesuffix(".weight"): i.shape
        for i in infos
        if i.name.endswith(".weight") and len(i.shape) == 2
    }
    return {**found, config.family.parts.head: tied.shape} if tied else found


def _trained_parameters(config: AdapterConfig, shapes: Shapes, model: ModelFacts) -> int:
    chosen = list(_chosen(config, shapes)) if shapes else _guessed_shapes(model)
    factor = 2 if isinstance(config, LoHaConfig) else 1
    adapter = sum(factor * config.r * (rows + columns) for rows, columns in chosen)
    if isinstance(config, LoKrConfig):
        adapter = sum(_kronecker_parameters(config, rows, columns) for rows, columns in chosen)
    in_full = config.modules_to_save or []
    return adapter + sum(prod(s) for path, s in shapes.items() if any(is_named(path, n) for n in in_full))


def _kronecker_parameters(config: LoKrConfig, rows: int, columns: int) -> int:
    """Of LoKr's two factors, as PEFT makes them: each in full or, where the rank is below half of its longer
    side, as a product of rank r."""
    row_factors = _near_factors(rows, config.decompose_factor)
    column_factors = _near_factors(columns, config.decompose_factor)
    total = 0
    for index, may_be_low in enumerate((config.decompose_both, True)):
        height, width = row_factors[index], column_factors[index]
        low = may_be_low and config.r < max(height, width) / 2
        total += config.r * (height + width) if low else height * width
    return total


def _near_factors(number: int, wanted: int) -> tuple[int, int]:
    """(smaller, larger) with this product: the smaller is `wanted` where that divides, else the largest
    divisor up to it and to the root; -1 wants the root."""
    if wanted > 0 and number % wanted == 0:
        return wanted, number // wanted
    most = isqrt(number) if wanted == -1 else min(wanted, isqrt(number))
    smaller = max(divisor for divisor in range(1, max(most, 1) + 1) if number % divisor == 0)
    return smaller, number // smaller


def _chosen(config: AdapterConfig, shapes: Shapes) -> Iterator[tuple[int, int]]:
    for path, (rows, columns) in shapes.items():
        if _is_chosen(config.target_modules, path):
            yield rows, columns


def _is_chosen(targets: list[str] | str, path: str) -> bool:
    if targets == ALL_LINEAR:
        return is_linear(path)
    if isinstance(targets, str):
        return not unmatched(targets, [path])
    return any(is_named(path, name) for name in targets)


def _guessed_shapes(model: ModelFacts) -> list[tuple[int, int]]:
    """Those of the attention and of one feed-forward network a layer, when only config.json is known."""
    config = ModelConfig(model.config)
    hidden, wide = config.hidden_size, config.intermediate_size
    forward = 3 if config.family.gated else 2
    return ([(hidden, hidden)] * 4 + [(hidden, wide)] * forward) * config.layers


def _base_bytes(config: AdapterConfig, model: ModelFacts, ctx: PlanContext) -> int:
    parameters = model.size // ModelConfig(model.config).item_bytes
    if isinstance(config, QLoRAConfig):
        return int(parameters * 0.7)
    on_gpu = ctx.device == "gpu" and config.torch_dtype == "auto"
    return parameters * (2 if on_gpu else _BYTES[config.torch_dtype])
