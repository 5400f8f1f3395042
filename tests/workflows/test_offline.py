"""Offline means offline: with every socket to the outside blocked, a whole run still works."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BLOCK = """
import os, socket
_connect, _resolve = socket.socket.connect, socket.getaddrinfo

def refuse(*arguments, **_):
    with open(os.environ["MODELPRESS_NETWORK_LOG"], "a") as log:
        log.write(f"{arguments[-1] if arguments else None}\\n")
    raise OSError("the network is blocked")

def connect(self, address):
    return _connect(self, address) if self.family == socket.AF_UNIX else refuse(address)

socket.socket.connect = connect
socket.getaddrinfo = refuse
"""


@pytest.fixture
def blocked(tmp_path: Path) -> dict[str, str]:
    """An environment whose Pythons, workers too, cannot reach anything; calls are written down."""
    site = tmp_path / "blocked"
    site.mkdir()
    (site / "sitecustomize.py").write_text(BLOCK)
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))
    return {
        "PYTHONPATH": path,
        "MODELPRESS_NETWORK_LOG": str(tmp_path / "network.log"),
        "HF_HOME": str(tmp_path / "hf"),
    }


@pytest.mark.parametrize("switch", ["--offline", "HF_HUB_OFFLINE"])
def test_a_whole_run_makes_no_call(small, cli, blocked, tmp_path: Path, switch: str) -> None:
    workflow = small.write(
        passes={"lora": small.lora(), "merge": {"type": "MergeAdapterWeights"},
                "builder": {"type": "ModelBuilder", "precision": "int4"}},
        evaluators={"e": {"metrics": [{"type": "accuracy", "data_config": "train", "max_samples": 4}]}},
        evaluator="e",
    )  # fmt: skip
    flags = [switch] if switch.startswith("--") else []
    environment = blocked if flags else {**blocked, switch: "1"}
    done = cli("run", workflow, *flags, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    log = tmp_path / "network.log"
    assert not log.exists(), log.read_text()


def test_a_hub_id_that_is_not_here_is_told_and_not_asked_for(small, cli, blocked, tmp_path: Path) -> None:
    workflow = small.write(input_model={"type": "HfModel", "model_path": "microsoft/Phi-3-mini-4k-instruct"})
    done = cli("run", workflow, "--offline", environment=blocked)
    assert done.returncode == 2
    assert "offline" in done.stderr
    assert not (tmp_path / "network.log").exists()
    assert not (tmp_path / "cache").exists()
