"""A submission: the jobs of a chain as one command job, their inputs mounted, each brought there once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from azure.ai.ml import Input, Output, command
from azure.ai.ml.constants import AssetTypes, InputOutputModes
from azure.ai.ml.entities import Command
from azure.ai.ml.entities import Environment as AzureEnvironment

from modelpress.api import ArtifactGone, Job, JSONValue, Source, Tell, read_job
from modelpress_plugins.azureml import on_node
from modelpress_plugins.azureml.resources import mounted
from modelpress_plugins.azureml.store import Store
from modelpress_plugins.azureml.system_config import AzureMLOptions
from modelpress_plugins.azureml.vault import vault_of

_NODE = Path(on_node.__file__)


@dataclass
class Submission:
    """Jobs that are done one after the other on one node."""

    options: AzureMLOptions
    store: Store
    folders: Sequence[Path]
    tell: Tell
    inputs: dict[str, Input] = field(default_factory=dict)
    """What the node is given, by the names that the command has for it."""

    def __post_init__(self) -> None:
        self.jobs = [read_job(folder) for folder in self.folders]
        self._arguments: dict[str, str] = {}
        self._numbers = {job.id: number for number, job in enumerate(self.jobs)}

    @property
    def name(self) -> str:
        return self.jobs[0].id

    @property
    def path(self) -> str:
        """Where it lies in the store."""
        return f"jobs/{self.name}"

    def handles(self) -> list[dict[str, JSONValue]]:
        return [{"job": self.name, "path": f"{self.path}/done/{number}"} for number in range(len(self.jobs))]

    def command(self, environment: AzureEnvironment | str) -> Command:
        """What is submitted; its files are brought there. Raises ArtifactGone where one is there no more."""
        layout: list[JSONValue] = [
            self._layout(job, folder) for job, folder in zip(self.jobs, self.folders, strict=True)
        ]
        text = json.dumps(layout, indent=1).encode()
        own = self.store.put_jobs(self.path, self.folders, text, _NODE)
        self.inputs["job"] = Input(type=AssetTypes.URI_FOLDER, path=own, mode=InputOutputModes.RO_MOUNT)
        done = Output(
            type=AssetTypes.URI_FOLDER,
            path=self.store.address(f"{self.path}/done"),
            mode=InputOutputModes.RW_MOUNT,
        )
        jobs = "${{inputs.job}}"
        given = " ".join(f'"{name}=${{{{inputs.{name}}}}}"' for name in self.inputs if name != "job")
        names = ", ".join(job.name for job in self.jobs)
        options, resources = self.options, self.options.resources
        return command(
            name=self.name,
            display_name=names,
            experiment_name="modelpress",
            command=f'python "{jobs}/{_NODE.name}" "{jobs}" "${{{{outputs.done}}}}" {given}',
            inputs=self.inputs,
            outputs={"done": done},
            environment=environment,
            environment_variables=self._variables(),
            compute=options.aml_compute,
            instance_count=options.instance_count,
            instance_type=resources.instance_type,
            shm_size=resources.shm_size,
            docker_args=resources.docker_args,
            timeout=self._seconds(),
            tags={**self._lineage(), **options.tags},
        )

    def _layout(self, job: Job, folder: Path) -> JSONValue:
        """Of one job: where the node finds its code and its inputs."""
        code = self._argument("code", self.store.put_code(folder / "code"), AssetTypes.URI_FILE)
        inputs: dict[str, JSONValue] = {
            name: self._place(job, name, source, folder)
            for name, source in job.sources.items()
            if not source.writable
        }
        return {"code": code, "inputs": inputs}

    def _place(self, job: Job, name: str, source: Source, folder: Path) -> JSONValue:
        if source.made_by:
            return {"made": self._numbers[source.made_by]}
        if source.kept is not None:
            out = f"{source.kept['path']}/out"
            if not self.store.has(out):
                raise ArtifactGone(f"The input {name}")
            return {"input": self._argument("in", self.store.address(out), AssetTypes.URI_FOLDER)}
        if source.resource is not None:
            there = mounted(source.resource)
            return {"input": self._argument("in", there.address, there.kind), "below": source.below}
        here = Path((folder / "inputs" / f"{name}.ref").read_text(encoding="utf-8"))
        address = self.store.put_input(source.identity, name, here, self.tell)
        below = here.name if here.is_file() else ""
        return {"input": self._argument("in", address, AssetTypes.URI_FOLDER), "below": below}

    def _argument(self, kind: str, address: str, type: str) -> str:
        """The name by which the command has what lies at an address; the same for several jobs."""
        if address not in self._arguments:
            name = self._arguments[address] = f"{kind}_{len(self._arguments)}"
            mode = InputOutputModes.RO_MOUNT if self.options.input_mode == "ro_mount" else "download"
            self.inputs[name] = Input(type=type, path=address, mode=mode)
        return self._arguments[address]

    def _seconds(self) -> int | None:
        """That it may take; None where that is not said of each of its jobs."""
        times = [job.needs.time for job in self.jobs]
        return int(sum(times)) if all(times) else None

    def _variables(self) -> dict[str, str]:
        """Where the node reads secrets: the key vault, never what a job says of itself."""
        secrets = any(job.secrets for job in self.jobs)
        if not (self.options.hf_token or secrets):
            return {}
        vault = vault_of(self.options.azureml_client_config)
        wanted = {"MODELPRESS_HF_TOKEN_VAULT": self.options.hf_token, "MODELPRESS_VAULT": secrets}
        return {name: vault for name, needed in wanted.items() if needed}

    def _lineage(self) -> dict[str, str]:
        """What it is of, as its tags."""
        tags = {
            "modelpress": ", ".join(str(job.origin.name) for job in self.jobs),
            "modelpress.step": ", ".join(job.name for job in self.jobs),
            "modelpress.input": self.jobs[0].model.key,
            "modelpress.by": ", ".join(dict.fromkeys(str(job.origin) for job in self.jobs)),
        }
        return {name: value[:200] for name, value in tags.items()}
