"""The system Ray: jobs go to a cluster's desk, which has them done by workers on its machines."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelpress.api import (
    Accelerator,
    ArtifactGone,
    Environment,
    EventReader,
    Handle,
    HostError,
    Job,
    Source,
    Tell,
    Traits,
    WorkerDied,
    collect_secrets,
    content_identity,
    read_job,
    required_names,
)
from modelpress_plugins.ray.client import Bridged
from modelpress_plugins.ray.config import RayOptions
from modelpress_plugins.ray.order import NodeFacts, Order, Outcome, Shape
from modelpress_plugins.systems.accelerators import wheels_of

_LOOK_SECONDS = 0.1
"""Between two looks at what a job tells."""
_HERE = ("127.0.0.1", "localhost", "[::1]", "auto", "local", "")


class Ray:
    """A cluster as a place for jobs whose folders all its machines can read."""

    def __init__(self, name: str, options: RayOptions) -> None:
        self.name = name
        self._options = options
        own = options.address in (None, "local")
        self.traits = Traits(attachable=not own, max_jobs=options.max_jobs, ships_code=not own, is_here=own)
        self._cluster = Bridged(options)

    def environment(self, requires: Sequence[str]) -> Environment:
        names = required_names(requires)
        return Environment(
            libraries=self._cluster.ask(lambda cluster: cluster.libraries(names)),
            memory=max((int(node.resources.get("memory", 0)) for node in self._nodes()), default=0),
        )

    def has(self, accelerator: Accelerator) -> bool:
        if accelerator.device == "gpu" and not any(node.resources.get("GPU") for node in self._nodes()):
            return False
        wheels = wheels_of(accelerator)
        return wheels is None or bool(self._cluster.ask(lambda cluster: cluster.libraries(wheels)))

    def prepare(self, requires: Sequence[str], tell: Tell) -> None:
        """The cluster is there, or was started to be asked."""

    def submit(self, folder: Path) -> Handle:
        job = read_job(folder)
        order = self._order(job, folder)
        self._cluster.ask(lambda cluster: cluster.submit(order))
        return {"id": job.id, "folder": order.folder}

    def watch(self, handle: Handle, tell: Tell) -> None:
        id, folder = str(handle["id"]), Path(str(handle["folder"]))
        reader = EventReader(folder / "events.jsonl", tell)
        while (outcome := self._cluster.ask(lambda cluster: cluster.wait(id, _LOOK_SECONDS))) is None:
            reader.read()
        reader.read()
        if not any((folder / name).exists() for name in ("result.json", "error.json")):
            raise _end(outcome)

    def collect(self, handle: Handle, parts: Sequence[str], folder: Path) -> None:
        """It is all here."""

    def cancel(self, handle: Handle) -> None:
        self._cluster.ask(lambda cluster: cluster.cancel(str(handle["id"])))

    def close(self) -> None:
        if self._cluster.is_open:
            try:
                self._cluster.ask(lambda cluster: cluster.rest())
            finally:
                self._cluster.close()

    def _order(self, job: Job, folder: Path) -> Order:
        shape = self._shape(job, folder)
        self._check_room(shape, job.name)
        return Order(
            id=job.id,
            shape=shape,
            folder=str(folder.resolve()),
            retries=self._options.retries,
            secrets=collect_secrets(job.secrets),
        )

    def _nodes(self) -> Sequence[NodeFacts]:
        return self._cluster.ask(lambda cluster: cluster.nodes())

    def _shape(self, job: Job, folder: Path) -> Shape:
        needs, options = job.needs, self._options
        given = options.environment_variables
        variables = given if isinstance(given, dict) else {n: os.environ[n] for n in given if n in os.environ}
        workers = job.options.get("num_workers", 1)
        each = workers if isinstance(workers, int) and not self.traits.shares_files else 1
        return Shape(
            cpus=each * (needs.cpus or options.cpus),
            gpus=each * (needs.gpus or (1 if job.device == "gpu" else 0)),
            spreads=self.traits.shares_files and workers != 1,
            resources=tuple(sorted(options.resources.items())),
            code=content_identity(folder / "code") if (folder / "code").exists() else "",
            variables=tuple(sorted(variables.items())),
            hf_token=options.hf_token,
        )

    def _check_room(self, shape: Shape, job: str) -> None:
        """Raise HostError for a job that no machine of the cluster could ever do."""
        wanted = {"CPU": shape.cpus, "GPU": shape.gpus, **dict(shape.resources)}
        nodes = self._nodes()
        if any(all(node.resources.get(n, 0) >= amount for n, amount in wanted.items()) for node in nodes):
            return
        asked = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items() if amount)
        most = {name: max((node.resources.get(name, 0) for node in nodes), default=0) for name in wanted}
        there = ", ".join(f"{amount:g} {name}" for name, amount in most.items() if wanted[name])
        raise HostError(
            f"{job} takes {asked}, and no machine of the cluster has that: at most {there}.",
            "Lower `needs` of the pass or `cpus` of the system, or add a machine to the cluster.",
        )


def _end(outcome: Outcome) -> WorkerDied | HostError:
    if outcome.kind == "failed":
        return HostError(outcome.message, outcome.hint)
    messages: Mapping[str, str] = {
        "cancelled": "The job was cancelled.",
        "unknown": "The cluster knows nothing of the job: it has been started anew, perhaps.",
    }
    return WorkerDied(
        messages.get(outcome.kind, outcome.message) or "The worker died.",
        outcome.hint or "Run the same command again: it goes on from its checkpoint.",
    )


class FarRay(Ray):
    """A cluster whose machines cannot read the files of this one: what jobs are given goes to the store on
    its head node, by what it is, and what they make stays there until it is needed elsewhere."""

    def __init__(self, name: str, options: RayOptions) -> None:
        super().__init__(name, options)
        self.traits = replace(self.traits, shares_files=False, keeps_artifacts=True, is_here=False)

    def submit(self, folder: Path) -> Handle:
        job = read_job(folder)
        order = self._order(job, folder)
        handle: Handle = {"id": job.id}
        if self._cluster.ask(lambda cluster: cluster.wait(job.id, 0)) != Outcome("unknown"):
            return handle
        inputs = {name: self._place(name, source, folder) for name, source in job.sources.items()}
        for part in ("job.json", "code", "checkpoint"):
            if (folder / part).exists():
                self._send(folder / part, f"jobs/{job.id}/{part}")
        order = replace(order, folder="", inputs=inputs)
        self._cluster.ask(lambda cluster: cluster.submit(order))
        return handle

    def watch(self, handle: Handle, tell: Tell) -> None:
        id, ended = str(handle["id"]), None
        with tempfile.TemporaryDirectory(prefix="modelpress-") as folder:
            events = Path(folder) / "events.jsonl"
            events.touch()
            reader = EventReader(events, tell)
            while ended is None:
                ended = self._cluster.ask(lambda cluster: cluster.wait(id, _LOOK_SECONDS))
                offset = events.stat().st_size
                told = self._cluster.ask(lambda c, o=offset: c.tail(f"jobs/{id}/events.jsonl", o))  # type: ignore[misc]
                with events.open("ab") as file:
                    file.write(told)
                reader.read()
        answers = (f"jobs/{id}/{name}" for name in ("result.json", "error.json"))
        if not any(self._cluster.ask(lambda c, n=name: c.has(n)) for name in answers):  # type: ignore[misc]
            raise _end(ended)

    def collect(self, handle: Handle, parts: Sequence[str], folder: Path) -> None:
        for part in parts:
            name, target = f"jobs/{handle['id']}/{part}", str(folder / part)
            self._cluster.ask(lambda c, n=name, t=target: c.fetch(n, t))  # type: ignore[misc]

    def _place(self, name: str, source: Source, folder: Path) -> str:
        """The name in the store under which an input is, brought there when it was not."""
        if source.writable:
            return ""
        if source.kept is not None:
            kept = f"jobs/{source.kept['id']}/out"
            if not self._cluster.ask(lambda cluster: cluster.has(kept)):
                raise ArtifactGone(f"The input {name}")
            return kept
        stored = "inputs/" + hashlib.sha256(source.identity.encode()).hexdigest()[:32]
        if not self._cluster.ask(lambda cluster: cluster.has(stored)):
            self._send(Path((folder / "inputs" / f"{name}.ref").read_text(encoding="utf-8")), stored)
        return stored

    def _send(self, source: Path, name: str) -> None:
        self._cluster.ask(lambda cluster: cluster.send(str(source), name))


def open_ray(options: RayOptions, name: str) -> Ray:
    """The system; nothing is started or reached before it is asked."""
    host = (options.address or "127.0.0.1").removeprefix("ray://").rpartition(":")[0] or options.address
    here = host in (*_HERE, None)
    shares = here if options.shared_files is None else options.shared_files
    return (Ray if shares else FarRay)(name, options)
