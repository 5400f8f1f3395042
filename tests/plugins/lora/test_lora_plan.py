"""What the adapter passes tell before any work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelpress.api import Accelerator, Artifact, DataFacts, ModelFacts
from modelpress.artifact import Meta
from modelpress.testing import make_tiny_model
from modelpress_plugins.lora.config import LoRAConfig, QLoRAConfig
from modelpress_plugins.lora.plan import plan


class Noted:
    """A PlanContext that keeps what it is told."""

    device = "cpu"
    accelerator = Accelerator()
    offline = True

    def __init__(self, rows: int | None = 100) -> None:
        self.problems: list[tuple[str, str, str]] = []
        self.notes: list[str] = []
        self.memory = 0
        self._rows = rows

    def problem(self, message: str, hint: str = "", *, option: str = "", kind: str = "input") -> None:
        self.problems.append((message, hint, option))

    def note(self, message: str) -> None:
        self.notes.append(message)

    def needs(self, *, memory: int = 0) -> None:
        self.memory = memory

    def data(self, role: str) -> DataFacts | None:
        return DataFacts(rows=self._rows) if role == "train" else None


def planned(options: dict[str, Any], model: ModelFacts | None = None, rows: int | None = 100) -> Noted:
    noted = Noted(rows)
    config = LoRAConfig.parse({"train_data_config": "data", **options})
    made = plan(model or ModelFacts("hf-model"), config, noted)
    assert made.format == "hf-adapter"
    return noted


@pytest.fixture(scope="module")
def facts(small_model: Artifact) -> ModelFacts:
    config = json.loads((small_model.path / "config.json").read_text(encoding="utf-8"))
    return ModelFacts("hf-model", small_model.path, small_model.key, config, small_model.size)


def test_a_plain_configuration_has_no_problem(facts: ModelFacts) -> None:
    noted = planned({"eval_dataset_size": 0.3, "training_args": {"eval_strategy": "steps"}}, facts)
    assert noted.problems == []
    assert noted.memory > 2**20


def test_target_modules_that_the_checkpoint_lacks_are_told_with_those_that_exist(facts: ModelFacts) -> None:
    [(message, hint, option)] = planned({"target_modules": ["q_proj", "v_proj"]}, facts).problems
    assert message == "No module of the model is named q_proj or v_proj."
    assert "qkv_proj" in hint
    assert option == "target_modules"


def test_a_single_target_module_that_is_missing_is_noted(facts: ModelFacts) -> None:
    noted = planned({"target_modules": ["q_proj", "o_proj"]}, facts)
    assert noted.problems == []
    assert "q_proj" in noted.notes[0]


def test_a_broken_regular_expression_is_told() -> None:
    [(message, _, option)] = planned({"target_modules": "layers.(0"}).problems
    assert "regular expression" in message
    assert option == "target_modules"


def test_evaluation_without_data_is_told() -> None:
    [(message, hint, option)] = planned({"training_args": {"eval_strategy": "epoch"}}).problems
    assert "no data for it" in message
    assert "eval_dataset_size" in hint
    assert option == "training_args.eval_strategy"


def test_two_sources_of_evaluation_data_are_told() -> None:
    options = {"eval_data_config": "other", "eval_dataset_size": 10}
    assert planned(options).problems[0][2] == "eval_dataset_size"


def test_a_size_that_is_neither_share_nor_count_is_told() -> None:
    assert "neither a share" in planned({"eval_dataset_size": 1.5}).problems[0][0]


def test_an_empty_data_set_is_told() -> None:
    assert planned({}, rows=0).problems == [("The data set has no rows.", "", "train_data_config")]


def test_a_model_that_is_quantized_is_told() -> None:
    model = ModelFacts("hf-model", config={"quantization_config": {"quant_method": "gptq"}})
    assert "quantized already (gptq)" in planned({}, model).problems[0][0]


def test_a_model_for_another_task_is_told() -> None:
    model = ModelFacts("hf-model", meta=Meta(task="text-classification"))
    assert "text-classification" in planned({}, model).problems[0][0]


def test_the_size_of_the_adapter_is_foreseen_from_the_headers(facts: ModelFacts) -> None:
    noted = Noted()
    config = LoRAConfig.parse({"train_data_config": "d", "r": 4, "target_modules": ["o_proj", "down_proj"]})
    made = plan(facts, config, noted)
    assert made.size == 2 * 4 * ((64 + 64) + (64 + 128)) * 4  # layers x rank x (in + out) x bytes
    assert made.base is not None
    assert made.base.path == facts.path


def test_qlora_needs_less_memory_than_lora() -> None:
    model = ModelFacts("hf-model", size=10**10, config={"dtype": "bfloat16"})
    one, other = Noted(), Noted()
    plan(model, LoRAConfig.parse({"train_data_config": "d"}), one)
    plan(model, QLoRAConfig.parse({"train_data_config": "d"}), other)
    assert other.memory < one.memory / 3


def test_planning_imports_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys; import modelpress_plugins.lora as p; p.modelpress_passes(); light = set(sys.modules)\n"
        "assert 'pydantic' not in light\n"
        "import modelpress_plugins.lora.plan\n"
        "heavy = {'torch', 'transformers', 'peft', 'numpy', 'accelerate', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("wanted", [-1, 1, 4, 6, 8])
@pytest.mark.parametrize("number", [1, 7, 12, 64, 96, 97, 128, 200, 2304, 5632])
def test_kronecker_factors_are_those_that_peft_makes(number: int, wanted: int) -> None:
    from peft.tuners.lokr.layer import factorization

    from modelpress_plugins.lora.plan import _near_factors

    assert _near_factors(number, wanted) == factorization(number, wanted)


MIXTRAL = ModelFacts("hf-model", config={"model_type": "mixtral", "architectures": ["MixtralForCausalLM"]})


@pytest.mark.parametrize(
    "targets", ["all-linear", ["q_proj", "w1", "w2", "w3"], r".*experts.*w[123]"], ids=str
)
def test_experts_get_no_dropout(targets: Any) -> None:
    """Of their layers transformers makes parameters, on which peft has none."""
    noted = planned({"target_modules": targets}, MIXTRAL)
    assert not noted.problems
    assert any("lora_dropout is 0" in note for note in noted.notes)
    assert planned({"target_modules": targets, "lora_dropout": 0.1}, MIXTRAL).problems[0][2] == "lora_dropout"
    assert (
        "no DoRA on experts" in planned({"target_modules": targets, "use_dora": True}, MIXTRAL).problems[0][0]
    )


def test_dropout_stays_where_no_expert_is_trained() -> None:
    noted = planned({"target_modules": ["q_proj"], "lora_dropout": 0.1}, MIXTRAL)
    assert not noted.problems


def test_the_head_of_a_tied_model_is_a_target(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "tied", tie_word_embeddings=True)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    noted = planned({"target_modules": ["lm_head"]}, ModelFacts("hf-model", folder, config=config))
    assert not noted.problems
    assert not any("No module" in note for note in noted.notes)


def test_a_model_that_continues_no_text_is_refused() -> None:
    config = {"architectures": ["WhisperForConditionalGeneration"], "is_encoder_decoder": True}
    noted = planned({"lora_dropout": 0.1}, ModelFacts("hf-model", config=config))
    ((message, _, _),) = noted.problems
    assert "an encoder with a decoder (WhisperForConditionalGeneration)" in message
