"""The options of the adapter passes: Olive's names, old ones, and transformers' TrainingArguments."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest
from pydantic import ValidationError

from modelpress.api import PassSpec
from modelpress_plugins.lora import modelpress_passes
from modelpress_plugins.lora.config import LoHaConfig, LoKrConfig, LoRAConfig, QLoRAConfig
from modelpress_plugins.lora.training_args import Optimizer, Schedule, TrainingArgs

SPECS: dict[str, PassSpec] = {spec.name: spec for spec in modelpress_passes()}
OLD = {
    "target_modules": ["o_proj", "qkv_proj"],
    "double_quant": True,
    "lora_r": 64,
    "lora_alpha": 64,
    "lora_dropout": 0.1,
    "train_data_config": "dataset_default_train",
    "eval_dataset_size": 0.3,
    "training_args": {
        "seed": 0,
        "data_seed": 42,
        "per_device_train_batch_size": 1,
        "per_device_eval_batch_size": 1,
        "gradient_accumulation_steps": 4,
        "gradient_checkpointing": False,
        "learning_rate": 0.0001,
        "num_train_epochs": 3,
        "max_steps": 10,
        "logging_steps": 10,
        "evaluation_strategy": "steps",
        "eval_steps": 187,
        "group_by_length": True,
        "adam_beta2": 0.999,
        "max_grad_norm": 0.3,
    },
}


def test_there_are_five_passes_from_model_to_adapter() -> None:
    assert set(SPECS) == {"LoRA", "QLoRA", "DoRA", "LoHa", "LoKr"}
    assert {(spec.accepts, spec.produces) for spec in SPECS.values()} == {(("hf-model",), "hf-adapter")}
    assert "bitsandbytes>=0.48" in SPECS["QLoRA"].requires


def test_a_file_of_old_needs_no_change_but_of_names() -> None:
    config = LoRAConfig.parse(renamed(SPECS["LoRA"], OLD))
    assert (config.r, config.alpha, config.lora_dropout) == (64, 64, 0.1)
    given = config.training_args.given()
    assert given["eval_strategy"] == "steps"
    assert given["train_sampling_strategy"] == "group_by_length"
    assert given["max_steps"] == 10
    assert len(given) == len(OLD["training_args"])


def test_double_quant_stays_with_qlora_and_is_told_of_lora() -> None:
    assert "double_quant" in {rename.old for rename in SPECS["LoRA"].renames}
    assert QLoRAConfig.parse(renamed(SPECS["QLoRA"], OLD)).double_quant is True


def test_what_the_pass_decides_is_taken_out_with_a_reason() -> None:
    retired = [rename for rename in SPECS["LoRA"].renames if rename.new is None]
    assert {"training_args.output_dir", "training_args.report_to"} <= {rename.old for rename in retired}
    assert all(rename.why for rename in retired)


@pytest.mark.parametrize(
    ("args", "type_"),
    [
        ({"learning_rte": 1e-4}, "extra_forbidden"),
        ({"max_steps": "10"}, "int_type"),
        ({"max_steps": True}, "int_type"),
        ({"optim": "adamm"}, "literal_error"),
        ({"learning_rate": 0}, "greater_than"),
    ],
)
def test_training_args_are_checked_by_name_and_type(args: dict[str, Any], type_: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LoRAConfig.parse({"train_data_config": "data", "training_args": args})
    [error] = caught.value.errors()
    assert (error["loc"], error["type"]) == (("training_args", next(iter(args))), type_)


def test_arguments_that_are_left_out_are_not_in_the_canonical_form() -> None:
    config = LoRAConfig.parse({"train_data_config": "data", "training_args": {"max_steps": 3}})
    assert config.canonical()["training_args"] == {"max_steps": 3}


def test_the_relatives_of_lora_take_their_own_options() -> None:
    common = {"train_data_config": "data", "rank_dropout": 0.1, "module_dropout": 0.1}
    assert LoHaConfig.parse({**common, "use_effective_conv2d": True}).use_effective_conv2d
    assert LoKrConfig.parse({**common, "decompose_both": True, "decompose_factor": 8}).decompose_factor == 8
    with pytest.raises(ValidationError):
        LoHaConfig.parse({**common, "lora_dropout": 0.1})


def test_every_argument_of_the_installed_trainer_is_known_or_retired() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = {field.name for field in dataclasses.fields(transformers.TrainingArguments) if field.init}
    ours = set(TrainingArgs.model_fields)
    retired = {r.old.removeprefix("training_args.") for r in SPECS["LoRA"].renames if r.new is None}
    assert ours <= theirs
    assert theirs - ours - retired == set()
    assert not ours & retired


def test_the_choices_are_those_of_the_installed_trainer() -> None:
    pytest.importorskip("transformers")
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    assert set(typing.get_args(Optimizer)) == {name.value for name in OptimizerNames}
    assert set(typing.get_args(Schedule)) == {name.value for name in SchedulerType}


def renamed(spec: PassSpec, options: dict[str, Any]) -> dict[str, Any]:
    """The options with today's names, as the core gives them to the pass."""
    flat = {
        f"{k}.{key}": v for k, inner in options.items() if isinstance(inner, dict) for key, v in inner.items()
    }
    flat |= {key: value for key, value in options.items() if not isinstance(value, dict)}
    for rename in spec.renames:
        if rename.old in flat:
            value = flat.pop(rename.old)
            if rename.new is not None:
                flat[rename.new] = rename.values.get(value, value) if rename.values else value
    made: dict[str, Any] = {"training_args": {}}
    for key, value in flat.items():
        section, _, name = key.rpartition(".")
        (made[section] if section else made)[name] = value
    return made
