"""What the bridge's process does with Ray: starts or joins a cluster, and asks its desk."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from modelpress.api import HostError, content_identity
from modelpress_plugins.ray.desk import Desk
from modelpress_plugins.ray.order import HEAD, NodeFacts, Order, Outcome
from modelpress_plugins.ray.transport import fetch, send

_ANSWER_SECONDS = 120.0
_IDLE_SECONDS = 30.0


class _Manager(BaseManager):
    """The server's side of the socket."""


class Bridge:
    """What a run asks of the cluster. Raises HostError when it does not answer."""

    def __init__(self, namespace: str, storage: str) -> None:
        self._namespace = namespace
        self._storage = storage or str(Path(tempfile.gettempdir()) / "modelpress-ray" / "store")
        self._desk: Any = None
        self._lock = threading.Lock()

    def nodes(self) -> list[NodeFacts]:
        """The machines that are there now."""
        return [
            NodeFacts(id=str(node["NodeID"]), resources=dict(node["Resources"]))
            for node in ray.nodes()
            if node["Alive"]
        ]

    def libraries(self, names: Sequence[str]) -> Mapping[str, str]:
        found: Mapping[str, str] = self._ask("libraries", list(names))
        return found

    def submit(self, order: Order) -> None:
        self._ask("submit", order)

    def wait(self, id: str, seconds: float) -> Outcome | None:
        """How a job ended; None when it is still at work after so many seconds."""
        outcome: Outcome | None = self._ask("wait", id, seconds, makes=False)
        return outcome

    def cancel(self, id: str) -> None:
        self._ask("cancel", id, makes=False)

    def rest(self) -> None:
        self._ask("rest", makes=False)

    def has(self, name: str) -> bool:
        """Whether the store on the head node has it."""
        return bool(self._stored(lambda store: ray.get(store.has.remote(name))))

    def send(self, source: str, name: str) -> None:
        """Bring a file or folder of this machine into the store."""
        self._stored(lambda store: send(store, Path(source), name))

    def fetch(self, name: str, target: str) -> bool:
        """Bring it here, in the place of what is there. Returns whether there was one."""
        return bool(self._stored(lambda store: fetch(store, name, Path(target))))

    def tail(self, name: str, offset: int) -> bytes:
        """What a file of the store has from an offset on."""
        return bytes(self._stored(lambda store: ray.get(store.read.remote(name, "", offset))))

    def _stored(self, do: Callable[[Any], object]) -> Any:
        store = self._ask("store")
        try:
            return do(store)
        except RayError as error:
            raise _no_answer(error) from None

    def _ask(self, method: str, *arguments: object, makes: bool = True) -> Any:
        """Ask the desk. makes: whether there has to be one; where there is none, no job is known."""
        for last in (False, True):
            desk = self._find(makes=makes)
            if desk is None:
                return Outcome("unknown")
            try:
                return ray.get(getattr(desk, method).remote(*arguments), timeout=_ANSWER_SECONDS)
            except RayActorError as error:  # it is gone, perhaps since it was idle: a new one is made
                with self._lock:
                    self._desk = None
                if last:
                    raise _no_answer(error) from None
            except (RayError, GetTimeoutError) as error:
                raise _no_answer(error) from None
        return None

    def _find(self, *, makes: bool) -> Any:
        with self._lock:
            if self._desk is None:
                try:
                    self._desk = ray.get_actor("desk", namespace=self._namespace)
                except ValueError:
                    self._desk = self._make() if makes else None
            return self._desk

    def _make(self) -> Any:
        return (
            ray.remote(Desk)
            .options(
                name="desk",
                namespace=self._namespace,
                lifetime="detached",
                get_if_exists=True,
                num_cpus=0,
                resources={HEAD: 0.001},
                max_restarts=0,
                max_concurrency=10_000,
            )
            .remote(self._storage, _IDLE_SECONDS)
        )


def begin(asked: Mapping[str, Any], folder: str) -> str:
    """Start a cluster of its own, reached from this machine alone. Returns the namespace."""
    try:
        ray.init(
            address="local",
            num_cpus=asked["num_cpus"],
            num_gpus=asked["num_gpus"],
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            namespace="modelpress",
            _temp_dir=folder,
        )
    except Exception as error:
        raise HostError(f"A Ray cluster cannot be started here: {_short(error)}") from error
    return "modelpress"


def join(address: str) -> str:
    """Connect with a cluster that runs, and bring the code along. Returns the namespace: of this code
    alone."""
    packages = [_folder_of(name) for name in ("modelpress", "modelpress_plugins")]
    namespace = "modelpress-" + "-".join(content_identity(path)[-8:] for path in packages)
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="ERROR",
            namespace=namespace,
            runtime_env={"py_modules": [str(path) for path in packages], "excludes": ["__pycache__"]},
        )
    except Exception as error:
        raise HostError(
            f"The Ray cluster at {address} cannot be joined: {_short(error)}",
            "Ray and Python have to be of the same versions here and there; from a machine that is none of "
            "its nodes, use ray://HOST:10001.",
        ) from error
    return namespace


def _folder_of(package: str) -> Path:
    found = find_spec(package)
    places = list(found.submodule_search_locations or ()) if found else []
    return Path(places[0])


def _no_answer(error: Exception) -> HostError:
    return HostError(f"The Ray cluster does not answer: {_short(error)}", "Is its head node alive?")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def serve(bridge: Bridge, key: bytes) -> Any:
    """The server through which the run calls the bridge."""
    _Manager.register("bridge", callable=lambda: bridge)
    return _Manager(authkey=key).get_server()


def address() -> str:
    """Of the cluster, for its nodes."""
    return str(ray.get_runtime_context().gcs_address)


def leave() -> None:
    """Disconnect; a cluster of its own ends."""
    ray.shutdown()
