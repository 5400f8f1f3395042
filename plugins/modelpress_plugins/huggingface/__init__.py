"""Models and data sets in the layouts of the Hugging Face libraries.

Brings the input model `HfModel` (`PyTorchModel`), the formats `hf-model` and `hf-adapter`, and the data
containers `HuggingfaceContainer` and `DummyDataContainer`; the commands `ask` and `data preview`.
"""

from __future__ import annotations

from modelpress.api import (
    CommandSpec,
    DataContainerSpec,
    FormatSpec,
    LibrarySpec,
    ModelSpec,
    Rename,
    hookimpl,
)
from modelpress_plugins.ranges import ACCELERATE, DATASETS, JINJA2, PEFT, SAFETENSORS, TORCH, TRANSFORMERS

MODELPRESS_API = 1

_HERE = "modelpress_plugins.huggingface"
_HF = "modelpress_plugins.hf"
_PRE = "pre_process_data_config"
_OWN_TOKENIZER = "the tokenizer is that of the model"
_MODEL_RENAMES = (
    Rename("model_file_format", None, why="an MLflow folder is recognized by its MLmodel file"),
    Rename("load_kwargs.dtype", "load_kwargs.torch_dtype"),
    *(
        Rename(
            name, None, why="no pass here asks for it: what a model takes and gives is read from its config"
        )
        for name in ("io_config", "dummy_inputs_func", "model_script", "script_dir", "model_attributes")
    ),
    Rename("model_class", None, why="the class of a model is read from its config"),
    Rename("generative", None, why="models for text generation are all that there is"),
)
_DATA_RENAMES = (
    Rename(f"{_PRE}.corpus_strategy", f"{_PRE}.strategy"),
    Rename(f"{_PRE}.source_max_len", f"{_PRE}.max_seq_len"),
    Rename(f"{_PRE}.target_max_len", None, why="max_seq_len holds for source and target together"),
    Rename(f"{_PRE}.model_name", None, why=_OWN_TOKENIZER),
    Rename(f"{_PRE}.trust_remote_code", None, why=_OWN_TOKENIZER),
    Rename("load_dataset_config.name", "load_dataset_config.subset"),
    Rename("load_dataset_config.max_samples", f"{_PRE}.max_samples"),
    Rename("load_dataset_config.token", None, why="the hub's token is that of this machine"),
)


@hookimpl
def modelpress_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="HfModel",
            summary="A transformers model: a local folder, a hub id, or an MLflow transformers folder.",
            produces="hf-model",
            open=f"{_HERE}.open_model:open_model",
            fetch=f"{_HERE}.fetch_model:fetch_model",
            config=f"{_HERE}.config:HfModelOptions",
            aliases=("PyTorchModel",),
            renames=_MODEL_RENAMES,
        )
    ]


@hookimpl
def modelpress_formats() -> list[FormatSpec]:
    return [
        FormatSpec(
            name="hf-model",
            summary="A transformers model with its tokenizer, weights in safetensors.",
            check=f"{_HF}.folder:check_hf_model",
            load=f"{_HF}.open:load_hf_model",
            tokenizer=f"{_HF}.tokenizer:load_tokenizer",
            usage=f"{_HF}.usage:use_hf_model",
            requires=(ACCELERATE, TORCH, TRANSFORMERS, SAFETENSORS, PEFT),
            extra="train",
        ),
        FormatSpec(
            name="hf-adapter",
            summary="A PEFT adapter; its artifact points to the base model.",
            check=f"{_HF}.folder:check_hf_adapter",
            load=f"{_HF}.open:load_hf_adapter",
            tokenizer=f"{_HF}.tokenizer:load_tokenizer",
            usage=f"{_HF}.usage:use_hf_adapter",
            requires=(ACCELERATE, TORCH, TRANSFORMERS, SAFETENSORS, PEFT),
            extra="train",
        ),
    ]


@hookimpl
def modelpress_data_containers() -> list[DataContainerSpec]:
    return [
        DataContainerSpec(
            name="HuggingfaceContainer",
            summary="Text data: json, csv, txt or parquet files, or a data set on the hub.",
            open=f"{_HERE}.source:open_huggingface",
            describe=f"{_HERE}.data_checks:describe_huggingface",
            config=f"{_HERE}.data_config:HuggingfaceOptions",
            requires=(DATASETS, JINJA2, TRANSFORMERS),
            extra="train",
            version=2,
            renames=_DATA_RENAMES,
        ),
        DataContainerSpec(
            name="DummyDataContainer",
            summary="Random tokens: for latency, throughput and trying things out.",
            open=f"{_HERE}.dummy:open_dummy",
            describe=f"{_HERE}.data_checks:describe_dummy",
            config=f"{_HERE}.data_config:DummyOptions",
            requires=(),
            extra="train",
        ),
    ]


@hookimpl
def modelpress_commands() -> list[CommandSpec]:
    return [
        CommandSpec(name="ask", summary="Put a question to a model.", command=f"{_HERE}.ask:command"),
        CommandSpec(
            name="data preview",
            summary="Show samples, tokenized, with what the loss covers.",
            command=f"{_HERE}.preview:command",
        ),
    ]


@hookimpl
def modelpress_libraries() -> list[LibrarySpec]:
    return [
        LibrarySpec(
            name="huggingface-hub",
            summary="Where models and data sets come from: its cache, its token, and what keeps it offline.",
            offline=dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"), "1"),
            check=f"{_HERE}.hub_check:check",
        )
    ]
