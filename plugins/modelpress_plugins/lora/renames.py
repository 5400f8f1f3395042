"""Options under other names, and those of transformers' TrainingArguments that have no meaning here."""

from __future__ import annotations

from modelpress.api import Rename

_MOVED = {
    "lora_r": "r",
    "lora_alpha": "alpha",
    "training_args.evaluation_strategy": "training_args.eval_strategy",
    "training_args.warmup_ratio": "training_args.warmup_steps",
    "training_args.per_gpu_train_batch_size": "training_args.per_device_train_batch_size",
    "training_args.per_gpu_eval_batch_size": "training_args.per_device_eval_batch_size",
}

_TAKEN_OUT = {
    "The pass writes into the cache and resumes from its own checkpoints.": (
        "output_dir overwrite_output_dir resume_from_checkpoint ignore_data_skip save_only_model "
        "save_on_each_node restore_callback_states_from_checkpoint enable_jit_checkpoint save_safetensors"
    ),
    "The pass always trains, and evaluates when there is data for it.": "do_train do_eval do_predict",
    "Progress, loss and learning rate go into the events of the run.": (
        "report_to run_name project trackio_space_id trackio_bucket_id trackio_static_space_id logging_dir "
        "disable_tqdm log_level log_level_replica log_on_each_node logging_nan_inf_filter "
        "include_num_input_tokens_seen include_tokens_per_second"
    ),
    "Nothing is uploaded by a pass.": (
        "push_to_hub hub_token hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision "
        "push_to_hub_model_id push_to_hub_organization push_to_hub_token"
    ),
    "The data config decides what a sample holds.": (
        "remove_unused_columns label_names length_column_name past_index include_inputs_for_metrics"
    ),
    "Evaluation here gives the loss; an evaluator gives other metrics.": (
        "prediction_loss_only include_for_metrics batch_eval_metrics eval_do_concat_batches "
        "eval_use_gather_object eval_accumulation_steps"
    ),
    "The accelerator of the host system decides where the pass trains.": (
        "use_cpu no_cuda use_mps_device use_ipex tpu_num_cores tpu_metrics_debug place_model_on_device"
    ),
    "A pass trains in one process.": (
        "local_rank deepspeed fsdp fsdp_config fsdp_min_num_params fsdp_transformer_layer_cls_to_wrap "
        "parallelism_config accelerator_config ddp_find_unused_parameters ddp_bucket_cap_mb "
        "ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout average_tokens_across_devices "
        "dispatch_batches split_batches ray_scope xpu_backend"
    ),
    "Training is deterministic as it is.": "full_determinism",
    "transformers has it no more.": (
        "fp16_backend fp16_opt_level half_precision_backend jit_mode_eval torchdynamo "
        "use_legacy_prediction_loop mp_parameters sharded_ddp"
    ),
}

WITHOUT_DOUBLE_QUANT = Rename(
    "double_quant",
    None,
    "It belongs to QLoRA: here the base is not quantized.",
)

RENAMES: tuple[Rename, ...] = (
    *(Rename(old, new) for old, new in _MOVED.items()),
    Rename(
        "training_args.group_by_length",
        "training_args.train_sampling_strategy",
        values={True: "group_by_length", False: "random"},
    ),
    Rename("save_merged_model", None, "Add the pass MergeAdapterWeights after this one."),
    Rename("device_map", None, "The step's host says where it runs."),
    Rename("use_ort_trainer", None, "Training by onnxruntime has been given up upstream."),
    Rename("ortmodule_onnx_opset_ver", None, "Training by onnxruntime has been given up upstream."),
    Rename("allow_tf32", "training_args.tf32"),
    *(
        Rename(f"training_args.{name}", None, why)
        for why, names in _TAKEN_OUT.items()
        for name in names.split()
    ),
)
