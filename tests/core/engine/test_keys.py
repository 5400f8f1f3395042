"""Cache keys: where it runs, what it is for, and a number of threads that changes bytes."""

from __future__ import annotations

import pytest

from modelpress.api import Accelerator, PassSpec
from modelpress.engine.keys import step_key, threads_here
from modelpress.registry import Registry


def key(registry: Registry, threads: str = "", device: str = "cpu", target: Accelerator | None = None) -> str:
    entry = registry.all(PassSpec)[0]
    return step_key(entry, {}, "model", {}, device, target, 0, {}, threads)


def test_where_it_runs_and_what_it_is_for_are_part_of_the_key() -> None:
    registry = Registry.load()
    cpu, webgpu = Accelerator(), Accelerator("gpu", "WebGpuExecutionProvider")
    keys = {
        key(registry),
        key(registry, device="gpu"),
        key(registry, target=cpu),
        key(registry, target=webgpu),
    }
    assert len(keys) == 4


def test_what_decides_the_number_of_threads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    one = threads_here()
    assert one.startswith("omp 1, mkl -, of ")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads_here() != one


def test_another_number_of_threads_is_another_key() -> None:
    registry = Registry.load()
    assert key(registry, "omp 1, mkl -, of 2") != key(registry, "omp 2, mkl -, of 2")
    assert key(registry, "") not in {key(registry, "omp 1, mkl -, of 2")}


def test_passes_say_whether_threads_change_their_bytes() -> None:
    by_threads = {e.spec.name for e in Registry.load().all(PassSpec) if e.spec.by_threads}
    assert {"LoRA", "QLoRA", "Gptq", "Awq", "AutoClip", "SelectiveMixedPrecision"} <= by_threads
    assert not by_threads & {"Rtn", "KQuant", "Hqq", "QuaRot", "MergeAdapterWeights", "ModelBuilder"}
