"""Each command of the README is run, as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STANDS_FOR = {"FILE": "workflow.yaml", "NAME": "LoRA", "MODEL": "model", "OUT": "out-NUMBER",
              "OLD": "olive-config.json", "NEW": "new-NUMBER.yaml"}  # fmt: skip


def commands() -> list[str]:
    """Every `modelpress …` of the README: in code blocks, and in the table of commands."""
    found: list[str] = []
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL):
        found += [line.partition("#")[0].strip() for line in block.splitlines()]
    for row in re.findall(r"^\| (`modelpress [^|]*) \|", README, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        found.append(first)
        found += [f"modelpress {other}" for other in others]
    return [command for command in dict.fromkeys(found) if command.startswith("modelpress ")]


@pytest.fixture(scope="module")
def folder(emotions_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README's reader has it: the example, already run."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples" / "emotions", folder / "work",
                    ignore=shutil.ignore_patterns("output*", "cache"))  # fmt: skip
    shutil.copytree(emotions_run.output, folder / "work" / "output")
    shutil.copytree(emotions_run.cache, folder / "cache")
    return folder


def test_the_readme_has_commands() -> None:
    assert len(commands()) > 15


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_works(command: str, folder: Path) -> None:
    words = shlex.split(command)[1:]
    number = str(abs(hash(command)))
    # What empties a cache gets one of its own: the others live on the shared one.
    cache = folder / ("other" if words[1:] and words[1] in ("gc", "clear") else "cache")
    words = [STANDS_FOR.get(word, word).replace("NUMBER", number) for word in words]
    if words[:2] == ["data", "preview"]:
        words[-1] = "train"
    if words[0] == "ask":
        words[1] = "output"  # the model that was trained: the other has nothing to say
    if words[:2] == ["cache", "clear"]:
        words.append("--yes")
    done = subprocess.run(
        [sys.executable, "-m", "modelpress", *words],
        cwd=folder / "work", capture_output=True, text=True, check=False, timeout=600,
        stdin=subprocess.DEVNULL, env={**os.environ, "MODELPRESS_CACHE": str(cache)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()


def test_the_readmes_python_works(folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder / "work", capture_output=True, text=True, check=False,
        env={**os.environ, "MODELPRESS_CACHE": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "output/model" in done.stdout


def test_the_readmes_workflow_is_valid(folder: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    text = text.replace("microsoft/Phi-3-mini-4k-instruct", "model").replace(
        "emotions.json", "data/emotions.json"
    )
    path = folder / "work" / "readme.yaml"
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "modelpress", "plan", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
