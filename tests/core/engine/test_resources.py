"""Resources: planned by what is known of them, fetched once, whole or not at all."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelpress.engine.open_data import open_data
from modelpress.engine.past_runs import find_runs
from modelpress.engine.plan import PlanDraft
from modelpress.engine.prepare import prepare
from modelpress.errors import HostError, WorkflowError
from modelpress.from_python import run
from modelpress.registry import Registry

HERE = Path(__file__).parent
NAME = "loopback_plugin"


@dataclass
class Shelves:
    """A workflow folder beside shelves of files, and what the plugin that serves them did."""

    folder: Path
    log: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def fetched(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def shelf(self, name: str, etag: str = "1", **files: str) -> dict[str, str]:
        """Put files on a shelf; returns the resource, as a user writes it."""
        folder = self.folder / "shelves" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file.replace("_", ".")).write_text(text)
        (folder / "etag").write_text(etag)
        return {"type": "shelf", "folder": f"shelves/{name}"}

    def write(self, *, model: Any = "model", step: Any = None, **more: Any) -> Path:
        path = self.folder / "workflow.json"
        document = {
            "input_model": {"type": "Text", "model_path": model},
            "passes": {"join": {"type": "Join", "file": "model/text.txt", **(step or {})}},
            "cache_dir": "cache",
            "output_dir": "output",
            **more,
        }
        path.write_text(json.dumps(document, indent=1))
        return path

    def plan(self, path: Path, *, offline: bool = False) -> PlanDraft:
        with prepare(path, Registry.load(), offline=offline) as prepared:
            return prepared.plan

    def key(self, path: Path) -> str:
        return self.plan(path).whole().steps[0].key

    def run(self, path: Path, *, offline: bool = False) -> str:
        return (run(path, offline=offline, in_process=True).artifact.path / "text.txt").read_text()


@pytest.fixture
def shelves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelves]:
    site = tmp_path / "site"
    info = site / "loopback-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: loopback\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[modelpress]\nloopback = {NAME}\n")
    (site / f"{NAME}.py").write_text((HERE / f"{NAME}.py.txt").read_text())
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("MODELPRESS_LOOPBACK_LOG", str(tmp_path / "log"))
    made = Shelves(tmp_path / "work", tmp_path / "log")
    (made.folder / "model").mkdir(parents=True)
    (made.folder / "model" / "text.txt").write_text("one")
    yield made
    sys.modules.pop(NAME, None)


def test_a_required_option_takes_a_resource(shelves: Shelves) -> None:
    path = shelves.write(step={"file": shelves.shelf("a", f_txt="two")})
    assert not shelves.plan(path).problems
    assert not shelves.fetched, "a plan fetches nothing"
    assert not (shelves.cache / "resources").exists()
    assert shelves.run(path) == "one two"
    assert shelves.run(path) == "one two"
    assert shelves.fetched == ["fetch a"]


def test_a_resource_in_a_list_or_mapping_of_models_is_fetched_and_in_the_key(shelves: Shelves) -> None:
    step = {
        "parts": [{"file": shelves.shelf("a", f_txt="two"), "times": 2}, {"file": "model/text.txt"}],
        "by_name": {"x": {"file": shelves.shelf("b", f_txt="three")}},
    }
    path = shelves.write(step=step)
    assert shelves.run(path) == "one one twotwo one x=three"
    before = shelves.key(path)
    shelves.shelf("b", etag="2", f_txt="four")
    assert shelves.key(path) != before
    assert shelves.run(path) == "one one twotwo one x=four"
    (shelves.folder / "model" / "text.txt").write_text("ONE")
    assert shelves.run(path) == "ONE ONE twotwo ONE x=four"


def test_files_in_a_list_of_models_are_part_of_the_key(shelves: Shelves) -> None:
    (shelves.folder / "part.txt").write_text("two")
    path = shelves.write(step={"parts": [{"file": "part.txt"}]})
    assert shelves.run(path) == "one one two"
    (shelves.folder / "part.txt").write_text("changed")
    assert shelves.run(path) == "one one changed"
    (shelves.folder / "part.txt").unlink()
    [problem] = shelves.plan(path).problems
    assert "'part.txt' does not exist" in problem.message
    assert problem.where is not None
    assert problem.where.line == 12


def test_the_key_goes_by_etag_and_place_not_by_what_was_fetched(shelves: Shelves) -> None:
    first = shelves.shelf("a", f_txt="two")
    path = shelves.write(step={"file": first})
    before = shelves.key(path)
    shelves.run(path)
    assert shelves.key(path) == before, "having it here changes no key"
    other = shelves.write(step={"file": shelves.shelf("b", f_txt="other")})
    assert shelves.key(other) != before, "an etag means nothing without its place"


def test_a_model_is_fetched_before_the_first_step_and_planned_again(shelves: Shelves) -> None:
    path = shelves.write(model=shelves.shelf("m", text_txt="remote", more_txt=""))
    plan = shelves.plan(path)
    assert not plan.problems
    assert not shelves.fetched
    assert any("fetched before the first step" in note for note in plan.notes)
    key = plan.whole().steps[0].key
    assert shelves.run(path) == "remote one"
    assert shelves.fetched == ["fetch m"]
    again = shelves.plan(path).whole()
    assert "join: planned with 6 bytes" in again.notes
    assert again.steps[0].key == key
    assert again.steps[0].cached


def test_data_files_and_the_preview_take_resources(shelves: Shelves) -> None:
    files = [shelves.shelf("a", f_txt="x\ny"), "model/text.txt"]
    path = shelves.write(data_configs={"rows": {"type": "Rows", "data_files": files}})
    assert not shelves.plan(path).problems
    assert not shelves.fetched
    source, _ = open_data(path, "rows", Registry.load())
    assert [row["line"] for row in source.records()] == ["x", "y", "one"]
    assert shelves.fetched == ["fetch a"]
    assert shelves.plan(path).whole()


def test_what_is_damaged_of_a_resource_is_fetched_again_and_no_file_is_blamed(shelves: Shelves) -> None:
    """Not even by the plan, which looks into what was fetched."""
    path = shelves.write(
        data_configs={"rows": {"type": "Rows", "data_files": [shelves.shelf("a", f_txt="x\ny")]}}
    )
    open_data(path, "rows", Registry.load())
    (kept,) = (shelves.cache / "resources").rglob("f.txt")
    for damaged in (kept, kept.parents[1] / "record.json"):
        damaged.write_bytes(b"\xff" + damaged.read_bytes()[1:])
        assert not shelves.plan(path).problems
        source, _ = open_data(path, "rows", Registry.load())
        assert [row["line"] for row in source.records()] == ["x", "y"]
    assert shelves.fetched == ["fetch a"] * 3


def test_a_file_that_a_system_needs_is_fetched_before_it_works(shelves: Shelves) -> None:
    systems = {"env": {"type": "Conda", "conda_file": shelves.shelf("env", conda_yaml="deps")}}
    path = shelves.write(systems=systems, host="env")
    assert not shelves.plan(path).problems
    assert not shelves.fetched
    run(path)
    assert shelves.fetched == ["fetch env", "conda deps"]
    systems["env"]["conda_file"] = "absent.yaml"  # type: ignore[assignment]
    problems = list(shelves.plan(shelves.write(systems=systems, host="env")).problems)
    assert "'absent.yaml' does not exist" in problems[0].message


@pytest.mark.parametrize(
    ("trouble", "told"),
    [("breaks", "the line went dead"), ("moves", "changed while it was fetched")],
)
def test_a_fetch_that_fails_leaves_nothing(shelves: Shelves, trouble: str, told: str) -> None:
    path = shelves.write(step={"file": shelves.shelf("a", a_txt="half", **{trouble: ""}, z_txt="rest")})
    with pytest.raises(HostError, match=told):
        shelves.run(path)
    assert list((shelves.cache / "resources").iterdir()) == []


def test_a_run_whose_model_cannot_be_fetched_is_remembered(shelves: Shelves) -> None:
    path = shelves.write(model=shelves.shelf("m", text_txt="half", breaks="", z_txt="rest"))
    with pytest.raises(HostError, match="the line went dead"):
        shelves.run(path)
    (record,) = find_runs(shelves.cache / "runs")
    assert record.status == "failed"
    assert record.error
    assert "the line went dead" in record.error.message


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_fetch_is_done_again_whole(shelves: Shelves, end: signal.Signals) -> None:
    resource = shelves.shelf("a", sleeps="", z_txt="rest")
    path = shelves.write(step={"file": resource})
    command = [sys.executable, "-m", "modelpress", "run", str(path)]
    process = subprocess.Popen(
        command, env=_environment(shelves), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        _wait_for(lambda: "sleeping" in shelves.fetched)
        process.send_signal(end)
        process.wait(30)
    finally:
        process.kill()
    left = list((shelves.cache / "resources").iterdir())
    assert all(folder.name.endswith(".part") for folder in left), "nothing half is taken for whole"
    (shelves.folder / "shelves" / "a" / "sleeps").unlink()
    assert shelves.run(path) == "one rest"
    [folder] = (shelves.cache / "resources").iterdir()
    assert (folder / "record.json").is_file()


def test_offline_takes_what_was_fetched_and_asks_nobody(shelves: Shelves) -> None:
    path = shelves.write(step={"file": shelves.shelf("a", f_txt="two")})
    [problem] = shelves.plan(path, offline=True).problems
    assert "was not fetched before, and the run is offline" in problem.message
    shelves.run(path)
    shelves.shelf("a", etag="2", f_txt="newer")
    assert shelves.run(path, offline=True) == "one two"


def test_faults_in_a_resource_are_told_in_their_place(shelves: Shelves) -> None:
    path = shelves.write(step={"file": {"type": "shelf", "folde": "x"}})
    messages = [str(problem) for problem in shelves.plan(path).problems]
    assert any("has no option 'folde'" in text and "Did you mean 'folder'?" in text for text in messages)
    assert any(":11:" in text for text in messages)
    path = shelves.write(step={"file": {"type": "shelff", "folder": "x"}})
    [problem] = shelves.plan(path).problems
    assert problem.message == "There is no resource named 'shelff'."
    assert "'shelf'" in problem.hint
    path = shelves.write(step={"file": {"type": "shelf", "folder": "absent"}})
    with pytest.raises(WorkflowError, match="'shelf' cannot be reached: FileNotFoundError"):
        shelves.plan(path).whole()


def test_a_file_of_a_server_is_known_by_its_etag(shelves: Shelves) -> None:
    served = shelves.folder / "served"
    served.mkdir()
    (served / "f.txt").write_text("two")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_header("ETag", hashlib.sha256(content).hexdigest())
            super().end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the test quiet."""

    handler = functools.partial(Handler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/f.txt"
        path = shelves.write(step={"file": {"type": "http", "url": url}})
        before = shelves.key(path)
        assert not shelves.fetched
        assert shelves.run(path) == "one two"
        (served / "f.txt").write_text("three")
        assert shelves.key(path) != before
        assert shelves.run(path) == "one three"
        server.shutdown()
    assert shelves.fetched == ["GET f.txt", "GET f.txt"]
    [problem] = shelves.plan(path).problems
    assert "'http' cannot be reached" in problem.message


def _environment(shelves: Shelves) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
