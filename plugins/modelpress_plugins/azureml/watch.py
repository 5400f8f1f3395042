"""Follows a job on AzureML by polling: its phase from the workspace, its events from the datastore."""

from __future__ import annotations

import os
import time

from azure.ai.ml import MLClient

from modelpress.api import Log, ModelpressError, Tell, WorkerDied, decode_event
from modelpress_plugins.azureml.client import Unreachable, asking, status_of, without_signature
from modelpress_plugins.azureml.store import Store

_PHASES = {
    "NotStarted": "queued",
    "Queued": "queued",
    "Provisioning": "queued: a node is being made",
    "Preparing": "building its environment",
    "Starting": "pulling its image",
    "Running": "running",
    "Finalizing": "uploading what it made",
}
ENDED = ("Completed", "Failed", "Canceled", "NotResponding")
_PATIENCE = 600.0
"""Seconds for which a network may be away before the run gives up waiting; the job goes on."""


class Watch:
    """One job, told from its beginning."""

    def __init__(self, ml: MLClient, store: Store, job: str, path: str, tell: Tell) -> None:
        self._ml, self._store = ml, store
        self._job, self._done = job, f"{path}/done"
        self._tell = tell
        self._offset = 0
        self._phase = ""
        self._least = float(os.environ.get("AZUREML_RUN_POLLING_INTERVAL_MIN", "2"))
        self._most = float(os.environ.get("AZUREML_RUN_POLLING_INTERVAL_MAX", "15"))

    def until_it_ends(self) -> None:
        """Raises WorkerDied when it ended without an answer, HostError when Azure is away for too long."""
        status = self.until_it_is_over()
        self._read()
        if not any(self._store.has(f"{self._done}/{name}") for name in ("result.json", "error.json")):
            raise self._died(status)

    def until_it_is_over(self) -> str:
        """Returns its last state."""
        wait, away = self._least, 0.0
        while True:
            try:
                status = self._look()
                if away:
                    self._tell(Log("note", "Azure answers again."))
                wait, away = (self._least if self._phase == "running" else wait), 0.0
                if status in ENDED:
                    return status
            except Unreachable as error:
                if away > _PATIENCE:
                    raise
                if not away:
                    self._tell(Log("warning", f"{error.message} The job goes on there; trying again."))
                away += wait
            time.sleep(wait)
            wait = min(self._most, wait * 1.5)

    def _look(self) -> str:
        with asking(f"the job {self._job!r}"):
            status = status_of(self._ml.jobs.get(self._job))
        phase = _PHASES.get(status, status.lower())
        if phase != self._phase and status not in ENDED:
            self._tell(Log("note", f"{self._job}: {phase}."))
        self._phase = phase
        self._read()
        return status

    def _read(self) -> None:
        data = self._store.read(f"{self._done}/events.jsonl", self._offset)
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        for line in data[:whole].splitlines():
            if event := decode_event(line.decode("utf-8", "replace")):
                self._tell(event)

    def _died(self, status: str) -> WorkerDied:
        if status == "Canceled":
            return WorkerDied(f"The job {self._job!r} was cancelled on Azure.", "Run the same command again.")
        why = self._why() or "Azure says no more"
        return WorkerDied(
            f"The job {self._job!r} ended without an answer ({status}): {why}.",
            f"Its log is in the studio, under Jobs, modelpress, {self._job}.",
        )

    def _why(self) -> str:
        """What the history says of its end. Best effort: the SDK has no public
        way to it (azure-ai-ml 1.35)."""
        try:
            with asking("the job's history"):
                details = self._ml.jobs._runs_operations.get_run_details(self._job)
        except (AttributeError, ModelpressError):
            return ""
        told = getattr(getattr(details, "error", None), "error", None)
        return without_signature(str(getattr(told, "message", "") or ""))[:500].rstrip(".")
