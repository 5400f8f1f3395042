"""A pass in an environment that is made for it, of wheels that lie in a folder: no index is asked."""

from __future__ import annotations

import json


def test_it_is_made_on_the_way_and_the_second_run_finds_it_and_the_result(
    demo, worker_wheels, monkeypatch
) -> None:
    monkeypatch.setenv("MODELPRESS_CACHE", str(demo.folder / "shared"))
    quark = {"type": "PythonEnvironment", "managed": True, "wheels": str(worker_wheels), "no_index": True}
    demo.write(passes={"a": {"type": "Append", "text": "!", "host": "quark"}}, systems={"quark": quark})
    environment = {**demo.environment, "MODELPRESS_CACHE": str(demo.folder / "shared")}
    monkeypatch.setattr(type(demo), "environment", environment)
    done = demo.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Making an environment with" in done.stdout
    assert demo.text == "one two!"
    (step,) = json.loads((demo.folder / "output" / "run.json").read_text())["steps"]
    assert step["system"] == "quark"
    again = demo.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Making" not in again.stdout
    assert demo.done == ["append !"]
    quark["requirements"] = ["never-heard-of-it"]
    demo.write(passes={"a": {"type": "Append", "text": "?", "host": "quark"}}, systems={"quark": quark})
    failed = demo.run()
    assert failed.returncode == 5
    assert "never-heard-of-it" in failed.stderr
    assert demo.done == ["append !"]
