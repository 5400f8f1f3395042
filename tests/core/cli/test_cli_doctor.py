"""The check-up, shown machines and installations of every kind."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelpress.doctor import (
    check_cpu,
    check_disk,
    check_extras,
    check_known_libraries,
    check_libraries,
    check_memory,
    check_overlaps,
    check_plugins,
)
from modelpress.registry import BrokenPlugin, Registry
from modelpress.requirements import families

if TYPE_CHECKING:
    from conftest import FakeSite

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
    assert found["extra qlora"] == ("note", "not installed: bitsandbytes>=0.48")


def test_an_incomplete_extra_names_what_is_absent_and_what_is_too_old() -> None:
    verdict, text = extras({"torch": "2.8.1"})["extra cpu"]
    assert verdict == "note"
    assert text == "not installed: torch>=2.9 (torch 2.8.1 is there), onnxruntime>=1.24"
    assert extras({"torch": "2.9.0"})["extra cpu"] == (
        "note",
        "incomplete: onnxruntime>=1.24",
    )


def test_an_extra_that_would_overwrite_a_wheel_is_not_recommended() -> None:
    needs = ["onnxruntime-gpu>=1.24; extra == 'gpu'", "onnxruntime>=1.24; extra == 'cpu'"]
    wheels = families(["onnxruntime>=1.24 | onnxruntime-gpu>=1.24"])
    found = check_extras("modelpress", needs, {"onnxruntime": "1.32.0"}, wheels)
    cpu, gpu = sorted(found, key=lambda f: f.area)
    assert cpu.verdict == "ok"
    assert "environment of its own" in gpu.hint
    assert "pip install" not in gpu.hint


def test_an_extra_of_another_platform_is_not_wanted_here() -> None:
    needs = ["torch>=2.9; extra == 'gpu' and python_version < '3'", "onnx>=1.20; extra == 'gpu'"]
    assert check_extras("modelpress", needs, {"onnx": "1.21"})[0].text == "complete"


def wheel(site: Path, name: str, files: dict[str, str]) -> None:
    folder = site / f"{name.replace('-', '_')}-1.24.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.24.0\n")
    (folder / "RECORD").write_text("".join(f"{path},sha256={text},9\n" for path, text in files.items()))


def test_two_wheels_over_each_other_are_broken(tmp_path: Path) -> None:
    wheel(tmp_path, "onnxruntime", {"onnxruntime/__init__.py": "a", "onnxruntime/capi/x.so": "cpu"})
    wheel(tmp_path, "onnxruntime-qnn", {"onnxruntime/__init__.py": "a", "onnxruntime/capi/x.so": "qnn"})
    (finding,) = check_overlaps(metadata.distributions(path=[str(tmp_path)]))
    assert finding.verdict == "broken"
    assert finding.area == "wheels of onnxruntime"
    assert finding.text == "onnxruntime 1.24.0 and onnxruntime-qnn 1.24.0 overwrite each other"
    assert finding.hint.startswith("pip uninstall -y onnxruntime onnxruntime-qnn")


def test_wheels_that_share_a_folder_and_no_file_are_sound(tmp_path: Path) -> None:
    wheel(tmp_path, "nvidia-cublas", {"nvidia/__init__.py": "empty", "nvidia/cublas/x.so": "b"})
    wheel(tmp_path, "nvidia-cudnn", {"nvidia/__init__.py": "empty", "nvidia/cudnn/x.so": "c"})
    wheel(tmp_path, "damaged", {"": ""})
    assert check_overlaps(metadata.distributions(path=[str(tmp_path)])) == []


def test_a_broken_plugin_is_told_with_its_error_and_a_way_out() -> None:
    registry = Registry()
    registry.broken.append(BrokenPlugin("vendor", "vendor-pass", "ImportError: no x"))
    finding = next(f for f in check_plugins(registry) if f.area == "plugin vendor")
    assert finding.verdict == "broken"
    assert "ImportError: no x" in finding.text
    assert "MODELPRESS_BLOCK_PLUGINS=vendor" in finding.hint


def test_a_cpu_is_told_by_its_cores_and_instructions() -> None:
    assert check_cpu(["avx2", "avx512f"], 2).text.endswith("avx2, avx512f")
    assert "not known here" in check_cpu([], 8).text


def test_little_memory_is_a_warning() -> None:
    assert check_memory(8 * 10**9, 2 * 10**9).verdict == "warning"
    assert check_memory(32 * 10**9, 20 * 10**9).verdict == "ok"


def test_the_disk_of_a_folder_that_is_not_there_yet_is_that_of_its_parent(tmp_path: Path) -> None:
    assert "GB free" in check_disk("disk", tmp_path / "not" / "yet").text


KNOWN = {
    "ok": ("[Finding('acme', 'warning', 'it rusts', 'oil it')]", "warning", "it rusts"),
    "raises": ("1 / 0", "broken", "fake_acme.code:look: it raised ZeroDivisionError"),
    "sys.exit": ("sys.exit(0)", "broken", "it called sys.exit(0)"),
    "another type": ("['rust']", "broken", "it returned"),
    "another verdict": ("[Finding('acme', 'rusty', 'x')]", "broken", "it returned"),
}


@pytest.mark.parametrize("case", KNOWN)
def test_what_a_plugin_tells_of_a_library_is_told_and_harms_no_other(site: FakeSite, case: str) -> None:
    answer, verdict, told = KNOWN[case]
    site.install(
        "acme",
        "@hookimpl\ndef modelpress_libraries():\n"
        "    return [LibrarySpec('acme', 'It is for a test.', check='PACKAGE.code:look')]\n",
        files={
            "code.py": f"import sys\nfrom modelpress.api import Finding\ndef look():\n    return {answer}\n"
        },
        package="fake_acme",
    )
    (finding,) = check_known_libraries(site.registry())
    assert (finding.verdict, told in finding.text) == (verdict, True)


def test_a_bare_installation_is_told_what_it_can_do() -> None:
    assert "validate" in check_libraries({}, ["torch"]).text
    assert check_libraries({"torch": "2.13.0", "x": "1"}, ["numpy", "torch"]).text == "torch 2.13.0"


def test_the_command_ends_with_1_only_when_something_is_broken(command) -> None:
    done = command("doctor", "--json")
    findings = json.loads(done.stdout)
    assert done.returncode == int(any(f["verdict"] == "broken" for f in findings))
    assert {"modelpress", "plugins", "GPU", "CPU", "memory"} <= {f["area"] for f in findings}
