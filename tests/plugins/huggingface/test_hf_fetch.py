"""Models of the hub, asked of a small hub that this test runs on the local machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"

SCRIPT = """
import json, sys
from pathlib import Path
from modelpress.api import UserError
from modelpress_plugins.huggingface.config import HfModelOptions
from modelpress_plugins.huggingface.open_model import open_model

options, offline = HfModelOptions.parse(json.loads(sys.argv[1])), sys.argv[2] == "offline"
answer = {"problems": [], "notes": [], "progress": []}

class Context:
    folder = Path("/")
    def problem(self, message, hint="", *, option="", kind="input"):
        answer["problems"].append(message + " " + hint)
    def note(self, message): answer["notes"].append(message)
    def progress(self, done, total, unit): answer["progress"].append([done, total, unit])

Context.offline = offline
for name in ("first", "second"):
    facts = open_model(options, Context())
    if facts:
        path = str(facts.path) if facts.path else None
        answer[name] = {"path": path, "identity": facts.identity, "size": facts.size,
                        "type": facts.config.get("model_type")}
        if path is None:
            from modelpress_plugins.huggingface.fetch_model import fetch_model
            answer["fetched"] = str(fetch_model(options, Context()))
print(json.dumps(answer))
"""


class Hub(ThreadingHTTPServer):
    """Serves one repository, `org/tiny`, out of a folder, as the hub's public API does."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.folder = folder
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        file = self.server.folder / path.rpartition("/")[2]
        if path.startswith("/api/models/org/tiny/tree/"):
            entries = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f.name}
                for f in sorted(self.server.folder.iterdir())
            ]
            self._send(json.dumps(entries).encode(), body)
        elif path.startswith("/api/models/org/tiny"):
            siblings = [
                {"rfilename": f.name, "size": f.stat().st_size, "blobId": f.name}
                for f in sorted(self.server.folder.iterdir())
            ]
            self._send(json.dumps({"id": "org/tiny", "sha": COMMIT, "siblings": siblings}).encode(), body)
        elif path.startswith("/org/tiny/resolve/") and file.is_file():
            self._send(file.read_bytes(), body, ETag=f'"{file.name}"')
        else:
            self._send(b"{}", body, 404, **{"X-Error-Code": "RepoNotFound"})

    def _send(self, content: bytes, body: bool, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"X-Repo-Commit": COMMIT, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def hub(model_folder: Path, tmp_path: Path) -> Iterator[Hub]:
    import shutil

    server = Hub(Path(shutil.copytree(model_folder, tmp_path / "repository")))
    (server.folder / "training.log").write_text("not wanted")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def ask(hub: Hub, tmp_path: Path) -> Any:
    """Open, and fetch where that is needed, in a process of its own: the library reads its settings once."""

    def run(switch: str = "online", endpoint: str | None = None, **options: Any) -> dict[str, Any]:
        given = json.dumps({"model_path": "org/tiny", **options})
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "PROXY" not in k.upper()}
        environment = {
            **kept,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HF_ENDPOINT": endpoint or hub.address,
            "HF_HOME": str(tmp_path / "home"),
        }
        environment.pop("TRANSFORMERS_OFFLINE", None)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, given, switch], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    return run


def test_a_model_is_looked_up_fetched_and_then_found_by_its_commit(ask: Any, hub: Hub) -> None:
    answer = ask()
    assert answer["problems"] == []
    assert answer["first"]["path"] is None
    assert answer["first"]["type"] == answer["second"]["type"] == "phi3"
    assert answer["first"]["identity"] == answer["second"]["identity"] == f"hub:org/tiny@{COMMIT}"
    assert answer["second"]["path"] == answer["fetched"]
    assert not any(path.endswith("training.log") for path in hub.asked)
    done, total, unit = answer["progress"][-1]
    config_size = (hub.folder / "config.json").stat().st_size  # it came with the look-up
    assert (done + config_size, unit) == (total, "bytes")
    hub.asked.clear()
    assert ask("offline")["first"]["path"] == answer["fetched"]
    assert ask()["first"]["path"] == answer["fetched"]
    assert hub.asked == []


def test_a_model_of_pickles_is_refused_before_anything_is_fetched(ask: Any, hub: Hub) -> None:
    (hub.folder / "model.safetensors").rename(hub.folder / "pytorch_model.bin")
    (problem, _) = ask()["problems"]
    assert "pickles only (pytorch_model.bin)" in problem
    assert not any("/resolve/" in path for path in hub.asked)


def test_a_name_that_the_hub_does_not_know_is_told(ask: Any) -> None:
    assert "neither a folder here nor a model on the hub" in ask(model_path="org/tinny")["problems"][0]


def test_a_hub_that_cannot_be_reached_is_told(ask: Any) -> None:
    assert "cannot be asked" in ask(endpoint="http://127.0.0.1:9")["problems"][0]


def test_offline_nothing_is_asked(ask: Any, hub: Hub) -> None:
    assert "The run is offline" in ask("offline")["problems"][0]
    assert hub.asked == []


def test_a_missing_path_is_never_asked_of_the_hub(ask: Any, hub: Hub) -> None:
    assert "does not exist" in ask(model_path="./org/tiny")["problems"][0]
    assert hub.asked == []
