"""A registry of small plugins that look like the real ones, and a way to load text as a workflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelpress.config.load import load_workflow
from modelpress.config.workflow import WorkflowDraft
from modelpress.registry import Registry

if TYPE_CHECKING:
    from conftest import FakeSite

SEED = Path(__file__).parent / "olive"
"""Files in Olive's form of spring 2024."""

PLUGIN = """
    HERE = "PACKAGE.config"

    @hookimpl
    def modelpress_models():
        return [ModelSpec(name="HfModel", summary="A model.", produces="hf-model", open="m:o",
                          config=f"{HERE}:Model", aliases=("PyTorchModel",),
                          renames=(Rename("model_file_format", None, "it is recognized"),))]

    @hookimpl
    def modelpress_data_containers():
        pre = "pre_process_data_config"
        return [DataContainerSpec(name="HuggingfaceContainer", summary="Data.", open="m:o",
                                  config=f"{HERE}:Data",
                                  renames=(Rename(f"{pre}.corpus_strategy", f"{pre}.strategy"),
                                           Rename(f"{pre}.source_max_len", f"{pre}.max_seq_len")))]

    @hookimpl
    def modelpress_systems():
        return [SystemSpec(name="LocalSystem", summary="Here.", open="m:o", config=f"{HERE}:Local")]

    @hookimpl
    def modelpress_samplers():
        return [SamplerSpec(name="tpe", summary="Learn.", open="m:o", config=f"{HERE}:Tpe"),
                SamplerSpec(name="random", summary="By chance.", open="m:o")]

    @hookimpl
    def modelpress_metrics():
        return [MetricSpec(name="perplexity", summary="A metric.", run="m:r", config=f"{HERE}:Perplexity",
                           gives={"perplexity": ("", False)}),
                MetricSpec(name="LMEvaluator", summary="Tasks.", run="m:r", config=f"{HERE}:Tasks", gives={},
                           open_ended=True, renames=(Rename("model_class", None, "the format says it"),))]

    @hookimpl
    def modelpress_passes():
        args = "training_args"
        return [
            PassSpec(name="LoRA", summary="Fine-tune.", accepts=("hf-model",), produces="hf-adapter",
                     run="m:r", config=f"{HERE}:LoRA",
                     renames=(Rename("lora_r", "r"), Rename("lora_alpha", "alpha"),
                              Rename("double_quant", None, "it belongs to QLoRA"),
                              Rename(f"{args}.evaluation_strategy", f"{args}.eval_strategy"),
                              Rename(f"{args}.group_by_length", f"{args}.train_sampling_strategy",
                                     values={True: "group_by_length", False: "random"}),
                              Rename("allow_tf32", f"{args}.tf32"))),
            PassSpec(name="MergeAdapterWeights", summary="Merge.", accepts=("hf-adapter",),
                     produces="hf-model", run="m:r", config=f"{HERE}:Merge"),
            PassSpec(name="ModelBuilder", summary="Build.", accepts=("hf-model",), produces="ort-genai",
                     run="m:r", config=f"{HERE}:Build"),
        ]
"""

CONFIG = """
    from typing import Annotated, Any, Literal

    from pydantic import ConfigDict, Field

    from modelpress.api import DataRole, Options, Resource

    class Model(Options):
        model_path: Annotated[str | dict[str, Any], Resource(optional=True)]
        task: str = "text-generation"
        load_kwargs: dict[str, Any] = {}

    class Load(Options):
        data_name: str | None = None
        data_files: Annotated[str | list[Any] | dict[str, Any] | None, Resource(optional=True)] = None
        split: str = "train"
        token: str | None = None

    class Process(Options):
        dataset_type: Literal["corpus", "pair"] = "corpus"
        text_cols: str | list[str] | None = None
        text_template: str | None = None
        strategy: Literal["join", "line-by-line"] = "join"
        max_seq_len: int = 1024
        pad_to_max_len: bool = False
        use_attention_mask: bool = True

    class Loader(Options):
        batch_size: int = 1

    class Data(Options):
        task: str | None = None
        load_dataset_config: Load = Load()
        pre_process_data_config: Process = Process()
        dataloader_config: Loader = Loader()

    class Local(Options):
        hf_token: bool = False

    class Tpe(Options):
        n_startup_trials: int = Field(default=10, ge=1)

    class Tasks(Options):
        tasks: list[str]
        limit: int | float | None = None

    class Perplexity(Options):
        batch_size: int = 1

    class TrainingArgs(Options):
        model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
        learning_rate: float = 1e-4
        max_steps: int = -1
        num_train_epochs: float = 3.0
        seed: int = 0
        data_seed: int | None = None
        per_device_train_batch_size: int = 1
        per_device_eval_batch_size: int = 1
        gradient_accumulation_steps: int = 1
        gradient_checkpointing: bool = False
        logging_steps: int = 10
        eval_steps: int = 10
        eval_strategy: str = "no"
        train_sampling_strategy: str = "random"
        adam_beta2: float = 0.999
        max_grad_norm: float = 1.0
        tf32: bool | None = None

    class LoRA(Options):
        train_data_config: Annotated[str, DataRole("train")] = Field(description="Name of the data.")
        eval_data_config: Annotated[str | None, DataRole("eval")] = None
        r: int = Field(default=64, ge=1)
        use_dora: bool = False
        alpha: int = 16
        lora_dropout: float = 0.05
        target_modules: list[str] | str = "all-linear"
        eval_dataset_size: int | float | None = None
        training_args: TrainingArgs = TrainingArgs()

    class Merge(Options):
        "None."

    class Build(Options):
        precision: Literal["fp32", "int4", "int8"]
"""


@pytest.fixture
def registry(site: FakeSite) -> Registry:
    site.install("main", PLUGIN, package="fake_main", files={"config.py": CONFIG})
    loaded = site.registry()
    assert not loaded.broken
    return loaded


Load = Callable[..., WorkflowDraft]


@pytest.fixture
def load(tmp_path: Path, registry: Registry) -> Load:
    """load(text, name="w.yaml") writes the text to a file of that name and loads it."""

    def load_text(text: str, name: str = "w.yaml") -> WorkflowDraft:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load_workflow(path, registry)

    return load_text


@pytest.fixture(params=["olive-config.local.json", "olive-config.azureml.json"])
def olive_file(request: pytest.FixtureRequest) -> Path:
    return SEED / str(request.param)
