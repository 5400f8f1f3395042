"""What a worker is told that stands in no file: secrets and environment variables."""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing, suppress
from pathlib import Path

from docker.models.containers import Container

from modelpress.api import Job, UserError, look_for, read_secret
from modelpress_plugins.docker.config import DockerOptions

Order = dict[str, dict[str, str]]
_TOKEN = "HF_TOKEN"


def order_of(job: Job, options: DockerOptions) -> Order:
    """`{"secrets": …, "environment": …}`; empty where there is nothing to tell."""
    secrets = {}
    for name in job.secrets:
        with suppress(UserError):  # the worker says that it is not set, if it is read
            secrets[name] = read_secret(name)
    environment = _environment(options)
    look_for(environment)
    order = {"secrets": secrets, "environment": environment}
    return {name: values for name, values in order.items() if values}


def send(container: Container, order: Order) -> None:
    """Say it to the container's standard input, on which it waits for one line."""
    line = json.dumps(order).encode("ascii") + b"\n"
    attached = container.attach_socket(params={"stdin": 1, "stream": 1})
    with closing(attached):
        raw = getattr(attached, "_sock", attached)  # a file over the socket, or (TLS, pipes) the thing itself
        raw.sendall(line)
        with suppress(OSError, AttributeError):
            raw.shutdown(socket.SHUT_WR)


def _environment(options: DockerOptions) -> dict[str, str]:
    given = options.environment_variables
    if isinstance(given, list):
        given = {name: os.environ[name] for name in given if name in os.environ}
    token = _hub_token() if options.hf_token else ""
    return {**given, **({_TOKEN: token} if token else {})}


def _hub_token() -> str:
    """That of the environment, or of the file that `hf auth login` writes."""
    if token := os.environ.get(_TOKEN) or os.environ.get("HUGGING_FACE_HUB_TOKEN"):
        return token
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    with suppress(OSError):
        return Path(os.environ.get("HF_TOKEN_PATH") or home / "token").read_text(encoding="utf-8").strip()
    return ""
