"""Olive's older form is read as today's; each change is told once and no key gets lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from modelpress.config.given import Given
from modelpress.config.load import load_workflow
from modelpress.config.workflow import WorkflowDraft
from modelpress.context import Accelerator
from modelpress.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Load = Callable[..., WorkflowDraft]


def load_json(load: Load, value: Any) -> WorkflowDraft:
    return load(json.dumps(value, indent=1), "w.json")


def told(workflow: WorkflowDraft) -> list[tuple[str, str]]:
    return [(t.old, t.new) for t in workflow.translations]


MODEL = {"type": "HfModel", "model_path": "m"}
DATA = {"name": "d", "type": "HuggingfaceContainer"}


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from leaves(child)
    else:
        yield value


def test_the_local_file_of_2024_becomes_todays_form(registry: Registry) -> None:
    workflow = load_workflow(Path(__file__).parent / "olive" / "olive-config.local.json", registry)
    assert not list(workflow.problems)
    assert workflow.native["input_model"] == {
        "type": "HfModel",
        "model_path": "model-cache/microsoft/phi-3-mini",
        "task": "text-generation",
        "load_kwargs": {"trust_remote_code": True},
    }
    lora = workflow.native["passes"]["lora"]
    assert lora["r"] == 64
    assert lora["training_args"]["train_sampling_strategy"] == "group_by_length"
    assert lora["training_args"]["eval_strategy"] == "steps"
    assert workflow.native["data_configs"][0]["load_dataset_config"]["data_name"] == "json"
    assert workflow.native["passes"]["builder"] == {"type": "ModelBuilder", "precision": "int4"}
    assert workflow.native["log_severity_level"] == 0
    assert [step.name for step in workflow.passes] == ["lora", "merge_adapter_weights", "builder"]


def test_no_key_of_a_file_of_2024_gets_lost(olive_file: Path, registry: Registry) -> None:
    before = json.loads(olive_file.read_text())
    workflow = load_workflow(olive_file, registry)
    after = list(leaves(workflow.native))
    left_out = [t.old for t in workflow.translations if not t.new]
    missing = list(leaves(before))
    for value in after:
        if value in missing:
            missing.remove(value)
    # double_quant and group_by_length are `true`; the type and what is left out or renamed are told
    names = {
        "PyTorchModel",
        "PyTorch.MLflow",
        "microsoft/Phi-3-mini-4k-instruct",
        True,
        "CUDAExecutionProvider",
    }
    assert set(missing) <= names
    assert "LoRA.double_quant" in left_out
    assert len(workflow.translations) == len(set(told(workflow)))


def test_each_translation_has_the_place_where_it_was_first_made(registry: Registry, olive_file: Path) -> None:
    workflow = load_workflow(olive_file, registry)
    lines = olive_file.read_text().splitlines()
    by_old = {t.old: t for t in workflow.translations}
    where = by_old["LoRA.lora_r"].where
    assert where is not None
    assert '"lora_r"' in lines[where.line - 1]
    nested = by_old["{type, config: {…}}"]
    assert nested.count > 1
    assert f"({nested.count} times)" in str(nested)


def test_places_follow_a_key_through_translation(registry: Registry, olive_file: Path) -> None:
    workflow = load_workflow(olive_file, registry)
    lines = olive_file.read_text().splitlines()
    for path, key in (
        ("passes.lora.r", "lora_r"),
        ("passes.lora.training_args.eval_strategy", "evaluation_strategy"),
        ("data_configs.dataset_default_train.pre_process_data_config.strategy", "corpus_strategy"),
        ("output_dir", "output_dir"),
    ):
        where = workflow.locate(path)
        assert f'"{key}"' in lines[where.line - 1]
        assert lines[where.line - 1].index(f'"{key}"') == where.column - 1


def test_the_azureml_file_lacks_nothing_but_the_azureml_plugin(registry: Registry) -> None:
    workflow = load_workflow(Path(__file__).parent / "olive" / "olive-config.azureml.json", registry)
    assert {problem.step for problem in workflow.problems} == {"aml", "azure_arc"}
    assert all("no system of type 'AzureML'" in problem.message for problem in workflow.problems)
    assert workflow.native["systems"]["aml"]["accelerators"] == [
        {"device": "gpu", "execution_providers": ["CUDAExecutionProvider"]}
    ]
    assert workflow.native["systems"]["azure_arc"]["accelerators"] == [{"device": "gpu"}]
    assert workflow.native["input_model"]["model_path"]["registry_name"] == "azureml-msr"
    data_files = workflow.native["data_configs"][0]["load_dataset_config"]["data_files"]
    assert data_files["datastore_name"] == "workspaceblobstore"
    assert "config" not in data_files


def test_a_native_workflow_is_left_as_it_is(load: Load) -> None:
    text = """
        input_model: {type: HfModel, model_path: m}
        systems: {here: {type: LocalSystem, accelerators: [{device: cpu}]}}
        data_configs: {d: {type: HuggingfaceContainer}}
        passes: {lora: {type: LoRA, train_data_config: d, host: here}}
        host: here
    """
    workflow = load(text)
    assert not list(workflow.problems)
    assert not workflow.translations


def test_params_config_goes_to_the_section_of_each_key(load: Load) -> None:
    data = DATA | {
        "params_config": {
            "data_name": "json",
            "batch_size": 4,
            "task": "text-generation",
            "component_kwargs": {"pre_process_data": {"text_cols": ["x"]}, "load_dataset": {"split": "test"}},
        }
    }
    workflow = load_json(load, {"input_model": MODEL, "data_configs": [data]})
    assert workflow.native["data_configs"] == [
        DATA
        | {
            "task": "text-generation",
            "load_dataset_config": {"data_name": "json", "split": "test"},
            "dataloader_config": {"batch_size": 4},
            "pre_process_data_config": {"text_cols": ["x"]},
        }
    ]
    assert ("params_config.data_name", "load_dataset_config.data_name") in told(workflow)
    assert ("params_config.component_kwargs.pre_process_data", "pre_process_data_config") in told(workflow)


def test_components_become_sections(load: Load) -> None:
    data = DATA | {"components": {"load_dataset": {"name": "x", "params": {"data_name": "json"}}}}
    workflow = load_json(load, {"input_model": MODEL, "data_configs": [data]})
    assert workflow.native["data_configs"][0]["load_dataset_config"] == {"data_name": "json"}


def test_a_data_set_inside_the_model_becomes_a_data_config(load: Load) -> None:
    model = {
        "type": "PyTorchModel",
        "config": {"hf_config": {"model_name": "m", "dataset": {"data_name": "json"}}},
    }
    workflow = load_json(load, {"input_model": model, "passes": {"m": {"type": "MergeAdapterWeights"}}})
    assert not list(workflow.problems)
    assert workflow.native["data_configs"] == [
        {
            "name": "input_model_data",
            "type": "HuggingfaceContainer",
            "load_dataset_config": {"data_name": "json"},
        }
    ]


def test_the_old_default_of_corpora_is_kept(load: Load) -> None:
    data = DATA | {"pre_process_data_config": {"params": {"dataset_type": "corpus", "source_max_len": 8}}}
    workflow = load_json(load, {"input_model": MODEL, "data_configs": [data]})
    process = workflow.native["data_configs"][0]["pre_process_data_config"]
    assert process == {"dataset_type": "corpus", "max_seq_len": 8, "strategy": "line-by-line"}


def test_two_lengths_of_pairs_become_their_sum(load: Load) -> None:
    process = {"dataset_type": "pair", "source_max_len": 100, "target_max_len": 28}
    workflow = load_json(
        load, {"input_model": MODEL, "data_configs": [DATA | {"pre_process_data_config": process}]}
    )
    assert workflow.native["data_configs"][0]["pre_process_data_config"] == {
        "dataset_type": "pair",
        "max_seq_len": 128,
    }


def test_data_root_begins_relative_paths(load: Load) -> None:
    files = [DATA | {"load_dataset_config": {"data_files": ["a.json", "/b.json", "https://x/c.json"]}}]
    workflow = load_json(load, {"input_model": MODEL, "data_configs": files, "data_root": "data/"})
    data_files = workflow.native["data_configs"][0]["load_dataset_config"]["data_files"]
    assert data_files == ["data/a.json", "/b.json", "https://x/c.json"]


def test_execution_providers_without_a_system_say_what_the_model_is_for(load: Load) -> None:
    workflow = load_json(
        load, {"input_model": MODEL, "engine": {"execution_providers": ["DmlExecutionProvider"]}}
    )
    assert workflow.target == "the_target"
    assert workflow.systems["the_target"].accelerators == (Accelerator("gpu", "DmlExecutionProvider"),)
    assert "local" not in workflow.systems  # where passes run has not been said


def test_devices_are_taken_in_any_case(load: Load) -> None:
    accelerators = [{"device": "GPU", "execution_providers": ["WebGpuExecutionProvider"]}]
    systems = {
        "a": {"type": "LocalSystem", "accelerators": accelerators},
        "b": {"type": "LocalSystem", "accelerators": ["CPU"]},
    }
    workflow = load_json(load, {"input_model": MODEL, "systems": systems})
    assert workflow.systems["a"].accelerators == (Accelerator("gpu", "WebGpuExecutionProvider"),)
    assert workflow.systems["b"].accelerators == (Accelerator(),)


def test_a_device_gets_its_usual_execution_provider(load: Load) -> None:
    systems = {
        "a": {"type": "LocalSystem", "accelerators": ["gpu", "cpu"]},
        "b": {"type": "LocalSystem", "accelerators": [{"execution_providers": ["CPUExecutionProvider"]}]},
        "c": {"type": "LocalSystem"},
    }
    workflow = load_json(load, {"input_model": MODEL, "systems": systems})
    assert workflow.systems["a"].accelerators == (
        Accelerator("gpu", "CUDAExecutionProvider"),
        Accelerator("cpu", "CPUExecutionProvider"),
    )
    assert workflow.systems["b"].accelerators == (Accelerator("cpu", "CPUExecutionProvider"),)
    assert workflow.systems["c"].accelerators == ()


def test_an_azureml_client_at_the_top_goes_to_what_uses_it(load: Load) -> None:
    data = DATA | {"load_dataset_config": {"data_files": {"type": "azureml_datastore", "relative_path": "x"}}}
    workflow = load_json(
        load,
        {
            "azureml_client": {"workspace_name": "w"},
            "input_model": MODEL,
            "data_configs": [data],
            "systems": {"aml": {"type": "AzureML"}},
        },
    )
    assert workflow.native["systems"]["aml"]["azureml_client_config"] == {"workspace_name": "w"}
    data_files = workflow.native["data_configs"][0]["load_dataset_config"]["data_files"]
    assert data_files["azureml_client"] == {"workspace_name": "w"}
    assert "azureml_client" not in workflow.native


def test_an_azureml_client_at_the_top_goes_to_addresses_and_registries(load: Load) -> None:
    data = DATA | {"load_dataset_config": {"data_files": "azureml://datastores/d/paths/p"}}
    model = {"type": "azureml_registry_model", "registry_name": "r", "name": "n", "version": "1"}
    workflow = load_json(
        load,
        {
            "azureml_client": {"workspace_name": "w"},
            "input_model": {"type": "HfModel", "model_path": model},
            "data_configs": [data],
        },
    )
    assert workflow.native["input_model"]["model_path"]["azureml_client"] == {"workspace_name": "w"}
    assert workflow.native["data_configs"][0]["load_dataset_config"]["data_files"] == {
        "type": "azureml_address",
        "address": "azureml://datastores/d/paths/p",
        "azureml_client": {"workspace_name": "w"},
    }


def test_local_resources_become_plain_paths(load: Load) -> None:
    model = {"type": "HfModel", "model_path": {"type": "local_folder", "config": {"path": "m"}}}
    workflow = load_json(load, {"input_model": model})
    assert workflow.native["input_model"]["model_path"] == "m"


def test_systems_and_evaluators_written_in_place_get_names(load: Load) -> None:
    workflow = load_json(
        load,
        {
            "input_model": MODEL,
            "host": {"type": "LocalSystem", "config": {"accelerators": ["gpu"]}},
            "evaluator": {"metrics": [{"type": "perplexity", "data_config": "d"}]},
            "data_configs": [DATA],
        },
    )
    assert not list(workflow.problems)
    assert workflow.host == "the_host"
    assert workflow.systems["the_host"].accelerators[0].device == "gpu"
    assert workflow.metrics[0].data == {"data": "d"}


def test_pass_flows_put_passes_in_order(load: Load) -> None:
    passes = {"a": {"type": "MergeAdapterWeights"}, "b": {"type": "MergeAdapterWeights"}, "c": {"type": "X"}}
    workflow = load_json(load, {"input_model": MODEL, "passes": passes, "pass_flows": [["b", "a"]]})
    assert [step.name for step in workflow.passes] == ["b", "a"]
    assert ("passes.c", "") in told(workflow)
    several = load_json(load, {"input_model": MODEL, "passes": passes, "pass_flows": [["a"], ["b"]]})
    assert not list(several.problems)
    assert [step.name for step in several.passes] == ["a"]
    assert any("the first flow is built: a." in t.why for t in several.translations)


def test_keys_without_a_meaning_are_told(load: Load) -> None:
    step = {"type": "MergeAdapterWeights", "clean_run_cache": True}
    engine = {"clean_cache": True, "plot_pareto_frontier": False, "packaging_config": None}
    workflow = load_json(load, {"input_model": MODEL, "passes": {"m": step}, "engine": engine})
    assert not list(workflow.problems)
    left_out = {t.old for t in workflow.translations if not t.new}
    assert left_out == {
        "clean_cache", "plot_pareto_frontier", "packaging_config",
        "clean_run_cache of a pass",
    }  # fmt: skip


def test_what_is_not_built_is_a_problem_when_it_is_asked_for(load: Load) -> None:
    document = {"input_model": MODEL, "auto_optimizer_config": {"type": "x"}, "passes": {}}
    workflow = load_json(load, document)
    assert any("not built yet" in problem.message for problem in workflow.problems)


def test_packages_are_read_in_every_form_that_they_had(load: Load) -> None:
    document = {"input_model": MODEL, "passes": {"m": {"type": "MergeAdapterWeights"}}}
    old = {"type": "zipfile", "name": "llama2", "config": {"export_in_mlflow_format": False}}
    workflow = load_json(load, {**document, "engine": {"packaging_config": old}})
    assert not list(workflow.problems)
    assert [(each.is_zip, each.name) for each in workflow.packages] == [(True, "llama2")]
    assert ("export_in_mlflow_format of a package", "") in told(workflow)
    listed = [{"type": "Zipfile"}, {"type": "Dockerfile", "base_image": "debian"}]
    several = load_json(load, {**document, "packaging_config": listed})
    assert [(each.name, each.base_image) for each in several.packages] == [
        ("OutputModels", ""), ("OutputModels", "debian"),
    ]  # fmt: skip
    twice = load_json(load, {**document, "packaging_config": [{}, {}]})
    assert [problem.message for problem in twice.problems] == ["Two packages would be OutputModels.zip."]
    cloud = load_json(load, {**document, "packaging_config": {"type": "AzureMLModels", "nam": "x"}})
    assert ["'packaging_config.type' has to be one of" in p.message for p in cloud.problems] == [True, False]
    assert "Did you mean 'name'?" in list(cloud.problems)[1].hint


def test_types_are_taken_in_any_case(load: Load) -> None:
    document = {
        "input_model": {"type": "hfmodel", "model_path": "m"},
        "data_configs": [{"name": "d", "type": "huggingfacecontainer"}],
        "systems": {"here": {"type": "LOCALSYSTEM"}},
        "evaluators": {"e": {"metrics": [{"type": "Perplexity", "data_config": "d"}]}},
        "passes": {"l": {"type": "lora", "train_data_config": "d", "lora_r": 4}},
        "host": "here",
    }
    workflow = load_json(load, document)
    assert not list(workflow.problems)
    assert workflow.native["passes"]["l"] == {"type": "LoRA", "train_data_config": "d", "r": 4}
    assert told(workflow) == [("LoRA.lora_r", "r")]  # of case nothing is said


def test_a_key_counts_for_more_than_the_name_inside(load: Load) -> None:
    lora = {"l": {"type": "LoRA", "train_data_config": "k"}}
    data = {"k": DATA | {"name": "other"}}
    workflow = load_json(load, {"input_model": MODEL, "data_configs": data, "passes": lora})
    assert not list(workflow.problems)
    assert told(workflow) == [("data_configs.k.name: other", "")]
    lora["l"]["train_data_config"] = "other"
    workflow = load_json(load, {"input_model": MODEL, "data_configs": data, "passes": lora})
    assert not list(workflow.problems)
    assert workflow.passes[0].data == {"train": "other"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("parts", "kind"), [({"data_name": "json"}, "HuggingfaceContainer"), ({"type": "x"}, "DataContainer")]
)
def test_a_data_config_without_a_type_is_what_its_parts_make(
    load: Load, parts: dict[str, str], kind: str
) -> None:
    data = [{"name": "d", "load_dataset_config": parts}]
    passes = {"l": {"type": "LoRA", "train_data_config": "d"}}
    workflow = load_json(load, {"input_model": MODEL, "data_configs": data, "passes": passes})
    assert workflow.native["data_configs"][0]["type"] == kind
    wrong = [problem.message for problem in workflow.problems]
    assert wrong == (
        [] if kind == "HuggingfaceContainer" else [f"There is no data container of type '{kind}'."]
    )


def test_metrics_that_evaluators_name_are_put_there(load: Load) -> None:
    metrics = [{"name": "p", "type": "perplexity", "data_config": "d"}]
    document = {"input_model": MODEL, "metrics": metrics, "evaluators": {"e": {"metrics": ["p"]}}}
    workflow = load_json(load, document | {"data_configs": [DATA], "evaluator": "e"})
    assert not list(workflow.problems)
    assert [metric.name for metric in workflow.metrics] == ["p"]


def test_nothing_is_told_that_only_follows_from_what_is_not_here(load: Load) -> None:
    data = [{"name": "d", "user_script": "x.py"}, DATA | {"name": "e", "whatever": 1}, DATA | {"name": "t"}]
    document = {
        "input_model": MODEL,
        "data_configs": data,
        "passes": {
            "c": {"type": "OnnxConversion", "data_config": "d", "other_data": "e"},
            "l": {"type": "LoRA", "train_data_config": "t"},
        },
    }
    workflow = load_json(load, document)
    assert [problem.message for problem in workflow.problems] == [
        "There is no pass of type 'OnnxConversion'."
    ]


def test_a_program_that_evaluates_is_left_out_beside_passes_and_a_problem_alone(load: Load) -> None:
    evaluators = {"lm": {"type": "MTEBEvaluator", "tasks": ["STS17"], "batch_size": 4}}
    document = {"input_model": MODEL, "evaluators": evaluators, "evaluator": "lm"}
    alone = load_json(load, document)
    assert [p.message for p in alone.problems] == ["There is no evaluator of type 'MTEBEvaluator'."]
    beside = load_json(load, document | {"passes": {"m": {"type": "MergeAdapterWeights"}}})
    assert not list(beside.problems)
    assert told(beside) == [("an evaluator MTEBEvaluator", "")]


def test_an_evaluator_that_is_a_metric_here_becomes_one(load: Load) -> None:
    lm = {"type": "LMEvaluator", "model_class": "hf", "tasks": ["hellaswag"], "limit": 0.05}
    workflow = load_json(load, {"input_model": MODEL, "evaluators": {"lm": lm}, "evaluator": "lm"})
    assert not list(workflow.problems)
    (metric,) = workflow.metrics
    assert (metric.type_name, metric.options.tasks, metric.options.limit) == (
        "LMEvaluator", ["hellaswag"], 0.05,
    )  # fmt: skip
    assert told(workflow) == [
        ("an evaluator LMEvaluator", "a metric of that type"),
        ("LMEvaluator.model_class", ""),
    ]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"pre_process_data_config": {"input_cols": ["a"], "label_cols": ["b"]}}, "another task"),
        ({"load_dataset_config": {"type": "load_mine"}, "user_script": "x.py"}, "function of a script"),
        ({"task": "text-classification"}, "another task"),
    ],
)
def test_data_of_another_kind_is_one_problem(load: Load, parts: dict[str, Any], message: str) -> None:
    passes = {"l": {"type": "LoRA", "train_data_config": "d"}}
    workflow = load_json(load, {"input_model": MODEL, "data_configs": [DATA | parts], "passes": passes})
    (problem,) = workflow.problems
    assert message in problem.message


@pytest.mark.parametrize(
    "metric",
    [
        {"sub_types": [{"name": "f1_score"}, {"name": "auroc"}]},
        {"backend": "torch_metrics", "task": "multiclass", "num_classes": 3},
        {"user_config": {"user_script": "x.py", "dataloader_func": "f", "post_processing_func": "g"}},
    ],
)
def test_accuracy_of_another_task_is_one_problem(load: Load, metric: dict[str, Any]) -> None:
    evaluators = {"e": {"metrics": [{"name": "a", "type": "accuracy"} | metric]}}
    workflow = load_json(load, {"input_model": MODEL, "evaluators": evaluators, "evaluator": "e"})
    (problem,) = workflow.problems
    assert "accuracy measures generated text" in problem.message


@pytest.mark.parametrize("key", ["model_loader", "components"])
def test_a_model_that_a_function_makes_is_one_problem(load: Load, key: str) -> None:
    model = {"type": "PyTorchModel", key: "load", "model_script": "x.py", "io_config": {}}
    workflow = load_json(load, {"input_model": model, "data_configs": [{"name": "d", "user_script": "x.py"}]})
    (problem,) = workflow.problems
    assert f"({key}) is not supported" in problem.message


def test_the_places_of_a_template_are_one_problem(load: Load) -> None:
    document = {
        "input_model": MODEL,
        "systems": {"s": {"type": "LocalSystem", "accelerators": [{"device": "<place_holder>"}]}},
        "passes": {
            "b": {"type": "ModelBuilder", "precision": "<place_holder>"},
            "l": {"type": "MergeAdapterWeights"},
        },
        "pass_flows": [["<place_holder>"]],
    }
    (problem,) = load_json(load, document).problems
    assert problem.message == "'<place_holder>' is a placeholder, no value; 3 places hold one."


def test_evaluation_only_leaves_the_passes_out(load: Load) -> None:
    evaluators = {"e": {"metrics": [{"type": "perplexity", "data_config": "d"}]}}
    document = {"input_model": MODEL, "data_configs": [DATA], "evaluators": evaluators, "evaluator": "e"}
    passes = {"m": {"type": "MergeAdapterWeights"}}
    workflow = load_json(load, document | {"passes": passes, "evaluation_only": True})
    assert not list(workflow.problems)
    assert workflow.passes == ()


def test_the_folder_of_a_cache_config_is_the_cache(load: Load, tmp_path: Path) -> None:
    config = {"cache_dir": "c", "clean_cache": True, "enable_shared_cache": False}
    document = {
        "input_model": MODEL,
        "passes": {"m": {"type": "MergeAdapterWeights"}},
        "cache_config": config,
    }
    workflow = load_json(load, document)
    assert not list(workflow.problems)
    assert workflow.cache_dir == tmp_path / "c"
    assert ("cache_config.clean_cache", "") in told(workflow)


def test_metrics_and_data_are_not_looked_at_for_a_model_that_is_not_here(load: Load) -> None:
    metrics = [{"type": "accuracy", "data_config": "d", "backend": "torch_metrics"}]
    document = {
        "input_model": {"type": "ONNXModel", "model_path": "m"},
        "data_configs": [{"name": "d", "user_script": "x.py"}],
        "evaluators": {"e": {"metrics": metrics}},
        "evaluator": "e",
    }
    workflow = load_json(load, document)
    assert [problem.message for problem in workflow.problems] == ["There is no model of type 'ONNXModel'."]


def test_a_search_with_nothing_to_search_is_left_out_and_told(load: Load) -> None:
    passes = {"m": [{"type": "MergeAdapterWeights"}]}
    old = {"search_algorithm": "exhaustive", "search_algorithm_config": {"num_samples": 3, "seed": 1}}
    for search in (False, None, True, old):
        document = {"input_model": MODEL, "passes": passes, "search_strategy": search}
        workflow = load_json(load, document)
        assert not list(workflow.problems)
        assert [step.name for step in workflow.passes] == ["m"]
        assert (("search_strategy", "") in told(workflow)) is bool(search)


@pytest.mark.parametrize(
    ("lora", "axes"),
    [
        (
            [{"type": "LoRA", "train_data_config": "d"}, {"type": "LoRA", "train_data_config": "d", "r": 4}],
            {"passes.l": ("LoRA", "LoRA-2")},
        ),
        (
            {"type": "LoRA", "train_data_config": "d", "r": {"type": "categorical", "support": [8, 16]}},
            {"passes.l.r": (8, 16)},
        ),
        (
            {"type": "LoRA", "train_data_config": "d", "training_args": {"eval_strategy": "DEFAULT_SEARCH"}},
            None,
        ),
    ],
)
def test_what_olive_searches_is_open(load: Load, lora: Any, axes: dict[str, Any] | None) -> None:
    document = {
        "input_model": MODEL,
        "passes": {"l": lora, "m": {"type": "MergeAdapterWeights"}},
        "data_configs": [DATA],
        "evaluators": {"e": {"metrics": [{"type": "perplexity", "data_config": "d"}]}},
        "evaluator": "e",
        "search_strategy": {"search_algorithm": "random", "search_algorithm_config": {"num_samples": 2}},
    }
    workflow = load_json(load, document)
    if axes is None:
        (problem,) = workflow.problems
        assert "does not say which values of 'training_args.eval_strategy'" in problem.message
        return
    assert not list(workflow.problems)
    assert workflow.search is not None
    assert {axis.name: axis.values for axis in workflow.search.open.axes} == axes
    assert workflow.search.strategy is not None
    assert workflow.search.strategy.sampler.spec.name == "random"
    assert workflow.search.strategy.max_samples == 2


def test_metric_configs_are_lifted(load: Load) -> None:
    metric = {
        "name": "p", "type": "perplexity",
        "sub_types": [{"name": "perplexity", "priority": 1, "metric_config": {"batch_size": 4},
                       "goal": {"type": "threshold", "value": 10}}],
    }  # fmt: skip
    workflow = load_json(
        load, {"input_model": MODEL, "evaluators": {"e": {"metrics": [metric]}}, "evaluator": "e"}
    )
    assert not list(workflow.problems)
    (choice,) = workflow.evaluators["e"]
    assert choice.options.canonical() == {"batch_size": 4}
    (sub,) = choice.sub_metrics
    assert (sub.name, sub.priority, sub.goal and sub.goal.value) == ("perplexity", 1, 10)


def test_the_same_key_at_two_levels_is_a_problem_unless_it_says_the_same(load: Load) -> None:
    for inner, count in (("m", 0), ("other", 1)):
        model = {"type": "HfModel", "model_path": "m", "config": {"model_path": inner}}
        workflow = load_json(load, {"input_model": model, "passes": {"m": {"type": "MergeAdapterWeights"}}})
        assert len(workflow.problems) == count


def test_an_option_under_both_its_names_is_a_problem(load: Load) -> None:
    lora = {"type": "LoRA", "train_data_config": "d", "r": 8, "lora_r": 16}
    workflow = load_json(load, {"input_model": MODEL, "data_configs": [DATA], "passes": {"lora": lora}})
    (problem,) = workflow.problems
    assert "both 'lora_r' and 'r'" in problem.message


def test_an_option_can_move_into_a_group(load: Load) -> None:
    lora = {"type": "LoRA", "train_data_config": "d", "allow_tf32": True}
    workflow = load_json(load, {"input_model": MODEL, "data_configs": [DATA], "passes": {"lora": lora}})
    assert workflow.native["passes"]["lora"]["training_args"] == {"tf32": True}
    assert ("LoRA.allow_tf32", "training_args.tf32") in told(workflow)


def test_here_the_azureml_file_lacks_nothing_but_its_data(registry: Registry) -> None:
    file = Path(__file__).parent / "olive" / "olive-config.azureml.json"
    workflow = load_workflow(Given(file, here=True), registry)
    assert not list(workflow.problems)
    assert (workflow.host, workflow.target, dict(workflow.systems)) == ("local", None, {})
    assert workflow.native["input_model"]["model_path"] == "microsoft/Phi-3-mini-4k-instruct"
    left_out = {t.old for t in workflow.translations if "--here" in t.why}
    assert left_out == {"host", "target", "systems", "execution_providers", "model_path"}


def test_a_system_that_is_not_here_is_told_with_a_way_out(registry: Registry) -> None:
    workflow = load_workflow(Path(__file__).parent / "olive" / "olive-config.azureml.json", registry)
    assert all("With `--here`" in problem.hint for problem in workflow.problems)
