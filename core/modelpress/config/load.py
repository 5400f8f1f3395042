"""Load a workflow file: read it, put it into today's form, look everything up, tell every problem.

workflow = load_workflow(Path("workflow.yaml"), Registry.load())
workflow.problems.raise_if_any()
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelpress.config.choices import Choices
from modelpress.config.dialect import Dialect, sections
from modelpress.config.olive import translate
from modelpress.config.renames import apply_renames
from modelpress.config.schema import WorkflowFile
from modelpress.config.source import read_source
from modelpress.config.translations import Translations
from modelpress.config.tree import Node
from modelpress.config.validation import tell_faults
from modelpress.config.workflow import LOCAL_SYSTEM, LoadedWorkflow, Positions
from modelpress.nearest import did_you_mean
from modelpress.problems import Problems
from modelpress.registry import Registry
from modelpress.specs import DataContainerSpec, MetricSpec, ModelSpec, PassSpec, Spec, SystemSpec


@dataclass(frozen=True, slots=True)
class NativeWorkflow:
    """A file in today's form; nothing is looked up yet. problems: what could not be put into it."""

    root: Node
    translations: Translations
    problems: Problems


def load_workflow(path: Path, registry: Registry) -> LoadedWorkflow:
    """Load a workflow. What is wrong with it is in its `problems`; nothing of that is raised.

    Raises UserError when there is no such file, WorkflowError when it is not YAML or JSON.
    """
    native = read_native(path, registry)
    problems = native.problems
    plain = native.root.plain()
    _name_items(native.root, "data_configs", problems)
    _name_items(native.root, "evaluators", problems)
    _refuse_search(native.root, problems)
    positions = Positions(str(path), {name: node.place for name, node in native.root.walk()})
    _check_shape(native.root.plain(), positions, problems)
    choices = Choices(native.root, registry, positions, problems)
    folder = path.absolute().parent
    workflow = LoadedWorkflow(
        path=path.absolute(),
        folder=folder,
        workflow_id=native.root.text("workflow_id") or None,
        input_model=choices.input_model(),
        passes=choices.passes(),
        data=choices.data(),
        systems=choices.systems(),
        evaluators=choices.evaluators(),
        host=native.root.text("host") or None,
        target=native.root.text("target") or None,
        evaluator=native.root.text("evaluator") or None,
        cache_dir=_folder(native.root, "cache_dir", folder),
        output_dir=_folder(native.root, "output_dir", folder),
        seed=_number(native.root, "seed") or 0,
        log_severity_level=_number(native.root, "log_severity_level"),
        native=plain,
        positions=positions,
        translations=native.translations.all(),
        problems=problems,
    )
    _check_names(workflow)
    if not problems and not workflow.passes and workflow.evaluator is None:
        problems.add("There is nothing to do: no passes and no evaluator.", where=workflow.locate("passes"))
    return workflow


def read_native(path: Path, registry: Registry) -> NativeWorkflow:
    """Read a file in any form and put it into today's, options of plugins included."""
    problems, translations = Problems(), Translations()
    root = read_source(path, problems)
    translate(root, problems, translations)
    dialect = Dialect(root, problems, translations)
    model = root.mapping.get("input_model")
    parts: list[tuple[type[Spec], list[Node]]] = [
        (ModelSpec, [model] if model else []),
        (DataContainerSpec, sections(root.mapping.get("data_configs"))),
        (SystemSpec, sections(root.mapping.get("systems"))),
        (PassSpec, sections(root.mapping.get("passes"))),
    ]
    for evaluator in sections(root.mapping.get("evaluators")):
        parts.append((MetricSpec, sections(evaluator.mapping.get("metrics"))))
    for kind, nodes in parts:
        for node in nodes:
            _rename_options(dialect, node, kind, registry)
    return NativeWorkflow(root, translations, problems)


def _rename_options(dialect: Dialect, node: Node, kind: type[Any], registry: Registry) -> None:
    found = registry.get(kind, node.text("type"))
    if found is not None:
        apply_renames(dialect, node, found.spec.name, found.spec.renames)


def _name_items(root: Node, group: str, problems: Problems) -> None:
    """A list of named mappings becomes a mapping, in which the rest of the loader finds them by name."""
    node = root.mapping.get(group)
    for name, item in node.mapping.items() if node else ():
        if item.text("name") == name:
            del item.mapping["name"]  # said twice, and rightly
    if node is None or not isinstance(node.value, list):
        return
    named: dict[str, Node] = {}
    for item in node.items:
        name = item.text("name")
        if not item.is_mapping or not name:
            problems.add(f"Each of {group} needs a name.", where=item.place)
        elif name in named:
            line = named[name].place.line
            problems.add(f"{group} has two named {name!r}; the other is in line {line}.", where=item.place)
        else:
            rest = {key: child for key, child in item.mapping.items() if key != "name"}
            named[name] = Node(rest, item.place)
    node.value = named


def _refuse_search(root: Node, problems: Problems) -> None:
    """Searching is not built yet, and what asks for it must not be passed over."""
    search = root.mapping.get("search_strategy")
    if search is not None and search.value not in (None, False):
        hint = "Set search_strategy to false, or leave it out."
        problems.add("Searching is not built yet.", hint, where=search.place)
    passes = root.mapping.get("passes")
    for name, node in list(passes.mapping.items()) if passes else ():
        if isinstance(node.value, list):
            problems.add(
                "Several passes under one name are for a search, which is not built yet.",
                "Give each pass a name of its own; they run in the order in which they stand.",
                where=node.place,
                step=name,
            )
            del passes.mapping[name]  # type: ignore[union-attr]


def _check_shape(plain: dict[str, Any], positions: Positions, problems: Problems) -> None:
    try:
        WorkflowFile.model_validate(plain)
    except ValidationError as error:
        tell_faults(error, WorkflowFile, plain, "A workflow", problems=problems, locate=positions.locate)


def _check_names(workflow: LoadedWorkflow) -> None:
    """Every name of a system, evaluator or data config has to stand for one."""
    systems = {LOCAL_SYSTEM, *workflow.systems}
    _check(workflow, "system", workflow.host, systems, "host")
    _check(workflow, "system", workflow.target, systems, "target")
    _check(workflow, "evaluator", workflow.evaluator, workflow.evaluators, "evaluator")
    for step in workflow.passes:
        _check(workflow, "system", step.host, systems, f"{step.path}.host", step.name)
        path = f"{step.path}.evaluator"
        _check(workflow, "evaluator", step.evaluator, workflow.evaluators, path, step.name)


def _check(
    workflow: LoadedWorkflow, kind: str, name: str | None, names: Any, path: str, step: str = ""
) -> None:
    if name is not None and name not in names:
        hint = did_you_mean(name, names, what="There are") or f"The workflow has no {kind}s."
        workflow.problems.add(
            f"There is no {kind} named {name!r}.", hint, where=workflow.locate(path), step=step
        )


def _folder(root: Node, name: str, folder: Path) -> Path | None:
    value = root.text(name)
    return Path(os.path.abspath(folder / Path(value).expanduser())) if value else None


def _number(root: Node, name: str) -> int | None:
    node = root.mapping.get(name)
    return node.value if node and isinstance(node.value, int) else None
