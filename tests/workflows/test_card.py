"""Cards of real models: their code is run as it stands, and answers as `ask` does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modelpress.api import Artifact, Meta
from modelpress_plugins.model_builder.usage import use

PHRASE = "I lost my keys."


def python_of(card: str) -> str:
    return re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]


def answer_of(code: str, folder: Path) -> str:
    """What the code prints in that folder."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.fixture
def output(small, cli) -> Path:
    """The folder of a run that keeps each of its models."""
    base = small.folder / "base"
    shutil.copytree(small_base(), base)
    (base / "LICENSE").write_text("MIT License\n\nCopyright")
    passes = {
        "lora": {**small.lora(), "output_name": "adapter"},
        "merge": {"type": "MergeAdapterWeights", "output_name": "merged"},
        "rtn": {"type": "Rtn", "group_size": 32, "sym": True, "lm_head": True, "output_name": "rtn"},
        "builder": {"type": "ModelBuilder", "precision": "int4"},
    }
    path = small.write(
        passes=passes, input_model={"type": "HfModel", "model_path": str(base)},
        evaluators={"e": {"metrics": [{"name": "s", "type": "size_on_disk"}]}}, evaluator="e",
    )  # fmt: skip
    done = cli("run", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'Next: modelpress ask {small.folder / "output" / "model"} "{PHRASE}"' in done.stdout
    return small.folder / "output"


def small_base() -> Path:
    return Path(__file__).resolve().parents[2] / "examples" / "emotions" / "model"


def test_each_model_has_a_card_whose_code_answers_as_ask_does(output: Path, cli) -> None:
    expected = {
        "adapter": ("hf-adapter", "peft"),
        "merged": ("hf-model", "transformers"),
        "rtn": ("hf-model", "transformers"),
        "model": ("ort-genai", "onnxruntime-genai"),
    }
    for name, (format_, library) in expected.items():
        folder = output / name
        card = (folder / "README.md").read_text(encoding="utf-8")
        front = yaml.safe_load(card.split("---\n")[1])
        assert front["library_name"] == library, name
        assert front["license"] == "mit", name
        assert format_ in front["tags"]
        assert front["pipeline_tag"] == "text-generation"
        assert str(output.parent) not in card
        assert "### Text: {phrase}\n### The tone is:\n" in card
        assert (folder / "LICENSE").is_file()
        assert (folder / "README.base.md").read_bytes() == (small_base() / "README.md").read_bytes()
        code = python_of(card).replace("the folder of the base model", str(output.parent / "base"))
        asked = cli("ask", folder, PHRASE, "--max-new-tokens", "64")
        assert asked.returncode == 0, asked.stderr
        # The code for onnxruntime-genai goes on to its own limit.
        assert answer_of(code, folder).strip().startswith(asked.stdout.strip()), name
    assert "Measured" in card
    assert "using Microsoft.ML.OnnxRuntimeGenAI;" in card


def test_a_chat_models_card_asks_as_a_chat_without_a_second_begin_token(tmp_path: Path) -> None:
    (tmp_path / "genai_config.json").write_text('{"model": {"context_length": 128}}')
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}{{ messages }}")
    begin, end = {"SpecialToken": {"id": "<s>"}}, {"SpecialToken": {"id": "</s>"}}
    processor = {"type": "TemplateProcessing", "single": [begin, {"Sequence": {"id": "A"}}, end]}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"post_processor": processor}))
    text = use(Artifact(tmp_path, "ort-genai", "key")).text
    for part in ('.removeprefix("<s>")', "ids = tokenizer.encode(prompt)[:-1]", "max_length=128",
                 'var begin = "<s>";', "ids[0][..^1]"):  # fmt: skip
        assert part in text, part


def test_what_is_for_another_machine_is_not_asked_here(tmp_path: Path) -> None:
    (tmp_path / "genai_config.json").write_text('{"model": {"context_length": 128}}')
    meta = Meta(extra={"execution_provider": "WebGpuExecutionProvider"})
    usage = use(Artifact(tmp_path, "ort-genai", "key", meta=meta))
    assert usage.try_it == ""
    assert "built for WebGpuExecutionProvider" in usage.text
