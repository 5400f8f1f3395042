"""The process that speaks with a cluster for a run: `python -m modelpress_plugins.ray.bridge`.

Ray takes the process that it is used in for its own: it sets signal handlers, knows one cluster, logs to the
terminal, and ends it when the cluster is gone. So it has a process of its own, which ends with the run. A
cluster
of its own belongs to this process, and ends with it.

The first line of its standard input says what is wanted (JSON), its only line of output whether it is there;
calls come through a socket of multiprocessing.managers.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path

from modelpress.api import HostError, ModelpressError

_PROBE_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main() -> int:
    asked = json.loads(sys.stdin.readline())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what Ray prints is no answer
    temporary = ""
    try:
        if asked["address"]:
            _make_ready(asked["address"])
        else:
            temporary = tempfile.mkdtemp(prefix="mp-ray-")
            _only_here()
        from modelpress_plugins.ray import talk  # noqa: PLC0415 - Ray reads its variables when it is imported

        namespace = talk.join(asked["address"]) if asked["address"] else talk.begin(asked, temporary)
        server = talk.serve(talk.Bridge(namespace, asked["storage"]), bytes.fromhex(asked["key"]))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps({"socket": server.address, "address": talk.address()}), file=answers, flush=True)
        sys.stdin.read()
        talk.leave()
    except ModelpressError as error:
        print(json.dumps({"error": error.message, "hint": error.hint}), file=answers, flush=True)
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    return 0


def _only_here() -> None:
    """Have Ray listen on the loopback interface alone, with a token that no file holds."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _make_ready(address: str) -> None:
    """See whether anybody listens there, at once: Ray itself tries for half a minute."""
    given = [os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")]
    if any(given) or (Path.home() / ".ray" / "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        _knock(host.strip("[]"), int(port))
    except OSError as error:
        raise HostError(
            f"No Ray cluster answers at {address}: {error.strerror or error}.",
            "Start it (`ray start --head --port=6379`), or correct `address` of the system.",
        ) from None
    if host in _LOOPBACK:
        try:
            _knock(_own_address(), int(port))
        except OSError:  # a cluster that is reached from this machine alone
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def _knock(host: str, port: int) -> None:
    socket.create_connection((host, port), timeout=_PROBE_SECONDS).close()


def _own_address() -> str:
    """By which others reach this machine. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        any_socket.connect(("192.0.2.1", 9))
        return str(any_socket.getsockname()[0])


if __name__ == "__main__":
    sys.exit(main())
