"""A workflow whose passes run in containers, from the command line to the model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[3]


def test_a_run_in_containers_ends_with_the_model_here(engine, tmp_path: Path) -> None:
    """The libraries there are this machine's, mounted; modelpress and a vendor's pass travel with the job."""
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    mounted = {path: f"/libraries/{number}" for number, path in enumerate(libraries)}
    workflow = {
        "input_model": {"type": "HfModel", "model_path": str(ROOT / "examples" / "emotions" / "model")},
        "systems": {
            "box": {
                "type": "Docker",
                "image_name": "localhost/modelpress-test:latest",
                "run_params": {
                    "volumes": [f"{here}:{there}:ro" for here, there in mounted.items()],
                    "environment": {"PYTHONPATH": ":".join(mounted.values())},
                },
            }
        },
        "host": "box",
        "passes": {"hello": {"type": "CastDtype", "dtype": "float16"}},
        "cache_dir": "cache",
        "output_dir": "output",
    }
    (tmp_path / "workflow.json").write_text(json.dumps(workflow))
    done = subprocess.run(
        [sys.executable, "-m", "modelpress", "run", str(tmp_path / "workflow.json")],
        env={**os.environ, "MODELPRESS_CACHE": str(tmp_path / "own")}, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "output" / "run.json").read_text())
    assert [step["system"] for step in record["steps"]] == ["box"]
    assert list((tmp_path / "output" / "model").glob("*.safetensors"))
    assert not list((tmp_path / "cache").glob("handles/*"))
    assert engine.call("ps", "-aq") == ""
