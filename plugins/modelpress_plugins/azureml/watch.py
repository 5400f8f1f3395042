"""Follows a job on AzureML by polling: the phase of its submission from the workspace, its events from the
datastore."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from azure.ai.ml import MLClient

from modelpress.api import Log, ModelpressError, Tell, WorkerDied, decode_event
from modelpress_plugins.azureml.client import asking, patiently, status_of, without_signature
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


class Watch:
    """One job, told from its beginning. job: the name of its submission; done: where the node puts what it
    gives."""

    def __init__(self, ml: MLClient, store: Store, job: str, done: str, tell: Tell) -> None:
        self._ml, self._store = ml, store
        self._job, self._done = job, done
        self._tell = tell
        self._offset = 0
        self._phase = ""
        self._least = float(os.environ.get("AZUREML_RUN_POLLING_INTERVAL_MIN", "2"))
        self._most = float(os.environ.get("AZUREML_RUN_POLLING_INTERVAL_MAX", "15"))

    def until_it_ends(self) -> None:
        """Returns when its answer is there, while the jobs after it may be at work. Raises WorkerDied when it
        ended without one, HostError when Azure is away for too long."""
        status = self._until(self._answered)
        if status and not self._answered():
            raise self._died(status)

    def until_it_is_over(self) -> str:
        """Returns the last state of its submission."""
        return self._until(lambda: False)

    def _until(self, enough: Callable[[], bool]) -> str:
        """Returns the state in which the submission ended; empty when there is enough before that."""
        wait = self._least
        while True:
            status, found = patiently(lambda: (self._look(), enough()), self._tell)
            if status in ENDED:
                return status
            if found:
                return ""
            time.sleep(wait)
            wait = self._least if self._phase == "running" else min(self._most, wait * 1.5)

    def _look(self) -> str:
        with asking(f"the job {self._job!r}"):
            status = status_of(self._ml.jobs.get(self._job))
        phase = _PHASES.get(status, status.lower())
        if phase != self._phase and status not in ENDED:
            self._tell(Log("note", f"{self._job}: {phase}."))
        self._phase = phase
        return status

    def _answered(self) -> bool:
        """Whether its answer is there; what it has told by now is passed on."""
        there = self._store.sizes(self._done)
        if there.get("events.jsonl", 0) > self._offset:
            self._read()
        return "result.json" in there or "error.json" in there

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
