"""One training, from the last complete checkpoint or from the start, to its end."""

from __future__ import annotations

import inspect
from pathlib import Path

from peft import PeftModel, load_peft_weights, set_peft_model_state_dict
from transformers import PreTrainedModel, TrainerState, TrainingArguments

from modelpress.api import PassContext
from modelpress_plugins.lora.arguments import global_batch
from modelpress_plugins.lora.checkpoints import SavedStep, last_complete
from modelpress_plugins.lora.samples import Batches, EpochOrder, TrainingSamples
from modelpress_plugins.lora.trainer import AdapterTrainer, Watch


def train_adapter(
    model: PeftModel,
    arguments: TrainingArguments,
    train: TrainingSamples,
    evaluation: TrainingSamples | None,
    ctx: PassContext,
    *,
    pad: int,
    save_by_time: bool,
) -> None:
    """Train the adapter in place. The last loss on the evaluation data is reported at the end in any case."""
    order = _order(arguments, train)
    batches = Batches(pad, trim=_takes_trimmed_batches(model, arguments))
    trainer = AdapterTrainer(
        model,
        order,
        args=arguments,
        train_dataset=train,
        eval_dataset=evaluation,
        data_collator=batches,
        callbacks=[Watch(ctx, order, batches, save_by_time=save_by_time)],
    )
    ctx.checkpoint.mkdir(parents=True, exist_ok=True)
    saved = last_complete(ctx.checkpoint, ctx.note)
    if saved:
        ctx.note(f"Training goes on from step {saved.step}.")
    if saved and saved.finished:
        _load(model, _best(saved) if arguments.load_best_model_at_end else saved.folder)
    else:
        trainer.train(resume_from_checkpoint=str(saved.folder) if saved else None)
    if evaluation is not None and not _evaluated_last(trainer):
        trainer.evaluate()


def _order(arguments: TrainingArguments, train: TrainingSamples) -> EpochOrder:
    seed = arguments.seed if arguments.data_seed is None else arguments.data_seed
    return EpochOrder(train.lengths, arguments.train_sampling_strategy, seed, global_batch(arguments))


def _takes_trimmed_batches(model: PeftModel, arguments: TrainingArguments) -> bool:
    """Whether the model computes logits at chosen positions and takes labels that are shifted already."""
    base = model.get_base_model()
    another_loss = arguments.label_smoothing_factor or arguments.use_liger_kernel
    if another_loss or not isinstance(base, PreTrainedModel):
        return False
    parameters = inspect.signature(base.forward).parameters
    takes_rest = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return "logits_to_keep" in parameters and takes_rest and base.loss_type == "ForCausalLM"


def _evaluated_last(trainer: AdapterTrainer) -> bool:
    """Whether the weights as they are now have been evaluated in this run."""
    state = trainer.state
    return any("eval_loss" in entry and entry["step"] == state.max_steps for entry in state.log_history)


def _best(saved: SavedStep) -> Path:
    """The checkpoint that was best by the Trainer's measure; the last when none was."""
    state = TrainerState.load_from_json(str(saved.folder / "trainer_state.json"))
    best = saved.folder.with_name(f"checkpoint-{state.best_global_step}")
    return best if best.is_dir() else saved.folder


def _load(model: PeftModel, checkpoint: Path) -> None:
    set_peft_model_state_dict(model, load_peft_weights(str(checkpoint), device="cpu"))
