"""The distributions of plugins_contrib work on their own, found through their entry points."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

KINDS = [
    "pass",
    "model",
    "format",
    "data container",
    "system",
    "metric",
    "resource",
    "sampler",
    "observer",
    "library",
    "command",
]


def test_the_pass_of_hello_is_listed(install) -> None:
    done = install("modelpress-hello").run("modelpress", "passes", "list")
    assert done.returncode == 0, done.stderr
    assert "CastDtype" in done.stdout


def test_a_surgeon_of_another_distribution_is_listed(install) -> None:
    installed = install("modelpress-surgeon")
    done = installed.run("modelpress", "plugins", "list")
    assert "modelpress-surgeon 0.1.0 adds RemoveDropout to GraphSurgeries." in done.stdout, done.stderr
    (part,) = json.loads(installed.run("modelpress", "plugins", "list", "--json").stdout)["parts"]
    assert (part["pass"], part["name"]) == ("GraphSurgeries", "RemoveDropout")


@pytest.mark.parametrize("name", ["modelpress-hello", "modelpress-example", "modelpress-surgeon"])
def test_its_own_tests_pass(install, name: str) -> None:
    installed = install(name)
    done = installed.run("pytest", "-q", "-p", "no:cacheprovider", str(installed.folder))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_brings_one_of_each_kind(install) -> None:
    done = install("modelpress-example").run("modelpress", "plugins", "list", "--json")
    (example,) = (p for p in json.loads(done.stdout)["plugins"] if p["name"] == "example")
    assert sorted(thing["kind"] for thing in example["brings"]) == sorted(KINDS)


def test_each_kind_of_the_example_has_its_contract() -> None:
    folder = Path(__file__).resolve().parents[2] / "plugins_contrib" / "modelpress-example"
    text = (folder / "tests" / "test_contracts.py").read_text(encoding="utf-8")
    for kind in (
        "Pass",
        "Model",
        "Format",
        "Data",
        "System",
        "Metric",
        "Resource",
        "Sampler",
        "Library",
        "Command",
    ):
        assert f"({kind}Contract):" in text


def test_the_workflow_of_the_example_runs(install, tmp_path: Path) -> None:
    """A third party's model, format, container, system, pass and metric in one run; then its command."""
    installed = install("modelpress-example")
    for name in ("example.yaml", "poem.txt"):
        shutil.copy(installed.folder / name, tmp_path)
    shutil.copytree(installed.folder / "model", tmp_path / "model")
    done = installed.run("modelpress", "run", "example.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "bits_per_character" in done.stdout
    asked = installed.run("modelpress", "bigram", "output", "T", "-n", "3", cwd=tmp_path)
    assert asked.stdout.startswith("T"), asked.stderr
    assert len(asked.stdout.strip()) > 1


def test_a_resource_of_a_third_party_is_fetched_for_a_run(install, tmp_path: Path) -> None:
    """And a change of what it stands for is seen: the numbers are measured anew."""
    installed = install("modelpress-example")
    shutil.copytree(installed.folder / "model", tmp_path / "model")
    store = tmp_path / "store"
    store.mkdir()
    shutil.copy(installed.folder / "poem.txt", store)
    text = (installed.folder / "example.yaml").read_text(encoding="utf-8")
    value = f"{{type: example_store, store: {store}, name: poem.txt}}"
    (tmp_path / "example.yaml").write_text(text.replace("data_files: poem.txt", f"data_files: {value}"))
    numbers = []
    for change in ("", "zzz qqq xxx\n"):
        with (store / "poem.txt").open("a") as file:
            file.write(change)
        done = installed.run("modelpress", "run", "example.yaml", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        numbers.append(json.dumps(json.loads(done.stdout)["metrics"], sort_keys=True))
    assert numbers[0] != numbers[1]
