"""The adapter passes, trained for real on a small model."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import Artifact, Checkpoint, PassError, UserError
from modelpress.testing import input_artifact, make_tiny_model
from modelpress_plugins.hf.adapter import STEM, read_adapter
from modelpress_plugins.hf.adapter_targets import match
from modelpress_plugins.hf.config import read_config

Press = Callable[..., Any]
QUICK = {"r": 4, "training_args": {"max_steps": 6, "per_device_train_batch_size": 4, "logging_steps": 2}}
WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize("name", ["LoRA", "DoRA", "LoHa", "LoKr"])
def test_each_pass_writes_an_adapter_that_changes_the_model(press: Press, name: str) -> None:
    made, told = press(name, {**QUICK, "training_args": {**QUICK["training_args"], "learning_rate": 0.01}})
    assert made.format == "hf-adapter"
    assert made.base.key == "content:small"
    assert told.last_progress == (6, 6, "steps")
    assert largest_change(made) > 1e-4


def test_qlora_trains_on_a_base_in_four_bits_and_says_which(press: Press) -> None:
    pytest.importorskip("bitsandbytes")
    made, told = press("QLoRA", {**QUICK, "quant_type": "fp4", "double_quant": True})
    assert made.meta.extra["quantization"] == {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "fp4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "float32",
    }
    assert math.isfinite(told.reported("loss")[-1])
    assert largest_change(made) > 0


def test_qlora_gives_the_same_bytes_on_every_processor(press: Press, as_on: Callable[[str], None]) -> None:
    """Evaluated in the midst: bitsandbytes packs the base then, and would cut the gradient from there on."""
    args = {**QUICK["training_args"], "eval_strategy": "steps", "eval_steps": 2}
    options = {**QUICK, "eval_dataset_size": 4, "training_args": args}
    found = {}
    for processor in ("plain", "avx512-bf16"):
        as_on(processor)
        made, told = press("QLoRA", options, folder=processor)
        found[processor] = (contents(made.path), told.reported("eval_loss"), told.reported("loss"))
    assert found["plain"] == found["avx512-bf16"]


def test_qlora_is_evaluated_whatever_its_widths(press: Press, processor: str, tmp_path: Path) -> None:
    from modelpress.testing import input_artifact, make_tiny_model

    model = input_artifact(make_tiny_model(tmp_path / "model", intermediate_size=136), "hf-model")
    _, told = press("QLoRA", {**QUICK, "eval_dataset_size": 4}, model=model)
    assert math.isfinite(told.reported("eval_loss")[-1])


def test_the_loss_falls(press: Press) -> None:
    args = {
        "num_train_epochs": 12,
        "learning_rate": 0.01,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
    }
    # the output layer is random and would hold the loss up if it stayed frozen
    _, told = press(
        "LoRA", {"r": 8, "lora_dropout": 0.0, "modules_to_save": ["lm_head"], "training_args": args}
    )
    losses = told.reported("loss")
    assert losses[-1] < losses[0] / 2
    assert told.reported("tokens_per_second")[-1] > 0
    assert told.reported("learning_rate")


def test_the_output_holds_the_adapter_and_the_tokenizer_and_nothing_else(press: Press) -> None:
    made, _ = press("LoRA", QUICK)
    assert {p.name for p in made.path.iterdir()} == {
        WEIGHTS,
        "adapter_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_the_adapter_is_float32_whatever_the_base_is(press: Press) -> None:
    from safetensors.torch import load_file

    made, _ = press("LoRA", {**QUICK, "torch_dtype": "bfloat16"})
    assert {str(t.dtype) for t in load_file(made.path / WEIGHTS).values()} == {"torch.float32"}
    assert made.meta.extra["dtype"] == "bfloat16"


def test_the_base_is_named_by_what_it_is_and_no_path_leaks(press: Press, small_model: Artifact) -> None:
    made, _ = press("LoRA", QUICK)
    texts = [p.read_text(encoding="utf-8") for p in made.path.glob("*.json")]
    assert not any(str(small_model.path) in text or "/" + made.path.parts[1] in text for text in texts)
    assert (
        json.loads((made.path / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "content:small"
    )


def test_a_base_from_the_hub_is_named_with_its_commit(press: Press, small_model: Artifact) -> None:
    base = Artifact(small_model.path, "hf-model", "hub:org/name@abc123")
    made, _ = press("LoRA", QUICK, model=base)
    config = json.loads((made.path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/name", "abc123")


def test_two_runs_in_one_process_give_the_same_bytes(press: Press) -> None:
    first, _ = press("LoRA", {**QUICK, "lora_dropout": 0.1}, folder="first")
    press("DoRA", QUICK, folder="between")
    second, _ = press("LoRA", {**QUICK, "lora_dropout": 0.1}, folder="second")
    assert contents(first.path) == contents(second.path)


def test_another_process_gives_the_same_bytes(press: Press, small_model: Artifact, tmp_path: Path) -> None:
    made, _ = press("LoRA", QUICK)
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "import conftest as c; from modelpress.api import Artifact\n"
        "model = Artifact(Path(sys.argv[2]), 'hf-model', 'content:small')\n"
        f"c.press_here('LoRA', {QUICK!r}, c.Sentences(), Path(sys.argv[3]), model)"
    )
    here = str(Path(__file__).parent)
    other = tmp_path / "other"
    done = subprocess.run(
        [sys.executable, "-c", script, here, str(small_model.path), str(other)],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert contents(made.path) == contents(other / "out")
    assert done.stdout == ""


def test_nothing_is_printed(press: Press, capfd: pytest.CaptureFixture[str]) -> None:
    press("LoRA", QUICK)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_the_process_is_left_as_it_was(press: Press) -> None:
    import gc

    import torch
    from transformers import PreTrainedModel
    from transformers.utils import logging

    def models() -> set[int]:
        gc.collect()
        # By type: some library's proxy imports what it stands for when it is asked for its class.
        return {id(thing) for thing in gc.get_objects() if issubclass(type(thing), PreTrainedModel)}

    logging.enable_progress_bar()
    there = models()  # what other tests of this process still hold
    before = logging.get_verbosity(), torch.are_deterministic_algorithms_enabled(), dict(os.environ)
    press("LoRA", QUICK)
    assert (logging.get_verbosity(), torch.are_deterministic_algorithms_enabled(), dict(os.environ)) == before
    assert logging.is_progress_bar_enabled()
    assert models() <= there


def test_evaluation_data_cut_off_the_training_data_gives_a_loss_at_the_end(press: Press) -> None:
    _, told = press("LoRA", {**QUICK, "eval_dataset_size": 0.25})
    assert len(told.reported("eval_loss")) == 1


def test_evaluation_follows_the_steps_that_are_asked_for(press: Press) -> None:
    args = {**QUICK["training_args"], "eval_strategy": "steps", "eval_steps": 3}
    _, told = press("LoRA", {**QUICK, "eval_dataset_size": 4, "training_args": args})
    assert len(told.reported("eval_loss")) == 2  # at steps 3 and 6; the end is not evaluated twice


@pytest.mark.parametrize(
    "option", ["gradient_checkpointing", "label_smoothing_factor", "neftune_noise_alpha"]
)
def test_the_trainers_own_ways_work(press: Press, option: str) -> None:
    value = True if option == "gradient_checkpointing" else 0.1
    made, _ = press("LoRA", {**QUICK, "training_args": {**QUICK["training_args"], option: value}})
    assert largest_change(made) > 0


def test_gradient_checkpointing_changes_no_bit(press: Press) -> None:
    plain, _ = press("LoRA", QUICK, folder="plain")
    args = {**QUICK["training_args"], "gradient_checkpointing": True}
    frugal, _ = press("LoRA", {**QUICK, "training_args": args}, folder="frugal")
    assert contents(plain.path)[WEIGHTS] == contents(frugal.path)[WEIGHTS]


def test_modules_to_save_and_patterns_reach_the_adapter(press: Press) -> None:
    from safetensors.torch import load_file

    options = {
        "target_modules": ["qkv_proj", "o_proj"],
        "rank_pattern": {"o_proj": 2},
        "modules_to_save": ["lm_head"],
    }
    made, _ = press("LoRA", {**QUICK, **options})
    tensors = load_file(made.path / WEIGHTS)
    ranks = {name.split(".")[-3]: t.shape[0] for name, t in tensors.items() if "lora_A" in name}
    assert ranks == {"qkv_proj": 4, "o_proj": 2}
    assert any("lm_head" in name for name in tensors)


def test_target_modules_that_match_nothing_are_told_with_those_that_exist(press: Press) -> None:
    with pytest.raises(UserError, match="no module of the model is named q_proj") as caught:
        press("LoRA", {**QUICK, "target_modules": ["q_proj"]})
    assert "qkv_proj" in caught.value.hint


def test_one_target_module_that_matches_nothing_is_noted(press: Press) -> None:
    _, told = press("LoRA", {**QUICK, "target_modules": ["qkv_proj", "q_proj"]})
    assert any("q_proj" in note for note in told.notes)


def test_a_module_that_cannot_carry_an_adapter_is_the_users_error(press: Press) -> None:
    with pytest.raises(UserError, match="peft cannot adapt"):
        press("LoRA", {**QUICK, "target_modules": ["input_layernorm"]})


def test_no_data_is_the_users_error(press: Press, empty: Any) -> None:
    with pytest.raises(UserError, match="sentences gives no sample for train"):
        press("LoRA", QUICK, data=empty)


def test_data_without_a_label_is_the_users_error(press: Press, unlabelled: Any) -> None:
    with pytest.raises(UserError, match="24 have no label"):
        press("LoRA", QUICK, data=unlabelled)


def test_a_loss_that_is_no_number_stops_the_training_and_says_what_helps(press: Press) -> None:
    args = {**QUICK["training_args"], "learning_rate": 1e38, "max_steps": 40}
    with pytest.raises(PassError, match=r"became (nan|inf)|NaN or infinite") as caught:
        press("LoRA", {**QUICK, "training_args": args})
    assert "learning_rate" in caught.value.hint


def test_arguments_that_do_not_go_together_are_the_users_error(press: Press) -> None:
    args = {**QUICK["training_args"], "load_best_model_at_end": True, "save_strategy": "epoch"}
    with pytest.raises(UserError, match="training_args"):
        press("LoRA", {**QUICK, "training_args": args})


def test_logits_at_labels_alone_train_the_same_adapter(press: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelpress_plugins.lora import train_adapter

    trimmed, _ = press("LoRA", QUICK, folder="trimmed")
    monkeypatch.setattr(train_adapter, "_takes_trimmed_batches", lambda *_: False)
    whole, _ = press("LoRA", QUICK, folder="whole")
    # Adam divides by the size of the gradient, so that a rounding difference can reach one step's length
    assert difference(trimmed, whole) < 5e-4


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def difference(one: Artifact, other: Artifact) -> float:
    from safetensors.torch import load_file

    first, second = load_file(one.path / WEIGHTS), load_file(other.path / WEIGHTS)
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def largest_change(adapter: Artifact) -> float:
    """How far the logits of base and base + adapter are apart at most."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert adapter.base is not None
    base = AutoModelForCausalLM.from_pretrained(adapter.base.path, dtype=torch.float32)
    ids = torch.tensor([[1, 7, 9, 30, 22]])
    with torch.no_grad():
        before = base(ids).logits
        after = PeftModel.from_pretrained(base, adapter.path)(ids).logits
    return float((after - before).abs().max())


@pytest.mark.parametrize(
    ("architecture", "targets"),
    [("mixtral", "all-linear"), ("mixtral", ["w1", "w2", "w3"]), ("llama", ["lm_head"])],
    ids=str,
)
def test_what_is_trained_can_be_merged(
    architecture: str, targets: Any, press: Any, small_model: Artifact, tmp_path: Path
) -> None:
    """Experts that transformers joins, and the head of a model that ties it: the same bytes in each run."""
    tied = {"tie_word_embeddings": True} if architecture == "llama" else {}
    folder = make_tiny_model(tmp_path / "base", architecture=architecture, **tied)
    for file in small_model.path.glob("tokenizer*"):
        shutil.copy(file, folder)
    base = input_artifact(folder, "hf-model")
    options = {"r": 4, "target_modules": targets, "training_args": {"max_steps": 2}}
    adapter, _ = press("LoRA", options, model=base)
    again, _ = press("LoRA", options, model=base, folder="again")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (adapter.path / name).read_bytes() == (again.path / name).read_bytes()
    with Checkpoint(adapter.path, STEM) as deltas, Checkpoint(folder) as weights:
        changes = read_adapter(adapter.path, deltas)
        assert match(changes, weights, deltas, read_config(folder), load=None).edits
