"""The engine that runs containers: how it is reached, what it is, and its errors as ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from modelpress.api import HostError

_CONNECT_SECONDS = 20
"""An engine of this machine that says nothing for so long is not there."""
_ANSWER_SECONDS = 120
_REMOVALS = 50
_HERE = ("localhost", "127.0.0.1", "::1", "localnpipe")


class Unreachable(HostError):
    """The engine does not answer now; a job may go on there."""


class Engine:
    """A connection for each thread: the docker package's sessions are not made for several."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._of_thread = threading.local()
        self._version = "auto"
        self._facts: dict[str, object] = {}

    @property
    def client(self) -> docker.DockerClient:
        """Raises HostError when no engine answers, or one of another machine."""
        found: docker.DockerClient | None = getattr(self._of_thread, "client", None)
        if found is None:
            found = self._of_thread.client = self._connect()
        return found

    def forget(self) -> None:
        """Close the connection of this thread: it is made anew when it is needed."""
        found: docker.DockerClient | None = getattr(self._of_thread, "client", None)
        if found is not None:
            self._of_thread.client = None
            found.close()

    @property
    def is_podman(self) -> bool:
        with asking("its version"):
            parts = self.client.version().get("Components") or []
        return any("podman" in str(part.get("Name", "")).lower() for part in parts)

    def facts(self) -> dict[str, object]:
        """What it says of itself: `docker info`."""
        if not self._facts:
            with asking("what it is"):
                self._facts = dict(self.client.info())
        return self._facts

    def security(self) -> str:
        """`name=seccomp,profile=default name=rootless …`"""
        return " ".join(str(each) for each in _list(self.facts().get("SecurityOptions")))

    def has_nvidia(self) -> bool:
        """Whether it gives containers NVIDIA's GPUs."""
        facts = self.facts()
        runtimes, devices = facts.get("Runtimes"), _list(facts.get("DiscoveredDevices"))
        return (isinstance(runtimes, dict) and "nvidia" in runtimes) or any(
            "nvidia" in str(d) for d in devices
        )

    def _connect(self) -> docker.DockerClient:
        where = self._address or "its usual address"
        try:
            if self._address:
                client = docker.DockerClient(self._address, version=self._version, timeout=_CONNECT_SECONDS)
            else:
                client = docker.from_env(version=self._version, timeout=_CONNECT_SECONDS)
        except (DockerException, requests.RequestException, OSError) as error:
            raise HostError(
                f"No Docker engine answers at {where}: {_short(error)}.",
                "Start Docker, or Podman's service (podman system service --time=0 unix:///tmp/podman.sock), "
                "and say where it is: docker_host of the system, or the variable DOCKER_HOST.",
            ) from None
        url = urlsplit(client.api.base_url)
        if url.hostname not in _HERE:
            raise HostError(
                f"The Docker engine at {url.hostname} is another machine's: jobs are mounted, not sent.",
                "Name an engine of this machine in docker_host.",
            )
        client.api.timeout = _ANSWER_SECONDS
        self._version = client.api.api_version  # asked for once, not by each thread
        return client


def remove(container: Container) -> None:
    """It, and all that runs in it; nothing to do for one that has gone meanwhile."""
    for tries_left in range(_REMOVALS, -1, -1):
        try:
            container.remove(force=True, v=True)
            return
        except NotFound:
            return
        except APIError:
            # Refused in the moment in which the container ends by itself, or somebody else removes it.
            if not tries_left:
                raise
            time.sleep(0.1)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Errors of the docker package as HostErrors, which say what was asked for."""
    try:
        yield
    except APIError as error:
        told = str(error.explanation or _short(error)).strip().rstrip(".")
        raise HostError(f"The Docker engine refuses {what}: {told}.") from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise Unreachable(f"The Docker engine does not answer ({what}): {_short(error)}.") from None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _short(error: Exception) -> str:
    """What is wrong, without the tower of exceptions that requests makes of it."""
    inner: BaseException = error
    while inner.__cause__ or inner.__context__:
        inner = inner.__cause__ or inner.__context__ or inner
    text = " ".join(str(inner).split()) or type(inner).__name__
    return text.rstrip(".")[:300]
