"""Bad input: exit code 2, what was found and what to do, no traceback, nothing written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def refused(cli, workflow: Path, *texts: str, code: int = 2) -> str:
    """Run it; check the exit code, the texts, and that nothing was written. Returns what it said."""
    before = set(workflow.parent.rglob("*"))
    done = cli("run", workflow)
    said = " ".join(done.stderr.split())
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    for text in texts:
        assert text in said, done.stderr
    assert set(workflow.parent.rglob("*")) == before
    return said


def data(**changes: object) -> dict:
    pre = {"text_template": "{phrase} is {tone}", "completion_only": True}
    return {"name": "train", "type": "HuggingfaceContainer", "load_dataset_config": {"data_files": "d.json"},
            "pre_process_data_config": pre, **changes}  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "d.json"
    path.write_text(json.dumps([{"phrase": "it rains", "tone": "sad"}] * 4))
    return path


@pytest.mark.parametrize("key", ["output_dir", "cache_dir"])
def test_a_path_longer_than_any(small, cli, key: str) -> None:
    refused(cli, small.write(**{key: "x" * 1000}), "is too long for a path")


def test_a_model_in_a_path_longer_than_any(small, cli) -> None:
    model = {"type": "HfModel", "model_path": "x/" * 3 + "y" * 1000}
    refused(cli, small.write(input_model=model), "is too long for a path")


def test_a_misspelt_key(small, cli) -> None:
    refused(cli, small.write(pases={}), "workflow.json:", "'pases'", "passes")


def test_a_misspelt_pass(small, cli) -> None:
    refused(cli, small.write(passes={"a": {"type": "LoRaa"}}), "'LoRaa'", "LoRA", "workflow.json:")


def test_a_misspelt_option(small, cli) -> None:
    refused(cli, small.write(passes={"lora": small.lora(target_module=["o_proj"])}), "target_modules")


def test_a_wrong_type(small, cli) -> None:
    refused(cli, small.write(passes={"lora": small.lora(r="many")}), "r", "many")


def test_a_misspelt_column(small, cli, rows: Path) -> None:
    pre = {"text_template": "{phrase} is {tome}"}
    workflow = small.write(data_configs=[data(pre_process_data_config=pre)])
    refused(cli, workflow, "'tome'", "'tone'", "workflow.json:")


def test_an_empty_data_set(small, cli, rows: Path) -> None:
    rows.write_text("[]")
    refused(cli, small.write(data_configs=[data()]), "d.json", "empty")


def test_two_faults_are_both_told(small, cli) -> None:
    lora = small.lora(train_data_config="trian")
    said = refused(
        cli, small.write(passes={"lora": lora, "b": {"type": "ModelBuilder", "precision": "int5"}})
    )
    assert "'trian'" in said
    assert "int5" in said


def test_a_chain_that_does_not_fit(small, cli) -> None:
    passes = {"lora": small.lora(), "builder": {"type": "ModelBuilder", "precision": "int4"},
              "merge": {"type": "MergeAdapterWeights"}}  # fmt: skip
    refused(cli, small.write(passes=passes), "takes hf-model", "gives hf-adapter")


def test_a_missing_model_folder_is_no_hub_id(small, cli) -> None:
    workflow = small.write(input_model={"type": "HfModel", "model_path": "models/microsoft/phi-3"})
    refused(cli, workflow, "models/microsoft/phi-3")


def model_workflow(small, model: Path) -> Path:
    return small.write(input_model={"type": "HfModel", "model_path": str(model)})


def test_truncated_safetensors(small, cli, model_copy: Path) -> None:
    os.truncate(model_copy / "model.safetensors", 100_000)
    refused(cli, model_workflow(small, model_copy), "model.safetensors")


def test_a_pickle_only_checkpoint(small, cli, model_copy: Path) -> None:
    (model_copy / "model.safetensors").rename(model_copy / "pytorch_model.bin")
    refused(cli, model_workflow(small, model_copy), "pytorch_model.bin", "safetensors")


def test_a_model_that_needs_trust(small, cli, model_copy: Path) -> None:
    config = json.loads((model_copy / "config.json").read_text())
    config |= {"model_type": "unheard-of", "architectures": ["UnheardOf"],
               "auto_map": {"AutoModelForCausalLM": "code.UnheardOf"}}  # fmt: skip
    (model_copy / "config.json").write_text(json.dumps(config))
    refused(cli, model_workflow(small, model_copy), "trust_remote_code")


def test_an_architecture_that_cannot_be_built(small, cli, model_copy: Path) -> None:
    config = json.loads((model_copy / "config.json").read_text())
    (model_copy / "config.json").write_text(json.dumps({**config, "architectures": ["BloomForCausalLM"]}))
    workflow = small.write(
        input_model={"type": "HfModel", "model_path": str(model_copy)},
        passes={"b": {"type": "ModelBuilder", "precision": "int4"}},
    )
    refused(cli, workflow, "BloomForCausalLM")


def test_adapter_and_base_that_do_not_match(small, cli, model_copy: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]})
    )
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file(
        {name.format("A"): torch.zeros(4, 77), name.format("B"): torch.zeros(256, 4)},
        adapter / "adapter_model.safetensors",
    )
    workflow = small.write(
        input_model={"type": "HfModel", "model_path": str(model_copy), "adapter_path": str(adapter)},
        passes={"merge": {"type": "MergeAdapterWeights"}},
    )
    refused(cli, workflow, "q_proj")


@pytest.mark.parametrize(("name", "text"), [("w.json", '{"passes": {,}}'), ("w.yaml", "passes: [1, 2\nx: 3")])
def test_broken_files(cli, tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    refused(cli, path, name + ":")


def test_a_file_that_is_not_there(cli, tmp_path: Path) -> None:
    done = cli("run", tmp_path / "nowhere.yaml")
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr
    assert "Traceback" not in done.stderr
