"""Pressing for a machine that is not this one: what the model is for (target), where the work runs (host)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelpress_plugins.systems.accelerators import has_gpu

WEBGPU = {"device": "gpu", "execution_providers": ["WebGpuExecutionProvider"]}
no_gpu = pytest.mark.skipif(has_gpu(), reason="this machine has the GPU that the test asks for in vain")


def system(*accelerators: dict[str, Any]) -> dict[str, Any]:
    return {"type": "LocalSystem", "accelerators": list(accelerators)}


def latency() -> dict[str, Any]:
    metrics = [{"name": "latency", "type": "latency"}, {"name": "size", "type": "size_on_disk"}]
    return {"evaluators": {"common": {"metrics": metrics}}, "evaluator": "common"}


def test_a_browser_is_built_for_told_and_not_measured(small, cli, tmp_path: Path) -> None:
    builder = {"type": "ModelBuilder", "precision": "int4"}
    workflow = small.write(
        systems={"local_system": system(WEBGPU)},
        target="local_system",
        passes={"m": builder},
        data_configs=[],
        **latency(),
    )
    done = cli("run", workflow)
    said = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Built for WebGpuExecutionProvider; not run here" in said
    assert "latency: not measured" in said
    decoder = json.loads((tmp_path / "output" / "model" / "genai_config.json").read_text())["model"][
        "decoder"
    ]
    assert list(decoder["session_options"]["provider_options"][0]) == ["webgpu"]
    record = json.loads((tmp_path / "output" / "run.json").read_text())
    assert "size_on_disk" in json.dumps(record["metrics"])
    assert "latency" not in json.dumps(record["metrics"])

    answered = cli("ask", tmp_path / "output" / "model", "hello", "--device", "gpu")
    assert answered.returncode != 0, answered.stdout
    assert "webgpu" in (answered.stdout + answered.stderr).lower()

    strict = small.write(
        systems={"local_system": system(WEBGPU)},
        target="local_system",
        passes={"m": {**builder, "verify": "required"}},
        data_configs=[],
    )
    refused = cli("plan", strict)
    assert refused.returncode == 2
    assert "there is no WebGpuExecutionProvider" in " ".join((refused.stdout + refused.stderr).split())


def test_the_key_of_a_pass_counts_the_target_only_where_it_matters(small, cli) -> None:
    def keys(*accelerators: dict[str, Any]) -> dict[str, str]:
        done = cli("plan", small.write(systems={"t": system(*accelerators)}, target="t"), "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return {step["name"]: step["key"] for step in json.loads(done.stdout)["steps"]}

    cpu = keys({"device": "cpu"})
    webgpu = keys(WEBGPU, {"device": "cpu"})
    assert cpu["lora"] == webgpu["lora"]
    assert cpu["merge"] == webgpu["merge"]
    assert cpu["builder"] != webgpu["builder"]


def test_the_first_of_several_accelerators_is_built_for_and_the_others_are_told(small, cli) -> None:
    done = cli("plan", small.write(systems={"t": system(WEBGPU, {"device": "cpu"})}, target="t"))
    said = " ".join(done.stdout.split())
    assert "The target has 2 accelerators" in said
    assert "WebGpuExecutionProvider" in said


def test_a_target_that_no_pass_builds_for_is_refused_before_any_work(small, cli) -> None:
    npu = {"device": "npu", "execution_providers": ["QNNExecutionProvider"]}
    done = cli("plan", small.write(systems={"t": system(npu)}, target="t"))
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2
    assert "ModelBuilder cannot build for QNNExecutionProvider" in said
    assert "WebGpuExecutionProvider" in said


@no_gpu
def test_training_on_a_gpu_that_is_not_there_is_refused_before_any_work(small, cli) -> None:
    gpu = system({"device": "gpu"})
    done = cli("plan", small.write(systems={"h": gpu}, host="h"))
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2
    assert "LoRA would run on the gpu of 'h', and there is none" in said
    # As a target alone it is what the model is for: trained here, built for it.
    assert cli("plan", small.write(systems={"t": gpu}, target="t")).returncode == 0


def test_execution_providers_at_the_top_are_the_target(small, cli) -> None:
    workflow = small.write(
        execution_providers=["WebGpuExecutionProvider"],
        passes={"m": {"type": "ModelBuilder", "precision": "int4"}},
        data_configs=[],
    )
    done = cli("plan", workflow)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "There is no WebGpuExecutionProvider here" in " ".join(done.stdout.split())
