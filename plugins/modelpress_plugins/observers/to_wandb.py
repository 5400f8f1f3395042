"""Keep runs for Weights & Biases (github.com/wandb/wandb). Nothing is sent unless the user says `online`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from modelpress.api import CandidateRecord, Observed, RunRecord, StepRecord, UserError
from modelpress_plugins.observers.config import WandBOptions
from modelpress_plugins.observers.watch import Watch, cost_of, facts_of, options_of

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its makers would be told of each fault
os.environ.setdefault("WANDB_SILENT", "true")

import wandb


def watch(options: WandBOptions, run: Observed) -> Watch:
    """Raises UserError where it would be sent in a run without network."""
    if run.offline and options.mode == "online":
        raise UserError("The run is --offline, and `mode: online` would send it.", "Set `mode: offline`.")
    return Watch(run, _Runs(options, run))


class _Runs:
    def __init__(self, options: WandBOptions, run: Observed) -> None:
        self._options = options
        self._name = run.id
        self._folder = run.folder
        self._run = self._begin(run.id, "run", {})

    def step(self, step: StepRecord) -> None:
        self._run.config.update(options_of(step), allow_val_change=True)
        self._run.summary.update({**cost_of(step), **step.metrics})

    def number(self, name: str, value: float, at: int) -> None:
        self._run.log({name: value, f"{name.rpartition('/')[0]}/at": at})

    def candidate(self, candidate: CandidateRecord) -> None:
        """A run of its own in the group of this one."""
        child = self._begin(f"candidate {candidate.number}", "candidate", dict(candidate.choices))
        child.summary.update({n: v for n, v in candidate.metrics.items() if v is not None})
        child.summary["seconds"] = candidate.seconds
        if candidate.error:
            child.summary["error"] = candidate.error.message
        child.finish(exit_code=1 if candidate.status == "failed" else 0)

    def end(self, run: RunRecord) -> None:
        self._run.config.update(facts_of(run), allow_val_change=True)
        self._run.summary.update(dict(run.metrics))
        self._run.finish(exit_code=0 if run.status == "finished" else 1)

    def _begin(self, name: str, kind: str, config: dict[str, Any]) -> Any:
        return wandb.init(
            project=self._options.project,
            entity=self._options.entity,
            mode=self._options.mode,
            dir=str(Path(self._folder)),
            name=name,
            group=self._name,
            job_type=kind,
            config=config,
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True, disable_git=True, x_disable_stats=True),
        )
