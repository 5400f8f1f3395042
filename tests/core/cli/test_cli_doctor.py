"""The check-up, shown machines and installations of every kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelpress.doctor import (
    check_cpu,
    check_disk,
    check_extras,
    check_gpu,
    check_hub,
    check_libraries,
    check_memory,
    check_overlaps,
    check_plugins,
)
from modelpress.registry import BrokenPlugin, Registry

REQUIREMENTS = [
    "click>=8.2",
    'torch>=2.9; extra == "train"',
    'modelpress[train]; extra == "cpu"',
    "onnxruntime>=1.24 ; extra == 'cpu'",
    'bitsandbytes>=0.48; extra == "qlora"',
]


def extras(versions: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {f.area: (f.verdict, f.text) for f in check_extras("modelpress", REQUIREMENTS, versions)}


def test_an_extra_is_complete_with_those_that_it_takes_in() -> None:
    found = extras({"torch": "2.13.0+cpu", "onnxruntime": "1.32.0"})
    assert found["extra cpu"] == ("ok", "complete")
    assert found["extra train"] == ("ok", "complete")
    assert found["extra qlora"] == ("note", "not installed: bitsandbytes")


def test_an_incomplete_extra_names_what_is_absent_and_what_is_too_old() -> None:
    verdict, text = extras({"torch": "2.8.1"})["extra cpu"]
    assert verdict == "note"
    assert text == "not installed: torch 2.8.1 (needs 2.9), onnxruntime"
    assert extras({"torch": "2.9.0"})["extra cpu"] == ("note", "incomplete: onnxruntime")


def test_an_extra_that_would_overwrite_a_wheel_is_not_recommended() -> None:
    needs = ["onnxruntime-gpu>=1.24; extra == 'gpu'", "onnxruntime>=1.24; extra == 'cpu'"]
    cpu, gpu = sorted(check_extras("modelpress", needs, {"onnxruntime": "1.32.0"}), key=lambda f: f.area)
    assert cpu.verdict == "ok"
    assert "environment of its own" in gpu.hint
    assert "pip install" not in gpu.hint


@pytest.mark.parametrize(
    ("family", "package"),
    [
        (("onnxruntime", "onnxruntime-gpu"), "onnxruntime"),
        (("onnxruntime", "onnxruntime-directml"), "onnxruntime"),
        (("onnxruntime-genai", "onnxruntime-genai-cuda"), "onnxruntime_genai"),
    ],
)
def test_two_wheels_over_each_other_are_broken(family: tuple[str, ...], package: str) -> None:
    (finding,) = check_overlaps(dict.fromkeys(family, "1.24.0"))
    assert finding.verdict == "broken"
    assert package in finding.area
    assert finding.hint.startswith(f"pip uninstall -y {family[0]} {family[1]}")


def test_one_wheel_of_each_family_is_sound() -> None:
    assert not check_overlaps({"onnxruntime-gpu": "1.24.0", "onnxruntime-genai-cuda": "0.18.0"})


def test_a_broken_plugin_is_told_with_its_error_and_a_way_out() -> None:
    registry = Registry()
    registry.broken.append(BrokenPlugin("vendor", "vendor-pass", "ImportError: no x"))
    finding = next(f for f in check_plugins(registry) if f.area == "plugin vendor")
    assert finding.verdict == "broken"
    assert "ImportError: no x" in finding.text
    assert "MODELPRESS_BLOCK_PLUGINS=vendor" in finding.hint


def test_a_cpu_that_stops_at_avx2_is_noted_for_int4() -> None:
    finding = check_cpu(frozenset({"avx2"}), 2)
    assert finding.verdict == "note"
    assert "int4" in finding.hint
    assert check_cpu(frozenset({"avx2", "avx512f", "avx512_vnni"}), 2).verdict == "ok"
    assert check_cpu(frozenset({"avx2", "avx_vnni"}), 2).verdict == "ok"
    assert check_cpu(frozenset(), 8).verdict == "ok"


def test_a_gpu_beside_a_torch_for_the_cpu_is_a_warning() -> None:
    gpus = ["NVIDIA L4, 23034 MiB, 570.1"]
    assert check_gpu(gpus, {"torch": "2.13.0+cpu"}).verdict == "warning"
    assert check_gpu(gpus, {"torch": "2.13.0"}).verdict == "ok"
    assert check_gpu([], {}).verdict == "note"


def test_little_memory_is_a_warning() -> None:
    assert check_memory(8 * 10**9, 2 * 10**9).verdict == "warning"
    assert check_memory(32 * 10**9, 20 * 10**9).verdict == "ok"


def test_the_disk_of_a_folder_that_is_not_there_yet_is_that_of_its_parent(tmp_path: Path) -> None:
    assert "GB free" in check_disk("disk", tmp_path / "not" / "yet").text


def test_the_hub_is_told_without_its_token(tmp_path: Path) -> None:
    (tmp_path / "hub" / "models--org--name").mkdir(parents=True)
    where, offline = check_hub({"HF_HOME": str(tmp_path), "HF_TOKEN": "hf_secret", "HF_HUB_OFFLINE": "1"})
    assert "1 models; a token is set" in where.text
    assert "hf_secret" not in where.text
    assert "HF_HUB_OFFLINE" in offline.text
    assert len(check_hub({"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"})) == 1


def test_a_bare_installation_is_told_what_it_can_do() -> None:
    assert "validate" in check_libraries({}).text
    assert check_libraries({"torch": "2.13.0"}).text == "torch 2.13.0"


def test_the_command_ends_with_1_only_when_something_is_broken(command) -> None:
    done = command("doctor", "--json")
    findings = json.loads(done.stdout)
    assert done.returncode == int(any(f["verdict"] == "broken" for f in findings))
    assert {"modelpress", "plugins", "GPU", "CPU", "memory"} <= {f["area"] for f in findings}
