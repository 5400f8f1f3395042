"""What Olive has under a name that is here, too, and that this does not do: told in one sentence each."""

from __future__ import annotations

from collections.abc import Iterator

from modelpress.config.dialect import sections
from modelpress.config.tree import Node
from modelpress.problems import Problems

_TEXT_TASKS = ("text-generation", "text-generation-with-past")
_TEXT_PARTS = (
    "huggingface_dataset",
    "huggingface_pre_process",
    "text_generation_huggingface_pre_process",
)
_OTHER_DATA = (
    "align_labels", "audio_col", "cache_key", "caption_col", "generate_ground_truth", "image_col",
    "input_cols", "label_col", "label_cols", "labels_to_filter", "sample_rate", "size",
)  # fmt: skip
_OTHER_TASK = "Data for another task than text generation ({}) is not supported."
_OTHER_ACCURACY = ("task", "num_classes", "multiclass", "average", "compute_params", "load_params", "reorder")
_OTHER_NUMBERS = ("f1", "f1_score", "precision", "recall", "auc", "auroc")


class Beyond:
    """Dotted paths of parts that have been told of as a whole."""

    def __init__(self) -> None:
        self._paths: set[str] = set()

    def add(self, path: str) -> None:
        self._paths.add(path)

    def __contains__(self, path: str) -> bool:
        """Whether the path, or something around it, is among them."""
        names = path.split(".")
        return any(".".join(names[:end]) in self._paths for end in range(1, len(names) + 1))


def tell_foreign_model(root: Node, problems: Problems, beyond: Beyond) -> bool:
    """A model that a function of the user's makes, or one of several parts."""
    model = root.mapping.get("input_model")
    for key, what in (("model_loader", "that a function makes"), ("components", "of several parts")):
        node = model.mapping.get(key) if model else None
        if node is not None and node.value and model is not None and model.text("type").endswith("Model"):
            hint = "Save it as a transformers model, and name its folder in model_path."
            problems.add(f"An input model {what} ({key}) is not supported.", hint, where=node.place)
            beyond.add("input_model")
            return True
    return False


def tell_foreign_parts(root: Node, problems: Problems, beyond: Beyond) -> None:
    """Data, metrics and systems of kinds that are not here."""
    for path, node in _named(root, "data_configs"):
        if path not in beyond and (message := _other_data(node)):
            hint = "HuggingfaceContainer reads files and data sets of the hub, as text for generation."
            problems.add(message, hint, where=node.place, step=path.rpartition(".")[2])
            beyond.add(path)
    for path, node in _named(root, "evaluators"):
        metrics = node.mapping.get("metrics")
        for index, metric in enumerate(metrics.items if metrics else ()):
            place = f"{path}.metrics.{index}"
            if place not in beyond and (what := _other_accuracy(metric)):
                message = f"accuracy measures generated text; another task ({what}) is not supported."
                hint = "Leave it out, or measure latency, throughput or size_on_disk."
                problems.add(message, hint, where=metric.place, step=metric.text("name"))
                beyond.add(place)


def _named(root: Node, group: str) -> Iterator[tuple[str, Node]]:
    node = root.mapping.get(group)
    for name, child in node.mapping.items() if node else ():
        if child.is_mapping:
            yield f"{group}.{name}", child


def _other_data(data: Node) -> str:
    """What it is that is no text for generation; empty when nothing shows that."""
    if data.text("type") != "HuggingfaceContainer":
        return ""
    task = data.text("task")
    if task and task not in _TEXT_TASKS:
        return _OTHER_TASK.format(task)
    for section in ("load_dataset_config", "pre_process_data_config", "post_process_data_config"):
        part = data.mapping.get(section)
        kind = part.text("type") if part else ""
        if kind and kind not in _TEXT_PARTS:
            return f"A function of a script ({kind}) that makes data is not supported."
        for key in part.mapping if part else ():
            if key in _OTHER_DATA:
                return _OTHER_TASK.format(key)
    return ""


def _other_accuracy(metric: Node) -> str:
    if metric.text("type") != "accuracy":
        return ""
    for key in _OTHER_ACCURACY:
        if key in metric.mapping:
            return key
    config = metric.mapping.get("user_config")
    for key in config.mapping if config else ():
        if key.endswith("_func"):
            return key
    names = (sub.text("name") for sub in sections(metric.mapping.get("sub_types")))
    return next((name for name in names if name in _OTHER_NUMBERS), "")
