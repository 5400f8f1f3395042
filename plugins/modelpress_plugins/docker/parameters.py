"""What a container is started with: user, network, limits, and what the workflow adds."""

from __future__ import annotations

import os
from collections.abc import Mapping

from docker.models.containers import RUN_CREATE_KWARGS, RUN_HOST_CONFIG_KWARGS
from docker.types import DeviceRequest

from modelpress.api import JSONValue, UserError, did_you_mean, parse_size
from modelpress_plugins.docker.config import DockerOptions
from modelpress_plugins.docker.engine import Engine

Parameters = dict[str, object]
"""Keyword arguments of the docker package's `containers.create`."""

_FURTHER = ("network", "ports", "volumes")
_OURS = {"auto_remove", "command", "detach", "entrypoint", "image", "name", "remove", "stdin_open", "tty"}
_LISTS = ("mounts", "security_opt", "volumes")
_LABEL = "modelpress"
_ENVIRONMENT = {"HOME": "/tmp", "USER": "modelpress", "LOGNAME": "modelpress", "PYTHONDONTWRITEBYTECODE": "1"}
"""The calling user has no entry in the image's list of users, and no home in it."""


def check(given: Mapping[str, JSONValue]) -> None:
    """Raise UserError for arguments that the docker package does not know, or that jobs depend on."""
    known = {*RUN_CREATE_KWARGS, *RUN_HOST_CONFIG_KWARGS, *_FURTHER} - _OURS
    for name in given:
        if name in _OURS:
            raise UserError(f"run_params: {name} cannot be set: jobs depend on it.")
        if name not in known:
            raise UserError(
                f"run_params: the docker package knows no {name!r}.", did_you_mean(name, sorted(known))
            )


def parameters(options: DockerOptions, engine: Engine) -> Parameters:
    """What all containers of a system have in common."""
    security = engine.security()
    found: Parameters = {
        **_user(security, is_podman=engine.is_podman),
        "environment": dict(_ENVIRONMENT),
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges", *(["label=disable"] if "name=selinux" in security else [])],
    }
    if options.network in ("none", "host"):
        found["network_mode"] = options.network
    else:
        found["network"] = options.network
    if options.memory is not None:
        # Without swap: what is over the limit is ended, not made a thousand times slower.
        found["mem_limit"] = found["memswap_limit"] = parse_size(options.memory)
    if options.cpus is not None:
        found["nano_cpus"] = int(options.cpus * 1e9)
    if options.shm_size is not None:
        found["shm_size"] = parse_size(options.shm_size)
    return found


def with_gpus(found: Parameters, count: int | None) -> Parameters:
    """The same for a job that runs on NVIDIA's GPUs. count: None for all."""
    return {**found, "device_requests": [DeviceRequest(count=count or -1, capabilities=[["gpu"]])]}


def added(found: Parameters, given: Mapping[str, object]) -> Parameters:
    """Those of the workflow on top: lists and mappings are joined, everything else replaced."""
    both: Parameters = {**found, **{name: value for name, value in given.items() if name != "environment"}}
    if "network" in given:
        both.pop("network_mode", None)
    if "network_mode" in given:
        both.pop("network", None)
    for name in _LISTS:
        both[name] = [*_list(found.get(name)), *_list(given.get(name))]
    for name in ("environment", "labels"):
        both[name] = {**_mapping(found.get(name)), **_mapping(given.get(name))}
    return both


def labelled(found: Parameters, labels: Mapping[str, str]) -> Parameters:
    """The same with labels of ours: `modelpress=job`, `modelpress.step=…`."""
    ours = {name if name == _LABEL else f"{_LABEL}.{name}": value for name, value in labels.items()}
    return {**found, "labels": {**_mapping(found.get("labels")), **ours}}


def _list(value: object) -> list[object]:
    """Also volumes of the form `{SOURCE: {"bind": TARGET, "mode": "ro"}}`, which the docker package takes."""
    if isinstance(value, dict):
        return [f"{source}:{to['bind']}:{to.get('mode', 'rw')}" for source, to in value.items()]
    return value if isinstance(value, list) else []


def _mapping(value: object) -> dict[str, object]:
    """Also of the form `["A=1"]`, which the docker package takes."""
    if isinstance(value, list):
        return dict(str(each).partition("=")[::2] for each in value)
    return dict(value) if isinstance(value, dict) else {}


def _user(security: str, *, is_podman: bool) -> Parameters:
    """As whom a container runs, so that what it writes is the calling user's. An engine without rights of its
    own maps users: Podman's is told to keep them, for Docker's the caller is the container's root."""
    if os.name != "posix":
        return {}
    me = f"{os.getuid()}:{os.getgid()}"
    if "name=rootless" in security:
        return {"user": me, "userns_mode": "keep-id"} if is_podman else {"user": "0:0"}
    return {"user": me, "userns_mode": "host"} if "name=userns" in security else {"user": me}
