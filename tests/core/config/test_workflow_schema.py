"""The JSON Schema accepts what the loader accepts and refuses what it refuses."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from modelpress.config.json_schema import workflow_json_schema
from modelpress.registry import Registry

if TYPE_CHECKING:
    from conftest import FakeSite

GOOD: dict[str, Any] = {
    "input_model": {"type": "HfModel", "model_path": "m"},
    "data_configs": [{"name": "d", "type": "HuggingfaceContainer", "load_dataset_config": {"split": "x"}}],
    "systems": {"here": {"type": "LocalSystem", "hf_token": True, "accelerators": [{"device": "gpu"}]}},
    "evaluators": {
        "e": {"metrics": [{"name": "p", "type": "perplexity", "batch_size": 3, "data_config": "d"}]}
    },
    "passes": {
        "a": {"type": "LoRA", "train_data_config": "d", "training_args": {"max_steps": 3}, "host": "here"},
        "b": {"type": "MergeAdapterWeights"},
    },
    "search_strategy": False,
}


def every_reference(schema: Any) -> set[str]:
    return set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema)))


def test_the_schema_is_the_same_each_time_and_whole(registry: Registry, site: FakeSite) -> None:
    schema = workflow_json_schema(registry)
    assert json.dumps(schema) == json.dumps(workflow_json_schema(site.registry()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert every_reference(schema) <= set(schema["$defs"])


def test_each_pass_brings_its_options(registry: Registry) -> None:
    definitions = workflow_json_schema(registry)["$defs"]
    assert definitions["PassSection"]["properties"]["type"]["enum"] == [
        "LoRA",
        "MergeAdapterWeights",
        "ModelBuilder",
    ]
    lora = definitions["PassSection.LoRA"]
    assert lora["properties"]["r"]["anyOf"][0]["minimum"] == 1
    assert "host" in lora["properties"]
    assert lora["required"] == ["type", "train_data_config"]
    assert lora["additionalProperties"] is False
    assert "PassSection.LoRA.TrainingArgs" in definitions


def test_a_plugin_whose_options_cannot_be_imported_is_left_open(registry: Registry, site: FakeSite) -> None:
    code = """
        @hookimpl
        def modelpress_passes():
            return [PassSpec("A", "", accepts=(), produces="same", run="m:r", config="no_such:C")]
    """
    site.install("vendor", code)
    definitions = workflow_json_schema(site.registry())["$defs"]
    assert "additionalProperties" not in definitions["PassSection.A"]


def test_nothing_installed_still_gives_a_schema() -> None:
    schema = workflow_json_schema(Registry())
    assert every_reference(schema) <= set(schema["$defs"])


def test_the_schema_accepts_what_is_right_and_refuses_what_is_wrong(registry: Registry) -> None:
    schema = workflow_json_schema(registry)
    validator = Draft202012Validator(schema)
    validator.check_schema(schema)
    assert not list(validator.iter_errors(GOOD))
    by_name = {"d": {key: value for key, value in GOOD["data_configs"][0].items() if key != "name"}}
    assert not list(validator.iter_errors(GOOD | {"data_configs": by_name}))
    for wrong in (
        GOOD | {"sede": 1},
        GOOD | {"input_model": {"type": "HfModle", "model_path": "m"}},
        GOOD | {"data_configs": [{"type": "HuggingfaceContainer"}]},
        GOOD | {"passes": {"a": {"type": "LoRA", "train_data_config": "d", "rr": 1}}},
        GOOD
        | {"passes": {"a": {"type": "LoRA", "train_data_config": "d", "training_args": {"max_stpes": 1}}}},
        GOOD | {"passes": {"a": {"type": "LoRA"}}},
        GOOD | {"systems": {"x": {"type": "LocalSystem", "accelerators": ["gpu"]}}},
        GOOD | {"evaluators": {"e": {"metrics": [{"type": "perplexity", "batch": 1}]}}},
    ):
        assert list(validator.iter_errors(wrong)), wrong
