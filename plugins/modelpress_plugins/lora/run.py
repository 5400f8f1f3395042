"""Train an adapter: transformers' Trainer on the samples that the data config gives, peft for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, LoraRuntimeConfig, PeftConfig, TaskType
from transformers import PreTrainedModel, TrainingArguments, set_seed

from modelpress.api import (
    Artifact,
    DataSource,
    JSONValue,
    Meta,
    MissingDependencyError,
    PassContext,
    PassError,
    SampleTable,
    UserError,
)
from modelpress_plugins.hf.config import read_config
from modelpress_plugins.hf.files import copy_licence, copy_tokenizer
from modelpress_plugins.hf.ids import HfTokenizer
from modelpress_plugins.hf.tokenizer import load_tokenizer
from modelpress_plugins.hf.torch_device import torch_device
from modelpress_plugins.lora import config as options
from modelpress_plugins.lora.arguments import global_batch, saves_by_time, trainer_arguments
from modelpress_plugins.lora.attach_adapter import attach_adapter, check_targets
from modelpress_plugins.lora.frozen_base import open_base, quantization, training_dtype
from modelpress_plugins.lora.process_state import freed, quiet, repeatable
from modelpress_plugins.lora.samples import HeldSamples, TrainingSamples
from modelpress_plugins.lora.save import check_finite, save_config, save_weights
from modelpress_plugins.lora.targets import joined_experts
from modelpress_plugins.lora.train_adapter import train_adapter


def lora(model: Artifact, config: options.LoRAConfig, ctx: PassContext) -> Artifact:
    return _train(model, config, ctx, _low_rank(model, config, use_dora=config.use_dora))


def qlora(model: Artifact, config: options.QLoRAConfig, ctx: PassContext) -> Artifact:
    return _train(model, config, ctx, _low_rank(model, config, use_dora=config.use_dora))


def dora(model: Artifact, config: options.DoRAConfig, ctx: PassContext) -> Artifact:
    return _train(model, config, ctx, _low_rank(model, config, use_dora=True))


def loha(model: Artifact, config: options.LoHaConfig, ctx: PassContext) -> Artifact:
    return _train(model, config, ctx, LoHaConfig(**_common(config), **_product(config)))


def lokr(model: Artifact, config: options.LoKrConfig, ctx: PassContext) -> Artifact:
    method = LoKrConfig(
        **_common(config),
        **_product(config),
        decompose_both=config.decompose_both,
        decompose_factor=config.decompose_factor,
        rank_dropout_scale=config.rank_dropout_scale,
    )
    return _train(model, config, ctx, method)


def _low_rank(model: Artifact, config: options.LowRankConfig, *, use_dora: bool) -> LoraConfig:
    on_experts = joined_experts(config.target_modules, read_config(model.path).family.experts)
    return LoraConfig(
        **_common(config),
        lora_alpha=config.alpha,
        lora_dropout=0.0 if on_experts else config.lora_dropout,  # peft has none on parameters
        bias=config.bias,
        use_rslora=config.use_rslora,
        init_lora_weights=config.init_lora_weights,
        use_dora=use_dora,
        runtime_config=LoraRuntimeConfig(ephemeral_gpu_offload=config.ephemeral_gpu_offload),
    )


def _common(config: options.AdapterConfig) -> dict[str, Any]:
    return {
        "task_type": TaskType.CAUSAL_LM,
        "r": config.r,
        "target_modules": config.target_modules,
        "exclude_modules": config.exclude_modules,
        "layers_to_transform": config.layers_to_transform,
        "layers_pattern": config.layers_pattern,
        "modules_to_save": config.modules_to_save,
        "rank_pattern": dict(config.rank_pattern),
        "alpha_pattern": dict(config.alpha_pattern),
    }


def _product(config: options.LoHaConfig | options.LoKrConfig) -> dict[str, Any]:
    return {
        "alpha": config.alpha,
        "rank_dropout": config.rank_dropout,
        "module_dropout": config.module_dropout,
        "use_effective_conv2d": config.use_effective_conv2d,
        "init_weights": config.init_weights,
    }


def _train(model: Artifact, config: options.AdapterConfig, ctx: PassContext, method: PeftConfig) -> Artifact:
    if config.num_workers > 1 and ctx.ranks == 1:
        return ctx.in_ranks(config.num_workers)
    device = torch_device(ctx.device)
    try:
        with freed(), quiet(), repeatable(device):
            return _train_here(model, config, ctx, method, device)
    except torch.OutOfMemoryError as error:
        raise PassError(
            f"The GPU has not enough memory to train: {error}",
            "Lower training_args.per_device_train_batch_size or the data's max_seq_len, set "
            "training_args.gradient_checkpointing, or use QLoRA.",
        ) from error
    except ImportError as error:  # an optimizer, say, that another library brings
        raise MissingDependencyError(f"Training needs a library that is not installed: {error}") from error
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _train_here(
    model: Artifact, config: options.AdapterConfig, ctx: PassContext, method: PeftConfig, device: torch.device
) -> Artifact:
    tokenizer = load_tokenizer(model)
    dtype = training_dtype(config.torch_dtype, device)
    source = ctx.data("train")
    evaluates = config.eval_data_config is not None or config.eval_dataset_size is not None
    arguments = trainer_arguments(config, ctx, device, dtype, evaluates=evaluates)
    train, evaluation = _samples(source, config, ctx, tokenizer, arguments)
    bits = quantization(config, dtype, device)
    base = open_base(model, dtype, device, bits)
    _check_fit(base, train, ctx)
    check_targets(base, config, ctx)
    set_seed(arguments.seed)  # the adapter's first values are drawn from it
    adapted = attach_adapter(base, method, arguments, in_bits=bits is not None)
    ctx.report("trainable_parameters", adapted.get_nb_trainable_parameters()[0])
    pad = tokenizer.pad_token_id or 0
    train_adapter(adapted, arguments, train, evaluation, ctx, pad=pad, save_by_time=saves_by_time(config))
    check_finite(adapted)
    save_weights(adapted, ctx.out)
    save_config(adapted.active_peft_config, model, ctx.out)
    copy_tokenizer(model, ctx.out)
    copy_licence(model.path, ctx.out)
    facts: dict[str, JSONValue] = {"dtype": str(dtype).removeprefix("torch.")}
    if bits:
        facts["quantization"] = bits
    return ctx.artifact("hf-adapter", base=model, meta=_meta(model, source, facts))


def _samples(
    source: DataSource,
    config: options.AdapterConfig,
    ctx: PassContext,
    tokenizer: HfTokenizer,
    arguments: TrainingArguments,
) -> tuple[TrainingSamples, TrainingSamples | None]:
    """(train, evaluation). Raises UserError when there is nothing to learn from."""
    evaluation = None
    if config.eval_data_config is not None:
        evaluation = ctx.data("eval")
    elif config.eval_dataset_size is not None:
        args = config.training_args
        seeds = (seed for seed in (args.data_seed, args.seed, ctx.seed) if seed is not None)
        source, evaluation = source.split(config.eval_dataset_size, next(seeds))
    train = _learnable(source, "train", ctx, tokenizer, *_needed(arguments))
    return train, _learnable(evaluation, "evaluation", ctx, tokenizer) if evaluation is not None else None


def _needed(arguments: TrainingArguments) -> tuple[int | None, int | None]:
    """(samples that the steps can see at most, None when their number is not fixed; the seed that draws them,
    None when they are taken in order)."""
    if arguments.max_steps <= 0:
        return None, None
    batch = global_batch(arguments)
    in_order = arguments.train_sampling_strategy == "sequential"
    seed = arguments.data_seed if arguments.data_seed is not None else arguments.seed
    return arguments.max_steps * batch, None if in_order else seed


def _learnable(
    source: DataSource,
    use: str,
    ctx: PassContext,
    tokenizer: HfTokenizer,
    limit: int | None = None,
    seed: int | None = None,
) -> TrainingSamples:
    found = source.samples(tokenizer, limit, seed)
    table = found if isinstance(found, SampleTable) else HeldSamples(found)
    samples = TrainingSamples(table)
    skipped = table.skipped if isinstance(table, HeldSamples) else 0
    if len(samples) == 0:
        lost = f": {skipped} have no label." if skipped else "."
        raise UserError(
            f"{source.name} gives no sample for {use}{lost}",
            "Look at it with `modelpress data preview`; max_seq_len may have cut the labels off.",
        )
    if skipped:
        ctx.note(f"{skipped} {use} samples without a label were left out; {len(samples)} remain.")
    return samples


def _check_fit(base: PreTrainedModel, train: TrainingSamples, ctx: PassContext) -> None:
    """The tokenizer must not know more ids than the model; longer samples than it was made for are told."""
    vocabulary = base.config.get_text_config().vocab_size
    if train.highest_id >= vocabulary:
        raise UserError(
            f"The tokenizer gives id {train.highest_id}, but the model knows ids below {vocabulary} only.",
            "Tokenizer and model do not belong together.",
        )
    positions = getattr(base.config, "max_position_embeddings", None)
    longest = max(train.lengths)
    if positions and longest > positions:
        ctx.note(f"The longest sample has {longest} tokens; the model was made for {positions}.")


def _meta(model: Artifact, source: DataSource, facts: Mapping[str, JSONValue]) -> Meta:
    """What of the base's meta holds for the adapter, too; and how a prompt looked in training."""
    return Meta(
        task=model.meta.task,
        prompt_template=source.prompt_template or "",
        trust_remote_code=model.meta.trust_remote_code,
        extra=facts,
    )
