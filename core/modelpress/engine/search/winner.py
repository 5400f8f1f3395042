"""The workflow that makes a model again, without searching: `workflow.yaml` in output_dir."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import cast

from modelpress.config.migrate import dump_yaml
from modelpress.config.workflow import Workflow
from modelpress.files import write_whole
from modelpress.json_types import JSONValue
from modelpress.markers import Path as ValuePath
from modelpress.markers import Resource, marks
from modelpress.one_file import FOLDER
from modelpress.options import Options
from modelpress.paths import each_text, put_at, value_at

FILE = "workflow.yaml"
_AGAIN = "reproduced"
"""The folder beside it that its own run writes to."""


def write_workflow(workflow: Workflow, output_dir: Path) -> Path:
    """Write the workflow in which everything is decided. Paths in it are absolute: it lies elsewhere."""
    values = cast("dict[str, JSONValue]", {**deepcopy(dict(workflow.native)), "output_dir": _AGAIN})
    values.pop("observers", None)  # who watched is no part of what was made
    if workflow.cache_dir is not None:
        values["cache_dir"] = str(workflow.cache_dir)

    def absolute(text: str) -> str:
        path = workflow.folder / Path(text).expanduser()
        return str(path) if "://" not in text and path.exists() else text

    values["input_model"] = each_text(values["input_model"], absolute)
    for way, options in _parts(workflow):
        for mark in marks(type(options), options, Resource):
            _replace(values, (*way, *mark.path), absolute)
    output_dir.mkdir(parents=True, exist_ok=True)
    _copy_plugins(workflow, output_dir)
    write_whole(output_dir / FILE, dump_yaml(values).encode())
    return output_dir / FILE


def _copy_plugins(workflow: Workflow, output_dir: Path) -> None:
    """The plugins of one file that it names lie beside it, as they did beside the first."""
    names = workflow.native.get("plugins")
    for name in names if isinstance(names, list) else ():
        source, target = (folder / FOLDER / str(name) for folder in (workflow.folder, output_dir))
        if source.is_file() and source != target:
            target.parent.mkdir(exist_ok=True)
            write_whole(target, source.read_bytes())


def _parts(workflow: Workflow) -> Iterator[tuple[ValuePath, Options]]:
    """Where options stand in the native form, and what they are."""
    yield from ((("passes", choice.name), choice.options) for choice in workflow.passes)
    yield from ((("data_configs", name), choice.options) for name, choice in workflow.data.items())
    yield from ((("systems", name), choice.options) for name, choice in workflow.systems.items())
    for metrics in workflow.evaluators.values():
        for choice in metrics:
            parts = [int(part) if part.isdecimal() else part for part in choice.path.split(".")]
            yield tuple(parts), choice.options


def _replace(values: dict[str, JSONValue], path: ValuePath, change: Callable[[str], JSONValue]) -> None:
    try:
        found = value_at(values, path)
    except LookupError:
        return  # a default
    put_at(values, path, each_text(found, change), values)
