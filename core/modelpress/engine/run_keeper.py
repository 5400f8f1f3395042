"""Keeps the record and the log of a run while it goes: in the cache's `runs/ID/`, and as `run.json`.

The record is written after each task, so that a run that is killed is remembered too.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from modelpress import version
from modelpress.artifact import Artifact
from modelpress.context import ModelFacts
from modelpress.engine.goals import Judgement
from modelpress.engine.job import ErrorRecord
from modelpress.engine.ownership import RECORD, record_obstacle
from modelpress.engine.plan import Plan
from modelpress.engine.record import RunRecord, Status, StepRecord
from modelpress.engine.run_log import RunLog
from modelpress.engine.search.record import SearchRecord
from modelpress.errors import Interrupted, ModelpressError, UserError
from modelpress.json_types import JSONValue
from modelpress.records import VERSION, read_record, to_json, write_record


class RunKeeper:
    """The record of one run, from its start to its end."""

    def __init__(self, plan: Plan, runs: Path, output_dir: Path | None) -> None:
        workflow = plan.workflow
        now = datetime.now(UTC)
        # In the order of time, and of two that begin at once none takes the place of the other.
        name = f"{now:%Y%m%d-%H%M%S-%f}{uuid4().hex[:2]}"
        self._folder = runs / name
        self._folder.mkdir(parents=True)
        self._output_dir = output_dir
        self._begun = time.monotonic()
        self.log = RunLog(self._folder / "log.txt")
        self.record = RunRecord(
            id=name,
            workflow_id=workflow.workflow_id,
            workflow=str(workflow.path or ""),
            settings=workflow.settings,
            status="running",
            started=now.isoformat(timespec="seconds"),
            seconds=0.0,
            modelpress=version.VERSION,
            python=platform.python_version(),
            platform=platform.platform(),
            host=platform.node(),
            process=os.getpid(),
            log=str(self.log.path),
            cache=str(runs.parent),
            output_dir=str(output_dir or ""),
            seed=workflow.seed,
            input_model=_told_of(plan.model),
            translations=[str(t) for t in workflow.translations],
        )
        self._write()

    @property
    def path(self) -> Path:
        """Where the record is kept while the run goes."""
        return self._folder / RECORD

    def planned(self, plan: Plan) -> None:
        """The input model is here: what it is was not known in full before."""
        self.record = replace(self.record, input_model=_told_of(plan.model))
        self._write()

    def add(self, step: StepRecord) -> None:
        """A task is done. metrics are those of the last model."""
        before = {} if step.kind == "pass" else self.record.metrics
        metrics = before if step.baseline else {**before, **step.metrics}
        known = {**self.record.intervals, **step.intervals}
        of_input = step.metrics if step.baseline else {}
        self.record = replace(
            self.record,
            steps=[*self.record.steps, step],
            metrics=metrics,
            intervals={name: known[name] for name in metrics if name in known},
            input_metrics={**self.record.input_metrics, **of_input},
            goals=[*self.record.goals, *step.goals],
        )
        self._write()

    def searched(self, search: SearchRecord) -> None:
        """A search has got further."""
        self.record = replace(self.record, search=search)
        self._write()

    def made(self, artifact: Artifact) -> None:
        """The last model is where it goes."""
        self.record = replace(self.record, artifact=artifact)

    def finish(self) -> Path | None:
        """All is done. Returns the `run.json` in output_dir, if this record is there."""
        return self._end("finished")

    def fail(self, error: BaseException) -> None:
        """The run ends with an error. What output_dir says of a finished model is left as it is."""
        known = error if isinstance(error, ModelpressError) else ModelpressError(str(error) or repr(error))
        told = ErrorRecord(type(error).__name__, known.message, known.hint)
        self.record = replace(self.record, error=told)
        stopped = isinstance(error, Interrupted | KeyboardInterrupt)
        with suppress(OSError, UserError):  # what went wrong is told in any case, on a full disk too
            self._end("interrupted" if stopped else "failed")

    def as_json(self) -> dict[str, JSONValue]:
        """The record as it stands in `run.json`."""
        return {"version": VERSION, **to_json(self.record)}

    def _end(self, status: Status) -> Path | None:
        """Write it a last time. Returns the file in output_dir, if one was written."""
        self.record = replace(self.record, status=status)
        self._write()
        if not self._output_dir or not self._says_more(self._output_dir):
            return None
        file = self._output_dir / RECORD
        self._write_output(file)
        return file

    def close(self) -> None:
        """Nothing more will be told."""
        self.log.close()

    def _write_output(self, target: Path) -> None:
        if reason := record_obstacle(target):
            raise UserError(f"The run's record was not written: {target} {reason}.", "Move it away.")
        target.parent.mkdir(parents=True, exist_ok=True)
        write_record(target, self.record)

    def _says_more(self, output_dir: Path) -> bool:
        """Whether this record may take the place of the one in output_dir: that of a model which is there is
        not replaced by that of a run which made none."""
        if self.record.artifact or not (output_dir / "model").exists():
            return True
        try:
            return read_record(RunRecord, output_dir / RECORD).artifact is None
        except (OSError, ValueError):
            return not (output_dir / RECORD).exists()

    def _write(self) -> None:
        self.record = replace(self.record, seconds=round(time.monotonic() - self._begun, 3))
        write_record(self._folder / RECORD, self.record)


def _told_of(model: ModelFacts) -> dict[str, str]:
    return {"identity": model.identity, "format": model.format}


def missed(goals: Sequence[Judgement]) -> list[str]:
    """A line for each goal that is missed."""
    return [f"{goal.metric}: {goal.number} {goal.value:.6g}, {goal}" for goal in goals if not goal.met]
