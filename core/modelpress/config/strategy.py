"""`search_strategy`, and whether each value that a workflow leaves open can be taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pydantic import ValidationError

from modelpress.config.dialect import pass_sections
from modelpress.config.open_values import OWN_VALUES, searched_by_default
from modelpress.config.schema import SearchSection, common_keys
from modelpress.config.search_space import OpenWorkflow, open_points
from modelpress.config.translations import Translations
from modelpress.config.tree import Node, make_node
from modelpress.config.validation import faults
from modelpress.config.workflow import PassChoice, Search, Strategy, WorkflowDraft
from modelpress.json_types import Scalar
from modelpress.problems import Problems
from modelpress.provider import installed_versions
from modelpress.registry import Registry
from modelpress.requirements import lacks, required_names
from modelpress.search import Axis, Candidate
from modelpress.specs import PassSpec, SamplerSpec


def leave_out_strategy(root: Node, translations: Translations) -> None:
    """Nothing is open: how it would be decided has no meaning."""
    node = root.mapping.get("search_strategy")
    if node is not None and node.value:
        del root.mapping["search_strategy"]
        why = "No pass and no option has a choice, so there is nothing to search."
        translations.add("search_strategy", "", node.place, why)


def read_strategy(root: Node, registry: Registry, problems: Problems) -> Strategy | None:
    """How what is open is decided; None, told, when it is wrong."""
    node = root.mapping.get("search_strategy")
    if node is not None and node.value is False:
        where = next((point.place for _, point in open_points(root)), node.place)
        hint = "Write one value for it, or take `search_strategy: false` away."
        problems.add("It is left open, and `search_strategy: false` says that nothing is.", hint, where=where)
        return None
    node = node if node is not None and node.is_mapping else make_node({}, root.place)
    values = node.plain()
    try:
        section = SearchSection.model_validate(values)
    except ValidationError as error:
        for fault in faults(error, SearchSection, values, "search_strategy"):
            place = node.find(fault.path) if fault.path else None
            problems.add(fault.message, fault.hint, where=(place or node).place)
        return None
    return _choose(section, node, root, registry, problems)


def _choose(
    section: SearchSection, node: Node, root: Node, registry: Registry, problems: Problems
) -> Strategy | None:
    found = registry.get(SamplerSpec, section.sampler)
    if found is None:
        hint = registry.hint(SamplerSpec, section.sampler)
        where = node.mapping.get("sampler", node).place
        problems.add(f"There is no sampler {section.sampler!r}.", hint, where=where)
        return None
    lacking = lacks(found.spec.requires, installed_versions(required_names(found.spec.requires)))
    if lacking:
        where = node.mapping.get("sampler", node).place
        message = f"The sampler {found.spec.name} needs {', '.join(map(str, lacking))}."
        problems.add(message, found.install_hint, where=where, kind="dependency")
        return None
    own = {key: child.plain() for key, child in node.mapping.items() if key not in common_keys(SearchSection)}
    try:
        options = found.parse(own)
    except ValidationError as error:
        names = {name: name for name in common_keys(SearchSection)}
        for fault in faults(error, found.options_class, own, f"The sampler {found.spec.name}", names):
            place = node.find(fault.path) if fault.path else None
            problems.add(fault.message, fault.hint, where=(place or node).place)
        return None
    seed = root.mapping.get("seed")
    of_workflow = seed.value if seed and isinstance(seed.value, int) else 0
    return Strategy(
        sampler=found,
        options=options,
        execution_order=section.execution_order,
        max_samples=section.max_samples,
        max_iter=section.max_iter,
        max_time=section.max_time,
        stop_when_goals_met=section.stop_when_goals_met,
        prune=section.prune,
        halving=section.halving,
        seed=of_workflow if section.seed is None else section.seed,
    )


def require_objective(draft: WorkflowDraft, root: Node, problems: Problems) -> None:
    """A search needs numbers to choose by."""
    last = draft.passes[-1] if draft.passes else None
    if isinstance(last, PassChoice) and not last.metrics:
        where = root.mapping.get("search_strategy", root).place
        hint = "Name an evaluator: its metrics are measured of each candidate's last model."
        problems.add("A search needs numbers to choose by, and nothing is measured.", hint, where=where)


def require_end(root: Node, search: Search, problems: Problems) -> None:
    """A search among endless candidates needs a limit."""
    strategy = search.strategy
    endless = next((axis.name for axis in search.open.axes if axis.choices is None), "")
    if not endless or not strategy:
        return
    node = root.mapping.get("search_strategy", root)
    where = node.mapping.get("sampler", node).place
    if not strategy.sampler.spec.endless:
        name = strategy.sampler.spec.name
        message = f"The sampler {name} has to come to an end: {endless} can be any number in a range."
        hint = "Give the range a step, write a choice, or take another sampler: random, tpe."
        problems.add(message, hint, where=where)
    elif not (strategy.max_samples or strategy.max_iter or strategy.max_time):
        hint = "Set max_samples, max_iter or max_time, or give the range a step."
        problems.add(f"The search has no end: {endless} can be any number in a range.", hint, where=where)


def open_own_values(root: Node, registry: Registry) -> None:
    """Where a search is asked for: open the options that are not written, and of which a pass says what is
    worth trying."""
    node = root.mapping.get("search_strategy")
    included = node.mapping.get("include_pass_params") if node else None
    if node is None or not node.value or (included is not None and included.value is False):
        return
    for section in pass_sections(root.mapping.get("passes")):
        found = registry.get(PassSpec, section.text("type"))
        disabled = section.mapping.get("disable_search")
        if found is None or (disabled is not None and disabled.value is True):
            continue
        for option in searched_by_default(found):
            if option not in section.mapping:
                section.mapping[option] = Node(OWN_VALUES, section.place)


def first_sound(
    opened: OpenWorkflow, decide: Callable[[Candidate], WorkflowDraft]
) -> tuple[Candidate, WorkflowDraft]:
    """The first candidate in which nothing is wrong, of some that together have each value; the first of all
    where there is none: then it is no matter of the choice."""
    first = opened.complete({})
    draft = decide(first)
    for candidate in opened.covering() if draft.problems else ():
        other = decide(candidate)
        if not other.problems:
            return candidate, other
    return first, draft


def tell_open_values(
    opened: OpenWorkflow, decide: Callable[[Candidate], WorkflowDraft], problems: Problems
) -> None:
    """Tell each value that its option cannot take, at its own place. What is wrong only beside another value
    is none of these: such candidates are told as failed."""
    for axis in opened.axes:
        for value, places in opened.written(axis):
            for candidate in _with(opened, axis, value):
                for problem in decide(candidate).problems:
                    if problem.where in places:
                        problems.take(problem)


def _with(opened: OpenWorkflow, axis: Axis, value: Scalar) -> Iterator[Candidate]:
    """Candidates that have the value, one for each branch that it is in."""
    first = opened.complete({axis.name: value})
    yield first
    for parent, allowed in axis.when.items():
        for other in allowed[1:]:
            yield opened.complete({axis.name: value, parent: other})
