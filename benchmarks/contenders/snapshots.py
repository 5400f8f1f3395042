"""Keep the adapter every few steps of a training, with the seconds trained so far: the same for whoever
drives transformers' Trainer. Saving is not counted. The training ends early at a limit."""

import json
import time
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback


def keep_snapshots(folder: Path, every: int, limit: float) -> None:
    """From now on, every Trainer does it. every: steps; limit: seconds."""
    plain = Trainer.train

    def train(self: Trainer, *arguments: Any, **named: Any) -> Any:
        self.add_callback(_Snapshots(folder, every, limit))
        return plain(self, *arguments, **named)

    Trainer.train = train


class _Snapshots(TrainerCallback):
    def __init__(self, folder: Path, every: int, limit: float) -> None:
        self._folder = folder
        self._every = every
        self._limit = limit
        self._trained = 0.0
        self._since = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._since = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        trained = self._trained + time.perf_counter() - self._since
        last = state.global_step >= state.max_steps or trained > self._limit
        if state.global_step % self._every and not last:
            return
        self._trained = trained
        snapshot = self._folder / f"{state.global_step:06d}"
        kwargs["model"].save_pretrained(str(snapshot))
        facts = {"step": state.global_step, "seconds": round(trained, 3)}
        (snapshot / "snapshot.json").write_text(json.dumps(facts), encoding="utf-8")
        control.should_training_stop |= last
        self._since = time.perf_counter()
