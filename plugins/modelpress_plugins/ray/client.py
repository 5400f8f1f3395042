"""The run's side of the bridge: starts its process when it is first needed, and ends it."""

from __future__ import annotations

import json
import os
import queue
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from multiprocessing.managers import BaseManager, RemoteError
from typing import IO, Protocol, TypeVar, cast

from modelpress.api import HostError, MissingDependencyError, import_path
from modelpress_plugins.ray.config import RayOptions
from modelpress_plugins.ray.order import NodeFacts, Order, Outcome
from modelpress_plugins.systems.environment import local_environment

T = TypeVar("T")
_START_SECONDS = 60.0
_END_SECONDS = 15.0


class Cluster(Protocol):
    """What can be asked of a cluster: see bridge.Bridge."""

    def nodes(self) -> list[NodeFacts]: ...
    def libraries(self, names: Sequence[str], /) -> Mapping[str, str]: ...
    def submit(self, order: Order, /) -> None: ...
    def wait(self, id: str, seconds: float, /) -> Outcome | None: ...
    def cancel(self, id: str, /) -> None: ...
    def rest(self) -> None: ...
    def has(self, name: str, /) -> bool: ...
    def send(self, source: str, name: str, /) -> None: ...
    def fetch(self, name: str, target: str, /) -> bool: ...
    def tail(self, name: str, offset: int, /) -> bytes: ...


class _Client(BaseManager):
    """The client's side of the socket."""


_Client.register("bridge")


class Bridged:
    """A cluster behind its bridge. Used by several threads at once."""

    def __init__(self, options: RayOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._cluster: Cluster | None = None
        self.address = options.address or ""

    def ask(self, question: Callable[[Cluster], T]) -> T:
        """Put a question to the cluster. Raises HostError when there is no answer."""
        with self._lock:
            if self._cluster is None:
                self._cluster = self._start()
        try:
            return question(self._cluster)
        except (OSError, EOFError, RemoteError) as error:
            told = str(error).strip()[-300:] or type(error).__name__
            raise HostError(
                f"The connection to the Ray cluster is lost: {told}",
                "Run the same command again: jobs on a cluster that runs go on.",
            ) from error

    @property
    def is_open(self) -> bool:
        return self._cluster is not None

    def close(self) -> None:
        """End the bridge, and the cluster that is its own."""
        process, self._process, self._cluster = self._process, None, None
        if process and process.stdin:
            with suppress(OSError):
                process.stdin.close()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self) -> Cluster:
        if find_spec("ray") is None:
            raise MissingDependencyError(
                "The system Ray needs ray, which is not installed.", 'Run: pip install "modelpress[ray]"'
            )
        key = secrets.token_bytes(32)
        options = self._options
        environment = local_environment([], hf_token=None)
        environment |= {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
        environment |= {"PYTHONPATH": import_path(), "PYTHONSAFEPATH": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "modelpress_plugins.ray.bridge"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=os.name == "posix",  # Ctrl-C in a terminal goes to the run alone
        )
        asked = {
            "key": key.hex(),
            "address": "" if options.address in (None, "local") else options.address,
            "storage": options.storage or "",
            "num_cpus": options.num_cpus,
            "num_gpus": options.num_gpus,
        }
        with suppress(BrokenPipeError):
            if process.stdin:
                process.stdin.write(json.dumps(asked).encode() + b"\n")
                process.stdin.flush()
        answer = _first_line(process.stdout)
        if "socket" not in answer:
            self.close()
            raise HostError(answer.get("error", "Ray did not start."), answer.get("hint", ""))
        self.address = answer["address"]
        client = _Client(answer["socket"], authkey=key)
        client.connect()
        return cast(Cluster, client.bridge())  # type: ignore[attr-defined]  # made by `register`


def _first_line(stream: IO[bytes] | None) -> dict[str, str]:
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    if stream is not None:
        threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
    try:
        found = json.loads(lines.get(timeout=_START_SECONDS))
    except queue.Empty:
        return {"error": f"Ray did not answer within {_START_SECONDS:g} s."}
    except ValueError:
        return {"error": "The process that speaks with Ray ended before it had an answer."}
    return {str(name): str(value) for name, value in found.items()}
