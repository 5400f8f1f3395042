"""A worker of the cluster: an actor that keeps the process in which passes run, and watches it.

Passes do not run in Ray's own process: what they print would go to Ray's logs, secrets too, a crash would
take the actor with it, and whatever they import would stay. The process is the same warm worker as on this
machine."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import ray

from modelpress.api import (
    Handle,
    ModelpressError,
    Traits,
    WarmWorker,
    WorkerDied,
    WorkerSystem,
    give_secrets,
    import_path,
)
from modelpress_plugins.ray.carrier import carried
from modelpress_plugins.ray.order import JOINED, Order, Outcome, Shape
from modelpress_plugins.systems.environment import local_environment


class NodeWorker:
    """Does one job at a time; other calls are answered meanwhile."""

    def __init__(self, shape: Shape, store: Any) -> None:
        environment = _environment(shape)
        self._system = WorkerSystem("ray", lambda: WarmWorker([sys.executable], environment), Traits())
        self._store = store
        self._handles: dict[str, Handle] = {}
        self._cancelled: set[str] = set()

    def node(self) -> str:
        """The id of the machine it is on."""
        return str(ray.get_runtime_context().get_node_id())

    def run(self, order: Order) -> Outcome:
        """Do a job to its end."""
        give_secrets(order.secrets)
        if order.folder:
            return self._run(order, Path(order.folder))
        try:
            with carried(self._store, order) as folder:
                return self._run(order, folder)
        except OSError as error:
            return Outcome("failed", f"The files of the job could not be carried: {error}.")

    def _run(self, order: Order, folder: Path) -> Outcome:
        if order.id in self._cancelled:
            return Outcome("cancelled")
        try:
            empty(folder)
            handle = self._system.submit(folder)
            self._handles[order.id] = handle
            if order.id in self._cancelled:
                self._system.cancel(handle)
            self._system.watch(handle, lambda event: None)
        except WorkerDied as error:
            if order.id in self._cancelled:
                return Outcome("cancelled")
            return Outcome("died", error.message, error.hint)
        except ModelpressError as error:
            return Outcome("failed", error.message, error.hint)
        finally:
            self._handles.pop(order.id, None)
        return Outcome("done")

    def cancel(self, id: str) -> None:
        """End a job's process, and return when it has ended."""
        self._cancelled.add(id)
        if handle := self._handles.get(id):
            self._system.cancel(handle)

    def close(self) -> None:
        """End the process, gently."""
        self._system.close()


def empty(folder: Path) -> None:
    """Leave of an earlier try what the next one goes on with: its checkpoint, and what it told."""
    for name in ("out", "scratch"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("result.json", "error.json"):
        (folder / name).unlink(missing_ok=True)


_OF_THE_CLUSTER = ("RAY_AUTH_", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_USAGE_STATS_ENABLED")


def _environment(shape: Shape) -> dict[str, str]:
    environment = local_environment(dict(shape.variables), hf_token=shape.hf_token)
    if "OMP_NUM_THREADS" not in dict(shape.variables):
        environment["OMP_NUM_THREADS"] = str(max(1, int(shape.cpus)))
    if shape.spreads:  # the process joins the cluster itself: as whoever started it set it up
        environment |= {n: v for n, v in os.environ.items() if n.startswith(_OF_THE_CLUSTER)}
        environment |= {
            "MODELPRESS_RANKS": "modelpress_plugins.ray.train:begin",
            JOINED: _cluster(shape.cpus),
        }
    return {**environment, "PYTHONPATH": _path()}


def _cluster(cpus: float) -> str:
    context = ray.get_runtime_context()
    facts = {
        "address": context.gcs_address,
        "node": ray.util.get_node_ip_address(),
        "runtime_env": {
            name: context.runtime_env[name] for name in ("py_modules",) if name in context.runtime_env
        },
        "cpus": cpus,
    }
    return json.dumps(facts)


def _path() -> str:
    """The import path, without what Ray has put on it for itself."""
    own = str(Path(ray.__file__).parent)
    return os.pathsep.join(entry for entry in import_path().split(os.pathsep) if not entry.startswith(own))
