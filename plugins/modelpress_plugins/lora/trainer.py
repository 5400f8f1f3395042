"""transformers' Trainer for an adapter, and what watches it: progress, numbers, checkpoints."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.nn import Module
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from modelpress.api import PassContext, PassError, SampleTable
from modelpress_plugins.lora.checkpoints import mark_complete
from modelpress_plugins.lora.samples import Batches, EpochOrder
from modelpress_plugins.lora.save import NOT_FINITE_HINT, save_weights

_SAVE_EVERY = 30.0
"""Seconds between checkpoints, when the user does not say: what a killed run may lose."""
_SAVE_SHARE = 0.05
"""The share of the time that saving may take; a big adapter on a slow disk is saved less often."""


class AdapterTrainer(Trainer):
    """Resumes to the same bits, saves the adapter alone, stops when the loss is no number."""

    def __init__(self, model: PeftModel, order: EpochOrder, **options: Any) -> None:
        super().__init__(model=model, **options)
        self._adapted = model
        self._order = order
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: object = None) -> EpochOrder:
        return self._order

    def _get_eval_sampler(self, eval_dataset: SampleTable) -> list[int]:  # type: ignore[override]
        lengths = eval_dataset.lengths  # like beside like: the least padding
        return sorted(range(len(lengths)), key=lengths.__getitem__)

    def compute_loss(self, model: Module, inputs: dict[str, Any], *args: Any, **options: Any) -> Any:
        result = super().compute_loss(model, inputs, *args, **options)
        loss = result[0] if isinstance(result, tuple) else result
        if loss.device.type == "cpu":  # on a GPU looking would wait for it; there the log notices
            check_number("loss", float(loss.detach()), self.state.global_step)
        return result

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        # A data loader draws from the global generator; a run that resumes just after an evaluation must
        # find it as if there had been none.
        with torch.random.fork_rng():
            return super().evaluate(*args, **options)

    def floating_point_ops(self, inputs: object) -> int:
        return 0  # counted by walking all parameters at each step, and reported nowhere

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        save_weights(self._adapted, Path(output_dir or str(self.args.output_dir)))


class Watch(TrainerCallback):
    """Tells the run how the training goes, and decides when to save unless the user has."""

    def __init__(self, ctx: PassContext, order: EpochOrder, batches: Batches, *, save_by_time: bool) -> None:
        self._ctx = ctx
        self._order = order
        self._batches = batches
        self._save_by_time = save_by_time
        self._began = self._stepped_at = self._saved_at = time.monotonic()
        self._saving_took = 0.0
        self._tokens_at_step = 0
        self._tokens_evaluated = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self._began = self._stepped_at = self._saved_at = time.monotonic()
        self._ctx.progress(state.global_step, state.max_steps, "steps")

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self._order.epoch = int(state.epoch or 0)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self._ctx.progress(state.global_step, state.max_steps, "steps")
        self._tokens_at_step = self._batches.tokens
        self._stepped_at = now = time.monotonic()
        pause = max(_SAVE_EVERY, self._saving_took / _SAVE_SHARE)
        if self._save_by_time and _agreed(now - self._saved_at >= pause, self._ctx.ranks):
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        mark_complete(folder, state.global_step, finished=state.global_step >= state.max_steps)
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - self._stepped_at

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        check_number("loss", logs["loss"], state.global_step)
        if not args.fp16:  # there the scaler drops a step whose gradient overflows
            check_number("gradient norm", logs.get("grad_norm", 0.0), state.global_step)
        tokens = self._batches.tokens - self._tokens_evaluated
        speed = tokens / max(time.monotonic() - self._began, 1e-9)  # since the start
        self._ctx.report("loss", round(logs["loss"], 6))
        self._ctx.report("learning_rate", logs["learning_rate"])
        self._ctx.report("tokens_per_second", round(speed, 1))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        if metrics and "eval_loss" in metrics:
            self._ctx.report("eval_loss", round(metrics["eval_loss"], 6))
        # what has gone by since the last step was evaluation: no part of the training's speed
        self._began += time.monotonic() - self._stepped_at
        self._tokens_evaluated += self._batches.tokens - self._tokens_at_step


def _agreed(wish: bool, ranks: int) -> bool:
    """The first process decides for all: each has to save at the same step, or they would wait for ever."""
    if ranks == 1:
        return wish
    decision = torch.tensor([int(wish)])
    if torch.distributed.get_backend() == "nccl":
        decision = decision.cuda()
    torch.distributed.broadcast(decision, src=0)
    return bool(decision.item())


def check_number(what: str, value: float, step: int) -> None:
    """Raises PassError when the training has come apart."""
    if not math.isfinite(value):
        raise PassError(f"The {what} became {value} at step {step + 1}.", NOT_FINITE_HINT)
