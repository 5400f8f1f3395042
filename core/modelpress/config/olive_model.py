"""The input model and the data sets in Olive's older forms."""

from __future__ import annotations

from modelpress.config.dialect import Dialect, sections
from modelpress.config.tree import Node, make_node

_SECTION_OF_COMPONENT = {
    "load_dataset": "load_dataset_config",
    "pre_process_data": "pre_process_data_config",
    "post_process_data": "post_process_data_config",
    "dataloader": "dataloader_config",
}
_SECTION_OF_PARAMETER = {
    "batch_size": "dataloader_config",
    "shuffle": "dataloader_config",
    "drop_last": "dataloader_config",
    "input_cols": "pre_process_data_config",
    "label_cols": "pre_process_data_config",
    "max_samples": "pre_process_data_config",
    "model_name": "pre_process_data_config",
}  # all others tell how to load


_HUB_PARTS = {"data_name", "data_files", "data_dir"}


def translate_input_model(dialect: Dialect) -> None:
    """`PyTorchModel` with `hf_config` becomes `HfModel`."""
    model = dialect.root.mapping.get("input_model")
    if model is None or not model.is_mapping:
        return
    dialect.lift(model, "config", "{type, config: {…}}", "{type, …}")
    if "type" not in model.mapping and "model_path" in model.mapping:
        model.mapping["type"] = make_node("HfModel", model.place)
        dialect.tell("an input model without a type", "HfModel", model)
    hf_config = model.mapping.get("hf_config")
    if hf_config is None or not hf_config.is_mapping:
        return
    _translate_type(dialect, model)
    _translate_model_name(dialect, model, hf_config)
    for old in ("from_pretrained_args", "model_loading_args"):
        if old in hf_config.mapping:
            dialect.tell(f"hf_config.{old}", "load_kwargs", hf_config.mapping[old])
            hf_config.rename(old, "load_kwargs")
    dataset = hf_config.mapping.pop("dataset", None)
    if dataset is not None and dataset.is_mapping:
        _translate_dataset(dialect, dataset)
    dialect.lift(model, "hf_config", "hf_config", "keys of the input model")


def translate_data_configs(dialect: Dialect) -> None:
    """Levels that Olive has given up: `params_config`, `components`, `params`; names and types left open."""
    _name_data_configs(dialect)
    for data in sections(dialect.root.mapping.get("data_configs")):
        dialect.lift(data, "config", "{type, config: {…}}", "{type, …}")
        _translate_components(dialect, data)
        _translate_params_config(dialect, data)
        for section in _SECTION_OF_COMPONENT.values():
            if node := data.mapping.get(section):
                dialect.lift(node, "params", f"{section}.params", section)
        if "type" not in data.mapping:
            _give_type(dialect, data)
        if data.text("type") == "HuggingfaceContainer":
            _keep_old_meaning(dialect, data)
    _translate_data_root(dialect)


def _name_data_configs(dialect: Dialect) -> None:
    """In a mapping the key is the name. A `name` inside that says otherwise counts where passes use that."""
    group = dialect.root.mapping.get("data_configs")
    if group is None or not group.is_mapping:
        return
    elsewhere = [node for key, node in dialect.root.mapping.items() if key != "data_configs"]
    used = {str(node.value) for part in elsewhere for _, node in part.walk()}
    entries: dict[str, Node] = {}
    for key, data in group.mapping.items():
        name = data.text("name")
        inner = bool(name) and name != key and name not in group.mapping and name in used and key not in used
        if name and name != key and inner:
            dialect.tell(f"data_configs.{key}", name, data, "That is the name by which it is used.")
        elif name and name != key:
            why = f"It is called {key}, as its key says."
            dialect.tell(f"data_configs.{key}.name: {name}", "", data.mapping["name"], why)
        if name:
            del data.mapping["name"]
        entries[name if inner else key] = data
    group.value = entries


def _give_type(dialect: Dialect, data: Node) -> None:
    """The container that the parts of one without a type make."""
    load = data.mapping.get("load_dataset_config")
    part = load.text("type") if load else ""
    if part == "dummy_dataset":
        name = "DummyDataContainer"
    elif load is not None and "user_script" not in data.mapping and _HUB_PARTS & load.mapping.keys():
        name = "HuggingfaceContainer"
    else:
        data.mapping["type"] = make_node("DataContainer", data.place)  # Olive's, which is not here: so told
        return
    data.mapping["type"] = make_node(name, data.place)
    dialect.tell("a data config without a type", name, data)


def _translate_type(dialect: Dialect, model: Node) -> None:
    kind = model.mapping.get("type")
    if kind and kind.value == "PyTorchModel":
        dialect.tell("PyTorchModel with hf_config", "HfModel", kind)
        model.mapping["type"] = Node("HfModel", kind.place)


def _translate_model_name(dialect: Dialect, model: Node, hf_config: Node) -> None:
    name = hf_config.mapping.get("model_name")
    if name is None:
        return
    path = model.mapping.get("model_path")
    if path is not None and path.value is not None:
        dialect.leave_out(
            hf_config, "model_name", "hf_config.model_name", "model_path says already where the model is."
        )
        return
    model.mapping.pop("model_path", None)
    dialect.tell("hf_config.model_name", "model_path", name)
    hf_config.rename("model_name", "model_path")


def _translate_dataset(dialect: Dialect, dataset: Node) -> None:
    name = "input_model_data"
    dialect.tell("hf_config.dataset", f"data_configs: {name}", dataset)
    place = dataset.place
    entry = Node({"type": make_node("HuggingfaceContainer", place), "params_config": dataset}, place)
    data_configs = dialect.root.mapping.setdefault("data_configs", Node([], place))
    if isinstance(data_configs.value, list):
        entry.value = {"name": make_node(name, place), **entry.mapping}
        data_configs.value.append(entry)
    else:
        data_configs.mapping[name] = entry


def _translate_components(dialect: Dialect, data: Node) -> None:
    components = data.mapping.get("components")
    if components is None or not components.is_mapping:
        return
    del data.mapping["components"]
    for name, component in components.mapping.items():
        section = _SECTION_OF_COMPONENT.get(name, f"{name}_config")
        dialect.tell(f"components.{name}", section, component)
        component.mapping.pop("name", None)
        for key, node in component.mapping.items():
            dialect.merge(data, section, key, node)


def _translate_params_config(dialect: Dialect, data: Node) -> None:
    params = data.mapping.get("params_config")
    if params is None or not params.is_mapping:
        return
    del data.mapping["params_config"]
    kwargs = params.mapping.pop("component_kwargs", None)
    for name, node in params.mapping.items():
        if name == "task":
            dialect.tell("params_config.task", "task", node)
            data.mapping.setdefault("task", node)
            continue
        section = _SECTION_OF_PARAMETER.get(name, "load_dataset_config")
        dialect.tell(f"params_config.{name}", f"{section}.{name}", node)
        dialect.merge(data, section, name, node)
    for name, component in kwargs.mapping.items() if kwargs else ():
        section = _SECTION_OF_COMPONENT.get(name, f"{name}_config")
        dialect.tell(f"params_config.component_kwargs.{name}", section, component)
        for key, node in component.mapping.items():
            dialect.merge(data, section, key, node)


def _keep_old_meaning(dialect: Dialect, data: Node) -> None:
    """Defaults that have changed since, and one length that was given in two parts."""
    process = data.mapping.get("pre_process_data_config")
    if process is None or "dataset_type" not in process.mapping:
        return
    has_strategy = "strategy" in process.mapping or "corpus_strategy" in process.mapping
    if process.text("dataset_type") == "corpus" and not has_strategy:
        process.mapping["strategy"] = make_node("line-by-line", process.place)
        dialect.tell(
            "dataset_type: corpus without corpus_strategy", "strategy: line-by-line", process,
            "This was the default then; today it is join.",
        )  # fmt: skip
    source, target = process.mapping.get("source_max_len"), process.mapping.get("target_max_len")
    if source and target and isinstance(source.value, int) and isinstance(target.value, int):
        dialect.tell("source_max_len and target_max_len", "max_seq_len, their sum", source)
        del process.mapping["target_max_len"]
        process.rename("source_max_len", "max_seq_len")
        process.mapping["max_seq_len"] = Node(source.value + target.value, source.place)


def _translate_data_root(dialect: Dialect) -> None:
    root = dialect.root.mapping.get("data_root")
    if root is None:
        return
    if root.is_mapping or root.items:
        dialect.problems.add(
            "data_root has to be a folder.",
            "Write a remote place into each data_files instead.",
            where=root.place,
        )
    del dialect.root.mapping["data_root"]
    if not isinstance(root.value, str) or not root.value:
        return
    dialect.tell("data_root", "the beginning of each relative data_files and data_dir", root)
    for data in sections(dialect.root.mapping.get("data_configs")):
        for name in ("data_files", "data_dir"):
            node = data.find(f"load_dataset_config.{name}")
            if node is not None:
                _prefix(node, root.value)


def _prefix(node: Node, root: str) -> None:
    for child in (node, *(child for _, child in node.walk())):
        if isinstance(child.value, str) and "type" not in node.mapping and not _is_absolute(child.value):
            child.value = f"{root.rstrip('/')}/{child.value}"


def _is_absolute(path: str) -> bool:
    return path.startswith(("/", "~", "\\")) or ":" in path
