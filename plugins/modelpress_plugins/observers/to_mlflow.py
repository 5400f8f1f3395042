"""Keep runs in MLflow (github.com/mlflow/mlflow): its client alone, which starts no server."""

from __future__ import annotations

import os
from collections.abc import Mapping

from modelpress.api import CandidateRecord, Observed, RunRecord, StepRecord, UserError
from modelpress_plugins.observers.config import MLflowOptions
from modelpress_plugins.observers.watch import Scalar, Watch, cost_of, facts_of, options_of

for _name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):  # from 3.2 on it tells its makers of each use
    os.environ.setdefault(_name, "true")
os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # from 3.7 on it has to be asked for folders

from mlflow.entities import Metric, Param, RunTag  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

_PARENT = "mlflow.parentRunId"
_LONGEST = 5000
"""Letters of a value that it takes."""
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED"}


def watch(options: MLflowOptions, run: Observed) -> Watch:
    """Raises UserError for a server in a run without network."""
    beside = (run.folder / "mlruns").absolute().as_uri()
    uri = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or beside
    if run.offline and uri.partition(":")[0] in ("http", "https", "databricks"):
        raise UserError(f"The run is --offline, and MLflow's server is at {uri}.")
    name = options.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.name
    return Watch(run, _Runs(MlflowClient(tracking_uri=uri), name, run))


class _Runs:
    def __init__(self, client: MlflowClient, experiment: str, run: Observed) -> None:
        self._client = client
        known = client.get_experiment_by_name(experiment)
        self._experiment = known.experiment_id if known else client.create_experiment(experiment)
        self._run = client.create_run(self._experiment, run_name=run.id).info.run_id
        self._record = run.record

    def step(self, step: StepRecord) -> None:
        self._write(self._run, {**cost_of(step), **step.metrics}, options_of(step))

    def number(self, name: str, value: float, at: int) -> None:
        self._client.log_metric(self._run, name, value, step=at)

    def candidate(self, candidate: CandidateRecord) -> None:
        tags = {_PARENT: self._run}
        name = f"candidate {candidate.number}"
        child = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
        numbers = {name: value for name, value in candidate.metrics.items() if value is not None}
        params: dict[str, Scalar] = {n: v for n, v in candidate.choices.items() if v is not None}
        self._write(child, {**numbers, "seconds": candidate.seconds}, params)
        if candidate.error:
            self._client.set_tag(child, "error", candidate.error.message[:_LONGEST])
        self._client.set_terminated(child, "FAILED" if candidate.status == "failed" else "FINISHED")

    def end(self, run: RunRecord) -> None:
        for name, value in facts_of(run).items():
            self._client.set_tag(self._run, f"modelpress.{name}", str(value)[:_LONGEST])
        self._write(self._run, run.metrics, {})
        self._client.log_artifact(self._run, str(self._record))
        self._client.set_terminated(self._run, _STATUS.get(run.status, "FAILED"))

    def _write(self, run: str, numbers: Mapping[str, float], params: Mapping[str, Scalar]) -> None:
        metrics = [Metric(name, value, 0, 0) for name, value in numbers.items()]
        told = [Param(name, str(value)[:_LONGEST]) for name, value in params.items()]
        self._client.log_batch(run, metrics=metrics, params=told, tags=[RunTag("modelpress", "yes")])
