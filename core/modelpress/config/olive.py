"""Put a workflow in Olive's older form into its current one, which is ours. Every change is told.

Names of options that changed inside a pass, a data container and so on are not known here: the plugins
declare them, and `renames.py` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelpress.config.accelerators import device_of
from modelpress.config.dialect import Dialect, copy, pass_sections, sections
from modelpress.config.olive_model import translate_data_configs, translate_input_model
from modelpress.config.olive_passes import translate_pass_names
from modelpress.config.olive_search import translate_search
from modelpress.config.translations import Translations
from modelpress.config.tree import Node, make_node
from modelpress.config.workflow import LOCAL_SYSTEM
from modelpress.problems import Problems

_SHARED = ("enable_shared_cache", "account_name", "container_name", "update_shared_cache")
_CACHED_BY_CONTENT = (
    "A result is used again only while nothing has changed that it was made of; "
    "`modelpress cache clear` empties the cache."
)
_NO_MEANING = {
    "clean_cache": _CACHED_BY_CONTENT,
    "clean_evaluation_cache": _CACHED_BY_CONTENT,
    "no_artifacts": "A run writes no more than its model and `run.json`.",
    "log_to_file": "Every run has a log file: `modelpress runs show` names it.",
    "ort_log_severity_level": "The log of onnxruntime is no part of a run's.",
    "ort_py_log_severity_level": "The log of onnxruntime is no part of a run's.",
    "output_name": "The model is written to the folder `model` in output_dir.",
    "plot_pareto_frontier": "There is nothing to plot without a search.",
}
_NOT_BUILT = {
    "auto_optimizer_config": "Choosing passes automatically is not built yet: write the passes.",
}
_OF_A_PACKAGE = {
    "export_in_mlflow_format": "The model is packed as it is.",
    "include_runtime_packages": "requirements.txt names the packages, with their versions.",
    "include_sample_code": "Sample code is in every package.",
}
_OF_A_PASS = {
    "clean_run_cache": _CACHED_BY_CONTENT,
}
_PROGRAMS = {"MTEBEvaluator": "MTEB"}
"""Olive's evaluators that are no list of metrics, and not here."""
_AS_METRICS = ("LMEvaluator",)
"""Those that are metrics here."""


def translate(root: Node, problems: Problems, translations: Translations) -> None:
    """Change the tree to today's form. Native workflows come out as they went in."""
    dialect = Dialect(root, problems, translations)
    _translate_engine(dialect)
    translate_search(dialect)
    _translate_packages(dialect)
    _translate_inline_choices(dialect)
    translate_input_model(dialect)
    translate_data_configs(dialect)
    _translate_systems(dialect)
    _translate_evaluators(dialect)
    _translate_passes(dialect)
    _translate_resources(dialect)
    _translate_azureml_client(dialect)
    _translate_execution_providers(dialect)


def _translate_engine(dialect: Dialect) -> None:
    root = dialect.root
    dialect.lift(root, "engine", "engine: {…}", "keys of the workflow itself")
    _translate_cache_config(dialect)
    _translate_evaluation_only(dialect)
    for name, why in _NO_MEANING.items():
        dialect.leave_out(root, name, name, why)
    for name, message in _NOT_BUILT.items():
        node = root.mapping.pop(name, None)
        if node is not None and node.plain():
            dialect.problems.add(message, where=node.place)
        elif node is not None:
            dialect.tell(name, "", node, "It asks for nothing.")


def _translate_shared_cache(dialect: Dialect, config: Mapping[str, Node]) -> None:
    """Olive shares results in a container of an Azure storage account."""
    given = {name: config[name] for name in _SHARED if name in config}
    if not given:
        return
    first = next(iter(given.values()))
    plain = {name: node.plain() for name, node in given.items()}
    if plain.get("enable_shared_cache") is False or not {"account_name", "container_name"} <= plain.keys():
        dialect.tell("cache_config", "", first, "It asks for no shared cache.")
        return
    update = plain.get("update_shared_cache") is not False
    shared = {
        "shared": f"az://{plain['container_name']}",
        "options": {"account_name": plain["account_name"]},
        "update": update,
    }
    dialect.tell("cache_config", f"cache: {{shared: {shared['shared']}}}", first)
    dialect.root.mapping.setdefault("cache", make_node(shared, first.place))


def _translate_packages(dialect: Dialect) -> None:
    node = dialect.root.mapping.get("packaging_config")
    if node is not None and not node.plain():
        dialect.leave_out(dialect.root, "packaging_config", "packaging_config", "It asks for nothing.")
        return
    for item in () if node is None else [node] if node.is_mapping else node.items:
        _lift_config(dialect, item)
        for name, why in _OF_A_PACKAGE.items():
            dialect.leave_out(item, name, f"{name} of a package", why)
        kind = item.mapping.get("type")
        if kind is not None and item.text("type").title() in ("Zipfile", "Dockerfile"):
            kind.value = item.text("type").title()  # Olive takes it in any case


def _translate_cache_config(dialect: Dialect) -> None:
    config = dialect.root.mapping.pop("cache_config", None)
    if config is None or not config.is_mapping:
        return
    _translate_shared_cache(dialect, config.mapping)
    for name, node in config.mapping.items():
        if name == "cache_dir":
            dialect.tell("cache_config.cache_dir", "cache_dir", node)
            dialect.root.mapping.setdefault("cache_dir", node)
        else:
            if name not in _SHARED:
                dialect.tell(f"cache_config.{name}", "", node, _CACHED_BY_CONTENT)


def _translate_evaluation_only(dialect: Dialect) -> None:
    only = dialect.root.mapping.pop("evaluation_only", None)
    passes = dialect.root.mapping.get("passes")
    if only is None or passes is None or only.value is not True:
        return
    dialect.tell("evaluation_only", "a workflow without passes", only)
    for name, node in passes.mapping.items():
        dialect.tell(f"passes.{name}", "", node, "evaluation_only measures the input model alone.")
    del dialect.root.mapping["passes"]


def _translate_systems(dialect: Dialect) -> None:
    for system in sections(dialect.root.mapping.get("systems")):
        _lift_config(dialect, system)
        accelerators = system.mapping.get("accelerators")
        for node in accelerators.items if accelerators else ():
            device = node.mapping.get("device")
            if device is not None and isinstance(device.value, str):
                device.value = device.value.lower()  # Olive takes CPU for cpu, as it takes any name
            if isinstance(node.value, str):
                name = node.value.lower()
                dialect.tell(f"accelerators: [{name}]", f"accelerators: [{{device: {name}}}]", node)
                node.value = {"device": make_node(name, node.place)}


def _translate_evaluators(dialect: Dialect) -> None:
    _insert_metrics(dialect)
    for evaluator in sections(dialect.root.mapping.get("evaluators")):
        _lift_config(dialect, evaluator)
        _leave_out_program(dialect, evaluator)
        _make_metric(dialect, evaluator)
        for metric in sections(evaluator.mapping.get("metrics")):
            new = "options of the metric"
            dialect.lift(metric, "metric_config", "metric_config", new)
            for sub in sections(metric.mapping.get("sub_types")):
                config = sub.mapping.pop("metric_config", None)
                if config is None:
                    continue
                dialect.tell("sub_types.metric_config", new, config)
                metric.mapping["metric_config"] = config
                Dialect(metric, dialect.problems, Translations()).lift(metric, "metric_config", "", "")


def _leave_out_program(dialect: Dialect, evaluator: Node) -> None:
    """An evaluator that is a program of its own. Where there are passes, their model is what is wanted; where
    there are none, nothing is left to do, which is told as a problem."""
    kind, passes = evaluator.text("type"), dialect.root.mapping.get("passes")
    if kind in _PROGRAMS and passes is not None and passes.value:
        why = f"There is no evaluator of that type: the model is built, and {_PROGRAMS[kind]} is not run."
        dialect.tell(f"an evaluator {kind}", "", evaluator.mapping["type"], why)
        evaluator.value = {"metrics": Node([], evaluator.place)}


def _make_metric(dialect: Dialect, evaluator: Node) -> None:
    """An evaluator that measures by itself is one metric with the same options."""
    kind = next((name for name in _AS_METRICS if name.lower() == evaluator.text("type").lower()), None)
    if kind is None or "metrics" in evaluator.mapping:
        return
    place = evaluator.mapping["type"]
    dialect.tell(f"an evaluator {kind}", "a metric of that type", place)
    options = {key: node for key, node in evaluator.mapping.items() if key != "name"}
    named = {key: node for key, node in evaluator.mapping.items() if key == "name"}
    evaluator.value = {**named, "metrics": Node([Node(options, evaluator.place)], evaluator.place)}


def _insert_metrics(dialect: Dialect) -> None:
    """Metrics of a list of their own, which evaluators name."""
    group = dialect.root.mapping.pop("metrics", None)
    if group is None:
        return
    named = {metric.text("name"): metric for metric in sections(group)}
    dialect.tell("metrics", "metrics of the evaluators that name them", group)
    for evaluator in sections(dialect.root.mapping.get("evaluators")):
        listed = evaluator.mapping.get("metrics")
        for item in listed.items if listed else ():
            if isinstance(item.value, str) and item.value in named:
                item.value = copy(named[item.value]).value


def _translate_passes(dialect: Dialect) -> None:
    passes = dialect.root.mapping.get("passes")
    for step in pass_sections(passes):
        _lift_config(dialect, step)
        for name, why in _OF_A_PASS.items():
            dialect.leave_out(step, name, f"{name} of a pass", why)
    translate_pass_names(dialect)


def _translate_resources(dialect: Dialect) -> None:
    """`{type: azureml_…, config: {…}}` anywhere becomes flat; the local kinds become plain text."""
    for _, node in list(dialect.root.walk()):
        kind = node.text("type")
        if kind.startswith("azureml_") or kind in ("local_file", "local_folder", "string_name"):
            _lift_config(dialect, node)
        if kind in ("local_file", "local_folder", "string_name"):
            inner = node.mapping.get("name" if kind == "string_name" else "path")
            if inner is not None and len(node.mapping) == 2:
                dialect.tell(f"{{type: {kind}, …}}", "its path or name", node)
                node.value = inner.value


def _translate_inline_choices(dialect: Dialect) -> None:
    root = dialect.root
    for key, group in (("host", "systems"), ("target", "systems"), ("evaluator", "evaluators")):
        node = root.mapping.get(key)
        if node is None or not node.is_mapping or root.mapping.setdefault(group, Node({}, node.place)).items:
            continue
        name = f"the_{key}"
        dialect.tell(f"{key}: {{…}}", f"{group}.{name}", node)
        dialect.merge(root, group, name, node)
        root.mapping[key] = make_node(name, node.place)


def _translate_azureml_client(dialect: Dialect) -> None:
    client = dialect.root.mapping.pop("azureml_client", None)
    if client is None:
        return
    users = 0
    for _, node in list(dialect.root.walk()):
        if isinstance(node.value, str) and node.value.startswith("azureml://"):
            parts = {"type": "azureml_address", "address": node.value}
            node.value = {name: make_node(value, node.place) for name, value in parts.items()}
        kind = node.text("type")
        key = "azureml_client_config" if kind == "AzureML" else "azureml_client"
        if kind == "AzureML" or kind.startswith("azureml_"):
            node.mapping.setdefault(key, copy(client))
            users += 1
    new = "azureml_client_config of each AzureML system, azureml_client of each resource" if users else ""
    dialect.tell("azureml_client", new, client, "" if users else "Nothing in this workflow is on AzureML.")


def _translate_execution_providers(dialect: Dialect) -> None:
    root = dialect.root
    providers = root.mapping.pop("execution_providers", None)
    if providers is None or not providers.items:
        return
    name = root.text("target") or root.text("host")
    systems = root.mapping.setdefault("systems", Node({}, providers.place))
    if not name:  # what the model is for, and not where passes run: that stays this machine as it is
        name = LOCAL_SYSTEM if LOCAL_SYSTEM in systems.mapping else "the_target"
        root.mapping["target"] = make_node(name, providers.place)
    if name in (LOCAL_SYSTEM, "the_target") and systems.is_mapping:
        kind = make_node("LocalSystem", providers.place)
        systems.mapping.setdefault(name, Node({"type": kind}, providers.place))
    system = systems.mapping.get(name)
    dialect.tell("execution_providers", f"accelerators of the system {name!r}", providers)
    if system is not None and system.is_mapping:
        _give_providers(system, [node for node in providers.items if isinstance(node.value, str)])


def _give_providers(system: Node, providers: Sequence[Node]) -> None:
    by_device: dict[str, list[Node]] = {}
    for node in providers:
        by_device.setdefault(device_of(str(node.value)), []).append(node)
    place = providers[0].place
    accelerators = system.mapping.get("accelerators")
    if accelerators is None or not accelerators.items:
        entries = [Node({"device": make_node(device, place)}, place) for device in by_device]
        accelerators = system.mapping["accelerators"] = Node(entries, place)
    for entry in accelerators.items:
        fitting = by_device.get(entry.text("device"))
        if fitting and entry.is_mapping:
            entry.mapping.setdefault("execution_providers", Node([copy(n) for n in fitting], place))


def _lift_config(dialect: Dialect, node: Node) -> None:
    dialect.lift(node, "config", "{type, config: {…}}", "{type, …}")
