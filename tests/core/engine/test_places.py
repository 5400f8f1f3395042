"""Host and target: where the work runs, and what the model is for."""

from __future__ import annotations

from typing import Any

import pytest

WEB = {"device": "gpu", "execution_providers": ["WebGpuExecutionProvider"]}
NPU = {"device": "npu", "execution_providers": ["QNNExecutionProvider"]}


def system(*accelerators: dict[str, Any]) -> dict[str, Any]:
    return {"type": "LocalSystem", "accelerators": list(accelerators)}


def test_a_pass_is_told_both(demo) -> None:
    demo.write(passes={"b": {"type": "Build"}}, systems={"web": system(WEB)}, target="web")
    done = demo.run()
    assert done.returncode == 0, done.stderr
    assert "planned for WebGpuExecutionProvider on cpu, here False" in done.stdout
    assert demo.text == "for WebGpuExecutionProvider on cpu, here False"


def test_without_a_target_a_model_is_for_its_host(demo) -> None:
    demo.write(passes={"b": {"type": "Build"}})
    assert demo.run().returncode == 0
    assert demo.text == "for CPUExecutionProvider on cpu, here True"
    demo.write(passes={"b": {"type": "Build"}}, systems={"web": system(WEB)}, host="web")
    assert demo.run().returncode == 0
    assert demo.text == "for WebGpuExecutionProvider on cpu, here False"  # Build itself uses no GPU


def test_another_target_repeats_only_what_looks_at_it(demo) -> None:
    chain = {"a": {"type": "Append", "text": "x"}, "b": {"type": "Build"}}
    demo.write(passes=chain)
    assert demo.run().returncode == 0
    demo.write(passes=chain, systems={"web": system(WEB)}, target="web")
    assert demo.run().returncode == 0
    assert demo.done == ["append x", "build", "build"]


@pytest.mark.parametrize("name", ["Peek", "PeekEarly"])
def test_a_pass_that_does_not_say_that_it_looks_at_the_target_may_not(demo, name: str) -> None:
    demo.write(passes={"p": {"type": name}})
    done = demo.run()
    assert done.returncode == 4, done.stdout + done.stderr
    assert "its spec has no `targets`" in " ".join((done.stdout + done.stderr).split())


def test_a_target_that_a_pass_does_not_build_for_is_a_problem(demo) -> None:
    demo.write(passes={"b": {"type": "BuildWeb"}}, systems={"t": system(NPU)}, target="t")
    done = demo.run()
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2
    assert "BuildWeb cannot build for QNNExecutionProvider" in said
    assert "It builds for WebGpuExecutionProvider" in said


def test_hosts_with_different_accelerators_need_a_target(demo) -> None:
    passes = {
        "a": {"type": "Append", "text": "x", "host": "web"},
        "b": {"type": "Append", "text": "y", "host": "phone"},
    }
    systems = {"web": system(WEB), "phone": system(NPU)}
    demo.write(passes=passes, systems=systems)
    done = demo.run()
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, said
    assert "'web' has gpu (WebGpuExecutionProvider), 'phone' has npu (QNNExecutionProvider)" in said
    assert "target: NAME" in said
    assert not (demo.folder / "output").exists()
    demo.write(passes=passes, systems=systems, target="web")
    assert "no target is named" not in demo.run().stderr


def test_a_host_without_the_only_device_of_a_pass_is_a_problem(demo) -> None:
    demo.write(passes={"a": {"type": "Accelerated"}})
    done = demo.run()
    assert done.returncode == 2
    assert "Accelerated runs on npu" in " ".join((done.stdout + done.stderr).split())


def test_a_device_that_the_host_does_not_have_is_a_problem_only_where_it_would_be_used(demo) -> None:
    demo.write(passes={"a": {"type": "Append"}}, systems={"h": system(WEB)}, host="h")
    done = demo.run()
    assert done.returncode == 2
    assert "there is none (WebGpuExecutionProvider)" in " ".join((done.stdout + done.stderr).split())
    demo.write(passes={"b": {"type": "Build"}}, systems={"h": system(WEB)}, host="h")
    assert demo.run().returncode == 0
    demo.write(passes={"a": {"type": "Append"}}, systems={"h": system(NPU)}, host="h")
    assert demo.run().returncode == 0  # an NPU that no pass could use: the CPU beside it


def test_what_cannot_be_measured_here_is_told_and_left_out(demo) -> None:
    measured = {"evaluators": {"e": {"metrics": [{"type": "words"}]}}, "evaluator": "e"}
    demo.write(**measured, systems={"web": system(WEB)}, target="web")
    done = demo.run()
    assert done.returncode == 0, done.stderr
    assert "words: not measured" in " ".join(done.stdout.split())
    assert "words" not in demo.done
