"""Jobs: what the workspace answers about them, and the history service beside it."""

from __future__ import annotations

import re
import threading
from typing import Any

from azure_emulator.arm import Arm
from azure_emulator.executor import Executor, JobRun
from azure_emulator.storage import Place
from azure_emulator.web import Answer, Refused, Request

ARTIFACTS = "workspaceartifactstore"
_DONE = ("Completed", "Failed", "Canceled")


class Jobs:
    """runs: by name, in the order of their submission."""

    def __init__(self, arm: Arm, executor: Executor) -> None:
        self._arm, self._executor = arm, executor
        self.runs: dict[str, JobRun] = {}
        arm.below("PUT", r"/jobs/([^/]+)", self._submit)
        arm.below("GET", r"/jobs/([^/]+)", self._get)
        arm.below("POST", r"/jobs/([^/]+)/cancel", self._cancel)
        arm.below("GET", r"/cancelled/([^/]+)", lambda _: Answer())
        arm.below("GET", r"/runs/([^/]+)/details", self._details)
        arm.below("POST", r"/rundata", self._run_data)
        arm.below("POST", r"/dataversion/batchGetResolvedUris", self._resolved)
        arm.web.route("GET", r"/discovery", self._discovery)

    def _discovery(self, _: Request) -> Answer:
        api = self._arm.workspace.api
        return Answer({"api": api, "history": api})

    def _submit(self, request: Request) -> Answer:
        name, properties = request.match[0], dict(request.body["properties"])
        if name in self.runs:
            if self.runs[name].status in _DONE:
                raise Refused(409, "UserError", f"A job named {name} exists.")
            return Answer(self._told(name), 200)
        compute = str(properties.get("computeId", "")).rsplit("/", 1)[-1]
        if compute not in self._arm.computes:
            raise Refused(400, "UserError", f"Unknown compute target '{compute}'.")
        outputs = {
            output: self._arm.asset_place(
                str(
                    given.get("uri")
                    or f"azureml://datastores/workspaceblobstore/paths/azureml/{name}/{output}"
                ).replace("${{name}}", name)
            )
            for output, given in (properties.get("outputs") or {}).items()
        }
        artifacts = self._arm.asset_place(f"azureml://datastores/{ARTIFACTS}/paths/ExperimentRun/dcid.{name}")
        run = self.runs[name] = JobRun(name, properties, outputs, artifacts)
        threading.Thread(target=self._executor.run, args=(run,), daemon=True).start()
        return Answer(self._told(name), 201)

    def _find(self, name: str) -> JobRun:
        try:
            return self.runs[name]
        except KeyError:
            raise Refused(404, "UserError", f"Run {name} was not found.") from None

    def _told(self, name: str) -> dict[str, Any]:
        run = self.runs[name]
        workspace = self._arm.workspace
        endpoint = f"https://ml.azure.com/runs/{name}?wsid={workspace.id}"
        default = f"azureml://datastores/{ARTIFACTS}/paths/ExperimentRun/dcid.{name}"
        properties = {
            **run.properties,
            "status": run.status,
            "services": {"Studio": {"jobServiceType": "Studio", "endpoint": endpoint}},
            "outputs": {
                **(run.properties.get("outputs") or {}),
                "default": {"jobOutputType": "uri_folder", "uri": default, "mode": "ReadWriteMount"},
            },
        }
        return {"id": f"{workspace.id}/jobs/{name}", "name": name, "properties": properties}

    def _get(self, request: Request) -> Answer:
        self._find(request.match[0])
        return Answer(self._told(request.match[0]))

    def _cancel(self, request: Request) -> Answer:
        run = self._find(request.match[0])
        run.cancel()
        workspace = self._arm.workspace
        location = f"https://{request.host}{workspace.id}/cancelled/{run.name}"
        return Answer(None, 202, {"Location": location, "Retry-After": "0"})

    def _details(self, request: Request) -> Answer:
        run = self._find(request.match[0])
        log = run.artifacts.under("user_logs/std_log.txt")
        url = f"{self._arm.storage.url(log)}?{self._arm.storage.sas(log)}"
        error = {"error": {"error": run.error}} if run.error else {}
        return Answer(
            {
                "runId": run.name,
                "status": run.status,
                "logFiles": {"user_logs/std_log.txt": url} if run.logged else {},
                "warnings": [],
                **error,
            }
        )

    def _run_data(self, request: Request) -> Answer:
        run = self._find(request.body["runId"])
        outputs = {name: {"assetId": f"run:{run.name}:{name}", "type": "uri_folder"} for name in run.outputs}
        return Answer({"runMetadata": {"runId": run.name, "outputs": outputs}})

    def _resolved(self, request: Request) -> Answer:
        values = {}
        for asset in request.body["values"]:
            _, name, output = asset.split(":")
            place = self.runs[name].outputs[output]
            store = self._store_of(place)
            base = self._arm.workspace.id.replace("/resourceGroups/", "/resourcegroups/")
            base = re.sub("/providers/Microsoft.MachineLearningServices", "", base)
            path = place.path[len(self._arm.datastores[store].place.path) :].lstrip("/")
            values[asset] = {"uri": f"azureml:/{base}/datastores/{store}/paths/{path}/", "type": "uri_folder"}
        return Answer({"values": values})

    def _store_of(self, place: Place) -> str:
        return next(
            name
            for name, store in self._arm.datastores.items()
            if (store.place.account, store.place.container) == (place.account, place.container)
        )
