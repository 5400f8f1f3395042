"""Load a workflow file: read it, put it into today's form, look everything up, tell every problem.

workflow = load_workflow(Path("workflow.yaml"), Registry.load()).whole()
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelpress.config.beyond import tell_beyond
from modelpress.config.choices import Choices
from modelpress.config.dialect import Dialect, pass_sections, sections
from modelpress.config.given import Given
from modelpress.config.olive import translate
from modelpress.config.olive_beyond import Beyond
from modelpress.config.olive_here import bring_here
from modelpress.config.packages import read_packages
from modelpress.config.renames import apply_renames
from modelpress.config.schema import CacheSection, WorkflowFile
from modelpress.config.search_space import read_open_workflow
from modelpress.config.strategy import (
    first_sound,
    leave_out_strategy,
    open_own_values,
    read_strategy,
    require_end,
    require_objective,
    tell_open_values,
)
from modelpress.config.translations import Translations
from modelpress.config.tree import Node
from modelpress.config.validation import faults
from modelpress.config.workflow import LOCAL_SYSTEM, Positions, Search, SharedPlace, WorkflowDraft
from modelpress.config.written import expand_text
from modelpress.errors import UserError
from modelpress.identity import named_path
from modelpress.nearest import did_you_mean
from modelpress.one_file import entry_point
from modelpress.problems import Problems
from modelpress.registry import Registry
from modelpress.search import Candidate
from modelpress.specs import (
    DataContainerSpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    PassSpec,
    Spec,
    SystemSpec,
)


@dataclass(frozen=True, slots=True)
class NativeWorkflow:
    """A file in today's form; nothing is looked up yet. problems: what could not be put into it."""

    root: Node
    translations: Translations
    problems: Problems


def load_workflow(source: Path | Given, registry: Registry) -> WorkflowDraft:
    """Load a workflow. What is wrong with it is in its `problems`; nothing of that is raised.

    Raises UserError when there is no such file, WorkflowError when it is not YAML or JSON.
    """
    given = source if isinstance(source, Given) else Given(source)
    native = read_native(given, registry)
    root, problems = native.root, native.problems
    plain = root.plain()
    _name_items(root, "data_configs", problems)
    _name_items(root, "evaluators", problems)
    open_own_values(root, registry)
    opened = read_open_workflow(root, registry, problems)
    if opened is None:
        leave_out_strategy(root, native.translations)
        if "search_strategy" not in root.mapping:
            plain.pop("search_strategy", None)
        return _read(root, given, registry, native.translations, problems, plain)

    def decide(candidate: Candidate) -> WorkflowDraft:
        return _read(opened.decided(candidate), given, registry, native.translations, Problems())

    strategy = read_strategy(root, registry, problems)
    wrong = bool(problems)
    base, draft = first_sound(opened, decide)
    search = Search(strategy, opened, base, decide)
    for problem in draft.problems:
        problems.take(problem)
    if wrong:  # with what is open: what follows from that is not told
        return replace(draft, search=search, problems=problems)
    require_end(root, search, problems)
    require_objective(draft, root, problems)
    tell_open_values(opened, decide, problems)
    return replace(draft, search=search, problems=problems)


def _read(
    root: Node,
    given: Given,
    registry: Registry,
    translations: Translations,
    problems: Problems,
    native: Mapping[str, object] | None = None,
) -> WorkflowDraft:
    """A workflow in which nothing is open."""
    plain = root.plain()
    beyond = tell_beyond(root, registry, problems)
    positions = Positions(str(given.file or "the workflow"), {name: node.place for name, node in root.walk()})
    _check_shape(plain, positions, problems, beyond)
    choices = Choices(root, registry, positions, problems, beyond)
    folder = given.folder
    evaluators = choices.evaluators()
    metrics = evaluators.get(root.text("evaluator"), ())
    host = root.text("host") or LOCAL_SYSTEM
    draft = WorkflowDraft(
        path=given.path,
        folder=folder,
        workflow_id=root.text("workflow_id") or given.name,
        input_model=choices.input_model(),
        passes=choices.passes(evaluators, host, metrics),
        data=choices.data(),
        systems=choices.systems(),
        evaluators=evaluators,
        host=host,
        target=root.text("target") or None,
        metrics=metrics,
        cache_dir=_folder(root, "cache_dir", folder, positions, problems),
        shared_cache=_shared_place(root),
        output_dir=_folder(root, "output_dir", folder, positions, problems),
        seed=_number(root, "seed") or 0,
        evaluate_input_model=_flag(root, "evaluate_input_model"),
        require_goals=_flag(root, "require_goals"),
        log_severity_level=_number(root, "log_severity_level"),
        native=plain if native is None else native,
        positions=positions,
        translations=translations.all(),
        settings=tuple(setting.told for setting in given.settings),
        observers=choices.observers(),
        packages=read_packages(root, folder, positions, problems),
        problems=problems,
    )
    _check_names(root, choices, draft)
    if not problems and not draft.passes and not root.text("evaluator"):
        problems.add("There is nothing to do: no passes and no evaluator.", where=draft.locate("passes"))
    return draft


def read_native(given: Given, registry: Registry) -> NativeWorkflow:
    """Read a workflow in any form and put it into today's, options of plugins included."""
    problems, translations = Problems(), Translations()
    root = given.read(problems)
    for observer in given.observers:
        listed = root.mapping.setdefault("observers", Node([], observer.place))
        listed.value = [*listed.items, observer]
    later = given.settle(root, problems)
    _load_plugins(root, given.folder, registry, problems)
    for kind, node in _typed(root):
        _spell(node, kind, registry)
    if given.here:
        bring_here(Dialect(root, problems, translations))
    translate(root, problems, translations)
    dialect = Dialect(root, problems, translations)
    for kind, node in _typed(root):
        _spell(node, kind, registry)  # what was moved to its place just now
        _rename_options(dialect, node, kind, registry)
    for setting in later:
        setting.put(root, problems)
    return NativeWorkflow(root, translations, problems)


def _typed(root: Node) -> Iterator[tuple[type[Spec], Node]]:
    """Each section whose `type` names something of a plugin's, and of what kind that is."""
    one_by_one = {"input_model": ModelSpec, "host": SystemSpec, "target": SystemSpec}
    for key, kind in one_by_one.items():
        if node := root.mapping.get(key):
            yield kind, node
    groups = {"data_configs": DataContainerSpec, "systems": SystemSpec, "observers": ObserverSpec}
    for key, group in groups.items():
        for node in sections(root.mapping.get(key)):
            yield group, node
    for node in pass_sections(root.mapping.get("passes")):
        yield PassSpec, node
    evaluator = root.mapping.get("evaluator")
    for node in [*sections(root.mapping.get("evaluators")), *([evaluator] if evaluator else [])]:
        for metric in sections(node.mapping.get("metrics")):
            yield MetricSpec, metric


def _spell(node: Node, kind: type[Spec], registry: Registry) -> None:
    """Write its type as the plugin does: users, like Olive, write names in any case."""
    written = node.mapping.get("type")
    found = registry.get(kind, node.text("type"))
    if found is not None and written is not None:
        names = (found.spec.name, *found.spec.aliases)
        written.value = next(n for n in names if n.casefold() == node.text("type").casefold())


def _load_plugins(root: Node, folder: Path, registry: Registry, problems: Problems) -> None:
    """The plugins of one file that the workflow names. Others that lie there are not even looked at."""
    node = root.mapping.get("plugins")
    for item in node.items if node else ():
        if not isinstance(item.value, str) or registry.has_plugin(Path(item.value).stem):
            continue  # the check of the shape tells the first; the second was loaded a moment ago
        try:
            wrong = registry.add(entry_point(folder, item.value))
        except UserError as error:
            problems.add(error.message, error.hint, where=item.place)
            continue
        if wrong:
            problems.add(f"The plugin {item.value} does not work: {wrong}.", where=item.place)


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


def _check_shape(plain: dict[str, Any], positions: Positions, problems: Problems, beyond: Beyond) -> None:
    try:
        WorkflowFile.model_validate({key: value for key, value in plain.items() if key != "$schema"})
    except ValidationError as error:
        for fault in faults(error, WorkflowFile, plain, "A workflow"):
            if fault.path not in beyond:
                problems.add(fault.message, fault.hint, where=positions.locate(fault.path))


def _check_names(root: Node, choices: Choices, draft: WorkflowDraft) -> None:
    """Every name of a system, evaluator or data config has to stand for one."""
    known = {
        "system": (LOCAL_SYSTEM, *choices.names("systems")),
        "evaluator": choices.names("evaluators"),
    }

    def check(node: Node, key: str, kind: str, path: str, step: str = "") -> None:
        name = node.text(key)
        if name and name not in known[kind]:
            hint = did_you_mean(name, known[kind], what="There are") or f"The workflow has no {kind}s."
            message = f"There is no {kind} named {name!r}."
            draft.problems.add(message, hint, where=draft.locate(path), step=step)

    for key, kind in (("host", "system"), ("target", "system"), ("evaluator", "evaluator")):
        check(root, key, kind, key)
    passes = root.mapping.get("passes")
    for name, node in passes.mapping.items() if passes else ():
        for key, kind in (("host", "system"), ("evaluator", "evaluator")):
            check(node, key, kind, f"passes.{name}.{key}", name)


def _folder(root: Node, name: str, folder: Path, positions: Positions, problems: Problems) -> Path | None:
    def tell(message: str, hint: str, path: str) -> None:
        problems.add(message, hint, where=positions.locate(path))

    value = root.text(name)
    if not value:
        return None
    try:
        return Path(os.path.abspath(named_path(expand_text(value, name, tell), folder)))
    except UserError as error:
        tell(error.message, error.hint, name)
        return None


def _shared_place(root: Node) -> SharedPlace | None:
    """Where machines share results; None where that is wrong, which has been told."""
    given = root.mapping.get("cache")
    try:
        section = CacheSection.model_validate(given.plain()) if given else None
    except ValidationError:
        return None
    return SharedPlace(section.shared, section.options, section.update) if section else None


def _number(root: Node, name: str) -> int | None:
    node = root.mapping.get(name)
    return node.value if node and isinstance(node.value, int) else None


def _flag(root: Node, name: str) -> bool:
    node = root.mapping.get(name)
    return node is not None and node.value is True
