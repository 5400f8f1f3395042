"""Write what TensorBoard reads, by tensorboardX: a small library that needs neither torch nor TensorFlow."""

from __future__ import annotations

import json
import math
from pathlib import Path

from tensorboardX import SummaryWriter

from modelpress.api import CandidateRecord, Observed, RunRecord, StepRecord
from modelpress_plugins.observers.config import TensorBoardOptions
from modelpress_plugins.observers.watch import Scalar, Watch, cost_of, facts_of, options_of


def watch(options: TensorBoardOptions, run: Observed) -> Watch:
    folder = run.folder / options.folder / run.id
    run.tell(f"TensorBoard: tensorboard --logdir {folder.parent}")
    return Watch(run, _Files(folder))


class _Files:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer = SummaryWriter(str(folder), flush_secs=5)

    def step(self, step: StepRecord) -> None:
        for name, value in {**cost_of(step), **step.metrics}.items():
            self._writer.add_scalar(name, value, 0)
        self._writer.add_text(f"{step.name}/options", _as_text(options_of(step)), 0)

    def number(self, name: str, value: float, at: int) -> None:
        self._writer.add_scalar(name, value, at)

    def candidate(self, candidate: CandidateRecord) -> None:
        """As a run of its own below this one: TensorBoard compares them by their choices."""
        numbers = {n: v for n, v in candidate.metrics.items() if v is not None and math.isfinite(v)}
        choices = {name: _plain(value) for name, value in candidate.choices.items()}
        name = f"candidate-{candidate.number}"
        self._writer.add_hparams(choices, {**numbers, "seconds": candidate.seconds}, name=name)
        if candidate.error:
            self._writer.add_text(f"{name}/error", candidate.error.message, candidate.number)

    def end(self, run: RunRecord) -> None:
        self._writer.add_text("run", _as_text(facts_of(run)), 0)
        self._writer.close()


def _as_text(facts: dict[str, Scalar]) -> str:
    return "```\n" + json.dumps(facts, indent=1, ensure_ascii=False) + "\n```"


def _plain(value: object) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else str(value)
