"""The SDK's client for what the options say, and its errors as ours.

Everything that asks Azure does so within `asking`, so that a wrong name, a refusal and a network that is down
read as what they are.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from azure.ai.ml import MLClient
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError, DefaultAzureCredential

from modelpress.api import HostError, Log, Tell, UserError
from modelpress_plugins.azureml.config import ClientOptions

_AUTHORITIES = {
    "AzureChinaCloud": "https://login.chinacloudapi.cn",
    "AzureUSGovernment": "https://login.microsoftonline.us",
}
_VAULTS = {"AzureChinaCloud": "vault.azure.cn", "AzureUSGovernment": "vault.usgovcloudapi.net"}
_CONNECT = 10  # seconds until a host that does not answer counts as down
_PATIENCE, _SHORTEST_WAIT, _LONGEST_WAIT = 600.0, 1.0, 15.0
"""Seconds for which a network may be away before it is given up; between two tries."""
_SIGNATURE = re.compile(r"\b(sig|se|sp|sv|sr|skoid)=[^&\s'\"]+")

T = TypeVar("T")

for name in ("azure", "azure.ai.ml", "azure.ai.ml._utils._experimental", "msal", "msrest"):
    logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is raised, and told by us


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a workspace is."""

    subscription: str
    group: str
    name: str

    def __str__(self) -> str:
        return f"workspace {self.name!r}"


def workspace_of(options: ClientOptions) -> Workspace:
    """Raises UserError where the options do not name one."""
    values = {
        "subscription_id": options.subscription_id,
        "resource_group": options.resource_group,
        "workspace_name": options.workspace_name,
    }
    if options.aml_config_path is not None:
        values |= _config(Path(options.aml_config_path))
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise UserError(
            f"The AzureML workspace is not named: {', '.join(missing)} missing in azureml_client.",
            "Give them there, at the top of the workflow, or name the workspace's config.json as "
            "aml_config_path.",
        )
    return Workspace(*(str(value) for value in values.values()))


def _config(path: Path) -> dict[str, str]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(told[name]) for name in ("subscription_id", "resource_group", "workspace_name")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"aml_config_path {str(path)!r} cannot be used: {type(error).__name__}: {error}.",
            "It is the config.json with subscription_id, resource_group and workspace_name.",
        ) from None


def connect(options: ClientOptions) -> MLClient:
    """The client of the workspace. Nothing is asked yet."""
    place = workspace_of(options)
    return _client(options.model_dump_json(), place.subscription, place.group, place.name, None)


def connect_registry(options: ClientOptions, registry: str) -> MLClient:
    """The client of a registry; it asks at once where that is."""
    return _client(options.model_dump_json(), None, None, None, registry)


def credential_of(options: ClientOptions) -> DefaultAzureCredential:
    """What signs in as the user, or as the machine."""
    return _credential(options.model_dump_json(include={"default_auth_params", "cloud", "cloud_metadata"}))


def vault_url(options: ClientOptions, name: str) -> str:
    """The address of a key vault in the options' cloud."""
    own = (options.cloud_metadata or {}).get("vault")
    return f"https://{name}.{own or _VAULTS.get(options.cloud or '', 'vault.azure.net')}"


@cache
def _credential(text: str) -> DefaultAzureCredential:
    options = ClientOptions.model_validate_json(text)
    params = dict(options.default_auth_params)
    if options.cloud_metadata is not None:
        params.setdefault("authority", options.cloud_metadata.get("active_directory"))
        params.setdefault("disable_instance_discovery", True)  # nobody else knows of that cloud
    elif options.cloud in _AUTHORITIES:
        params.setdefault("authority", _AUTHORITIES[options.cloud])
    return DefaultAzureCredential(**params)


@cache
def _client(
    text: str, subscription: str | None, group: str | None, workspace: str | None, registry: str | None
) -> MLClient:
    options = ClientOptions.model_validate_json(text)
    cloud: dict[str, object] = {} if options.cloud is None else {"cloud": options.cloud}
    if options.cloud_metadata is not None:
        cloud["cloud_metadata"] = dict(options.cloud_metadata)
    return MLClient(
        credential_of(options), subscription, group, workspace, registry,
        enable_telemetry=False, show_progress=False, connection_timeout=_CONNECT,
        retry_total=options.max_operation_retries, retry_backoff_max=options.operation_retry_interval,
        **({"read_timeout": options.read_timeout} if options.read_timeout else {}), **cloud,
    )  # fmt: skip


class Unreachable(HostError):
    """Azure does not answer, or has too much to do: it may answer later."""


def patiently(work: Callable[[], T], tell: Tell) -> T:
    """What the work gives. A network that is away, or a service that is busy, is waited for: the work is done
    again, and has to go on where it was. Raises Unreachable after ten minutes."""
    wait, end = _SHORTEST_WAIT, 0.0
    while True:
        try:
            found = work()
        except Unreachable as error:
            now = time.monotonic()
            if not end:
                end = now + _PATIENCE
                tell(Log("warning", f"{error.message} What runs there goes on; trying again."))
            if now > end:
                raise
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
        else:
            if end:
                tell(Log("note", "Azure answers again."))
            return found


_NOT_THE_WORKSPACE = ("SubscriptionNotFound", "ResourceGroupNotFound", "workspaces/")


@contextmanager
def asking(what: str, *, hint: str = "") -> Iterator[None]:
    """what: names what is asked for (`the datastore 'x'`); hint: what to do where it is not there."""
    try:
        yield
    except (ClientAuthenticationError, CredentialUnavailableError) as error:
        raise HostError(
            f"Azure refused to sign in while asking for {what}: {_text(error)}",
            "Sign in anew (`az login`), or check AZURE_TENANT_ID, AZURE_CLIENT_ID and what proves them; "
            "`default_auth_params` of azureml_client says which ways are tried.",
        ) from None
    except ResourceNotFoundError as error:
        text = _text(error)
        wrong = any(mark in text for mark in _NOT_THE_WORKSPACE)
        place = "Check subscription_id, resource_group and workspace_name of azureml_client."
        raise UserError(
            f"There is no {what.removeprefix('the ')}: {text}", place if wrong else hint
        ) from None
    except HttpResponseError as error:
        refused = error.status_code in (401, 403)
        passing = error.status_code in (408, 429, 500, 502, 503, 504)
        raise (Unreachable if passing else HostError)(
            f"Azure {'refused' if refused else 'failed at'} {what} ({error.status_code}): {_text(error)}",
            "The identity that is signed in needs a role there (AzureML Data Scientist, Storage Blob Data "
            "Contributor)." if refused else "Try again later; the same command goes on where it was.",
        ) from None  # fmt: skip
    except (ServiceRequestError, ServiceResponseError) as error:
        raise Unreachable(
            f"Azure cannot be reached, asking for {what}: {_text(error)}",
            "Check the network and HTTPS_PROXY; the same command goes on where it was.",
        ) from None
    except AzureError as error:
        raise HostError(f"Azure failed at {what}: {_text(error)}") from None


def _text(error: BaseException) -> str:
    """Its words in one line, without the signature of an address."""
    told = getattr(error, "error", None)
    message = getattr(told, "message", None) or getattr(error, "message", None) or str(error)
    code = getattr(told, "code", None)
    lines = [line.strip() for line in str(message).splitlines() if line.strip()]
    # What is asked before everything else says `failed to retrieve a token from the included credentials`.
    words = next((line for line in lines if "AADSTS" in line), " ".join(lines[:2]))
    words = without_signature(words)
    shown = words if len(words) < 400 else f"{words[:400]}…"
    return f"{code}: {shown}" if code and str(code) not in shown else shown


def without_signature(text: str) -> str:
    """The text without what in an address gives leave to read it."""
    return _SIGNATURE.sub(lambda found: f"{found[1]}=…", text)


def status_of(job: object) -> str:
    """As Azure calls it; the SDK gives it as text or as a member of an enumeration."""
    status = getattr(job, "status", None) or "NotStarted"
    return str(getattr(status, "value", status))
