"""What the plan says of an input model: it reads headers and small files only, and asks no network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import UserError
from modelpress.cli.planning import plan_file
from modelpress.config.given import Given
from modelpress.registry import Registry
from modelpress.testing import make_tiny_model
from modelpress_plugins.hf.files import require_tokenizer
from modelpress_plugins.hf.folder import check_hf_model
from modelpress_plugins.huggingface.config import HfModelOptions
from modelpress_plugins.huggingface.open_model import open_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model(model_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(model_folder, tmp_path / "tiny"))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def adapter(model_folder: Path, tmp_path: Path) -> Path:
    return make_adapter(model_folder, tmp_path / "adapter")


def make_adapter(base: Path, folder: Path) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(loaded, LoraConfig(r=4, target_modules=["qkv_proj"])).save_pretrained(folder)
    return folder


def cache_snapshot(hub: Path, name: str, source: Path) -> Path:
    folder = hub / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(source, folder / "snapshots" / COMMIT))


def opened(told: Any, path: Path | str, **given: Any) -> Any:
    return open_model(HfModelOptions.parse({"model_path": str(path), **given}), told)


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def test_a_folder_gives_its_config_and_size(told: Any, model: Path) -> None:
    facts = opened(told, model)
    assert (facts.format, facts.path, facts.identity) == ("hf-model", model, "")
    assert facts.config["model_type"] == "phi3"
    assert facts.size == sum(p.stat().st_size for p in model.glob("*.safetensors")) - header(model)
    assert facts.meta.task == "text-generation"
    assert told.problems == told.notes == []


def header(model: Path) -> int:
    return 8 + int.from_bytes((model / "model.safetensors").read_bytes()[:8], "little")


def test_a_missing_folder_is_told_and_never_asked_of_the_hub(told: Any, model: Path) -> None:
    told.offline = False
    assert opened(told, model.with_name("tinny")) is None
    assert "does not exist" in told.text
    assert "Did you mean 'tiny'?" in told.text


def test_a_bare_name_means_a_folder(told: Any, model: Path) -> None:
    told.offline, told.folder = False, model.parent
    assert opened(told, "model") is None
    assert f"folder {model.parent / 'model'} does not exist" in told.text
    assert opened(told, "tiny").path == model


def test_a_folder_without_config_is_told(told: Any, model: Path) -> None:
    (model / "config.json").unlink()
    opened(told, model)
    assert "has no config.json" in told.text


def test_an_adapter_given_as_a_model_is_told(told: Any, adapter: Path) -> None:
    opened(told, adapter)
    assert "give it as adapter_path" in told.text


def test_truncated_weights_are_told(told: Any, model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    opened(told, model)
    assert "model.safetensors" in told.text
    with pytest.raises(UserError):
        check_hf_model(model)


def test_weights_in_pickles_only_are_refused(told: Any, model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    opened(told, model)
    assert "pickle" in told.text
    assert "save_pretrained" in told.text


def test_a_missing_tokenizer_is_told(told: Any, model: Path) -> None:
    for file in model.glob("tokenizer*"):
        file.unlink()
    opened(told, model)
    assert "has no tokenizer." in told.text


def test_code_that_is_needed_is_told_unless_trusted(told: Any, model: Path) -> None:
    code = {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XForCausalLM"}
    change_config(model, model_type="strange", auto_map=code)
    opened(told, model)
    ((message, _, option),) = told.problems
    assert "configuration_x.py, modeling_x.py" in message
    assert option == "load_kwargs.trust_remote_code"
    told.problems.clear()
    facts = opened(told, model, load_kwargs={"trust_remote_code": True})
    assert facts.meta.trust_remote_code is True
    assert told.problems == []


@pytest.mark.parametrize("trust", [False, True])
def test_code_of_an_architecture_that_transformers_carries_is_not_run(
    told: Any, model: Path, trust: bool
) -> None:
    change_config(model, auto_map={"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"})
    facts = opened(told, model, load_kwargs={"trust_remote_code": trust})
    assert facts.meta.trust_remote_code is False
    assert "modeling_phi3.py" in told.notes[0]
    assert told.problems == []


def test_another_task_of_a_model_for_text_has_no_effect_and_is_told(told: Any, model: Path) -> None:
    facts = opened(told, model, task="text-classification")
    assert facts is not None
    assert facts.meta.task == "text-generation"
    assert told.problems == []
    assert "'text-classification' has no effect" in told.notes[0]


def test_another_task_of_another_model_is_a_problem(told: Any, model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    (model / "config.json").write_text(json.dumps(config))
    opened(told, model, task="text-classification")
    assert "The task 'text-classification' is not supported" in told.text


def test_options_of_from_pretrained_travel_in_meta(told: Any, model: Path) -> None:
    kwargs = {
        "torch_dtype": "float32",
        "attn_implementation": "eager",
        "quantization_method": "bitsandbytes",
        "quantization_config": {"load_in_4bit": True},
    }
    meta = opened(told, model, load_kwargs=kwargs).meta
    assert meta.load_kwargs == {"torch_dtype": "float32", "attn_implementation": "eager"}
    assert meta.extra["quantization"] == {"load_in_4bit": True}


def test_a_cached_hub_model_is_found_by_its_commit(told: Any, model: Path, hub: Path) -> None:
    snapshot = cache_snapshot(hub, "org/tiny", model)
    facts = opened(told, "org/tiny")
    assert (facts.path, facts.identity) == (snapshot, f"hub:org/tiny@{COMMIT}")
    assert told.problems == []


def test_links_are_right_in_a_cache_that_shares_its_files(model: Path, hub: Path, tmp_path: Path) -> None:
    snapshot = cache_snapshot(hub, "org/tiny", model)
    for path in list(snapshot.iterdir()):  # on a disk of a cluster, say; the hub's library wrote them all
        path.unlink()
        path.symlink_to(model / path.name)
    workflow = tmp_path / "w.yaml"
    workflow.write_text("input_model: {type: HfModel, model_path: org/tiny}\npasses: {r: {type: Rtn}}\n")
    assert not list(plan_file(Given(workflow), Registry.load(), offline=True).problems)


def test_offline_an_absent_hub_model_is_told_with_what_to_do(told: Any, hub: Path) -> None:
    assert opened(told, "org/absent") is None
    assert "The run is offline" in told.text
    assert "hf download org/absent" in told.text


def test_offline_by_the_environment(told: Any, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told.offline = False
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert opened(told, "org/absent") is None
    assert "The run is offline" in told.text


def test_a_half_fetched_snapshot_does_not_count(told: Any, model: Path, hub: Path) -> None:
    (cache_snapshot(hub, "org/tiny", model) / "model.safetensors").unlink()
    assert opened(told, "org/tiny") is None
    assert "not (or not wholly)" in told.text


@pytest.mark.parametrize("part", ["model", "tokenizer"])
def test_a_part_of_an_mlflow_folder_that_is_a_link_out_of_it_is_refused(
    told: Any, model: Path, tmp_path: Path, part: str
) -> None:
    data = tmp_path / "mlflow" / "data"
    data.mkdir(parents=True)
    (data.parent / "MLmodel").write_text("flavors: {}\n")
    for name in ("model", "tokenizer"):
        shutil.copytree(model, data / name)
    for path in (data / "model").glob("tokenizer*"):
        path.unlink()
    (data / part).rename(tmp_path / "elsewhere")
    (data / part).symlink_to(tmp_path / "elsewhere")
    assert opened(told, data.parent) is None
    assert f"{part} is a link that leads out of the model's folder" in told.text


def test_a_link_out_of_the_tokenizer_that_lies_apart_is_refused(model: Path, tmp_path: Path) -> None:
    """It is no part of the model's own folder, and its files are copied with the model's."""
    tokenizer = tmp_path / "mlflow" / "data" / "tokenizer"
    tokenizer.mkdir(parents=True)
    for file in model.glob("tokenizer*"):
        file.rename(tokenizer / file.name)
    shutil.copytree(model, tokenizer.with_name("model"))
    (tmp_path / "mlflow" / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "secret.txt").write_text("secret")
    (tokenizer / "notes.txt").symlink_to(tmp_path / "secret.txt")
    workflow = {"input_model": {"type": "HfModel", "model_path": "mlflow"}, "passes": {"q": {"type": "Rtn"}}}
    (tmp_path / "w.json").write_text(json.dumps(workflow))
    plan = plan_file(Given(tmp_path / "w.json"), Registry.load(), cache_dir=tmp_path / "cache")
    assert any("notes.txt is a link that leads out" in str(problem) for problem in plan.problems)


def test_an_mlflow_folder_is_opened_with_its_tokenizer_apart(told: Any, model: Path, tmp_path: Path) -> None:
    mlflow = tmp_path / "mlflow"
    tokenizer = mlflow / "data" / "tokenizer"
    tokenizer.mkdir(parents=True)
    for file in model.glob("tokenizer*"):
        file.rename(tokenizer / file.name)
    model.rename(mlflow / "data" / "model")
    (mlflow / "MLmodel").write_text("flavors:\n  hftransformersv2: {}\n")
    facts = opened(told, mlflow)
    assert facts.path == mlflow / "data" / "model"
    assert facts.meta.tokenizer_path == str(tokenizer)
    assert told.problems == []


def test_an_adapter_comes_with_its_base(told: Any, model_folder: Path, adapter: Path) -> None:
    facts = opened(told, model_folder, adapter_path=str(adapter))
    assert (facts.format, facts.path) == ("hf-adapter", adapter)
    assert (facts.base.format, facts.base.path) == ("hf-model", model_folder)
    assert facts.config["model_type"] == "phi3"
    assert told.problems == []


def test_an_adapter_of_another_base_is_told(
    told: Any, model_folder: Path, adapter: Path, tmp_path: Path
) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

    size = {"vocab_size": 400, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    wider, other = tmp_path / "wider", tmp_path / "other"
    Phi3ForCausalLM(Phi3Config(hidden_size=32, pad_token_id=0, **size)).save_pretrained(wider)
    LlamaForCausalLM(LlamaConfig(hidden_size=64, **size)).save_pretrained(other)
    for folder in (wider, other):
        for file in model_folder.glob("tokenizer*"):
            shutil.copy(file, folder)
    opened(told, wider, adapter_path=str(adapter))
    opened(told, other, adapter_path=str(adapter))
    first, second = (message for message, _, _ in told.problems)
    assert "a product of shape [128, 64] for model.layers.0.self_attn.qkv_proj.weight" in first
    assert "nor any other module that the adapter changes" in second


@pytest.mark.parametrize(
    ("architecture", "sizes", "targets"),
    [
        ("gpt2", {}, {"target_modules": ["c_attn", "c_proj"]}),
        ("mixtral", {}, {"target_parameters": ["experts.gate_up_proj", "experts.down_proj"]}),
        ("gpt_neox", {}, {"target_modules": ["query_key_value"]}),
    ],
)
def test_an_adapter_speaks_of_modules_as_transformers_has_them(
    told: Any, tmp_path: Path, architecture: str, sizes: Any, targets: Any
) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = make_tiny_model(tmp_path / "base", architecture=architecture, **sizes)
    model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(model, LoraConfig(r=4, target_modules=[], **targets) if "target_parameters" in targets
                   else LoraConfig(r=4, **targets)).save_pretrained(tmp_path / "adapter")  # fmt: skip
    opened(told, base, adapter_path=str(tmp_path / "adapter"))
    assert not told.problems


def test_the_base_of_an_adapter_needs_no_tokenizer(told: Any, model: Path, adapter: Path) -> None:
    """A merge needs none. Whatever does tells so."""
    for file in model.glob("tokenizer*"):
        file.unlink()
    found = opened(told, model, adapter_path=str(adapter))
    assert not told.problems
    require_tokenizer(found, told)
    assert "has no tokenizer, which this step needs" in told.text
    (adapter / "tokenizer.json").write_text("{}")
    told.problems.clear()
    require_tokenizer(opened(told, model, adapter_path=str(adapter)), told)
    assert not told.problems


def test_planning_imports_no_heavy_library(model_folder: Path, tones: Path) -> None:
    script = f"""
import sys
from pathlib import Path
import modelpress_plugins.huggingface as plugin
assert "pydantic" not in sys.modules
from modelpress_plugins.huggingface.config import HfModelOptions
from modelpress_plugins.huggingface.data_config import HuggingfaceOptions
from modelpress_plugins.huggingface.open_model import open_model
from modelpress_plugins.huggingface.data_checks import describe_huggingface

class QuietPlanContext:
    offline = True
    folder = Path("/")
    def problem(self, *a, **k): raise SystemExit(str(a))
    def note(self, *a): pass

assert open_model(HfModelOptions.parse({{"model_path": {str(model_folder)!r}}}), QuietPlanContext())
load = {{"data_files": {str(tones)!r}}}
pre = {{"text_cols": "tone"}}
options = HuggingfaceOptions.parse({{"load_dataset_config": load, "pre_process_data_config": pre}})
assert describe_huggingface(options, QuietPlanContext()).rows == 10
heavy = {{"torch", "transformers", "datasets", "numpy", "peft", "safetensors", "huggingface_hub"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_rows_that_are_loaded_at_most_are_rows_that_are_prepared_at_most(model: Path, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"a": "x"}\n' * 4)
    workflow = tmp_path / "w.json"
    data = {"data_name": "json", "data_files": "d.jsonl", "max_samples": 2, "token": True}
    document = {
        "input_model": {"type": "HfModel", "model_path": str(model)},
        "data_configs": [
            {
                "name": "d",
                "type": "HuggingfaceContainer",
                "load_dataset_config": data,
                "pre_process_data_config": {"text_cols": ["a"]},
            }
        ],
        "passes": {"q": {"type": "QLoRA", "train_data_config": "d", "device_map": "auto"}},
    }
    workflow.write_text(json.dumps(document))
    plan = plan_file(Given(workflow), Registry.load(), offline=True)
    assert not [problem for problem in plan.problems if problem.kind == "input"]
    (native,) = plan.workflow.native["data_configs"]
    assert native["pre_process_data_config"] == {"text_cols": ["a"], "max_samples": 2}
