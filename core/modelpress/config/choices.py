"""Look up each type that a workflow names and validate its options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from modelpress.config.accelerators import accelerators_of
from modelpress.config.olive_beyond import Beyond
from modelpress.config.schema import (
    DataSection,
    InputModelSection,
    MetricSection,
    NeedsSection,
    ObserverSection,
    PassSection,
    SystemSection,
    common_keys,
)
from modelpress.config.sub_metrics import read_sub_metrics
from modelpress.config.tree import Node
from modelpress.config.validation import faults
from modelpress.config.workflow import (
    DataChoice,
    MetricChoice,
    ModelChoice,
    ObserverChoice,
    PassChoice,
    Positions,
    SystemChoice,
    Unfit,
)
from modelpress.config.written import expand, refuse_secrets
from modelpress.errors import MissingDependencyError, PluginError
from modelpress.markers import DataRole, marks
from modelpress.nearest import did_you_mean
from modelpress.options import Options
from modelpress.problems import Problems
from modelpress.registry import Registered, Registry
from modelpress.sizes import parse_size, parse_time
from modelpress.specs import (
    DataContainerSpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    PassSpec,
    Spec,
    SystemSpec,
)
from modelpress.system import NO_NEEDS, Needs

K = TypeVar("K", bound=Spec)


class _Found(NamedTuple, Generic[K]):
    """What a section names. registered and options are None when they are wrong: told. data: role -> name."""

    registered: Registered[K] | None = None
    options: Options | None = None
    data: Mapping[str, str] = MappingProxyType({})


_SHARED_KEYS = ("accelerators", "data_config", "sub_types")
"""Common keys that a plugin's options may have as well: it is given them, too."""


class Choices:
    """The parts of a workflow, from its tree by name. Whatever is wrong is told to `problems`."""

    def __init__(
        self, root: Node, registry: Registry, positions: Positions, problems: Problems, beyond: Beyond
    ) -> None:
        self._root = root
        self._registry = registry
        self._positions = positions
        self._problems = problems
        self._beyond = beyond
        self._data_names = list(self._group("data_configs"))

    def input_model(self) -> ModelChoice | Unfit:
        node = self._root.mapping.get("input_model")
        if node is None or not node.is_mapping:
            return Unfit("input_model", "", "input_model")
        unfit = Unfit("input_model", node.text("type"), "input_model")
        found = self._look_up(ModelSpec, node, "input_model", "input_model", InputModelSection)
        if found.registered is None:
            return unfit
        if found.options is None:
            return replace(unfit, produces=found.registered.spec.produces)
        return ModelChoice(found.registered, found.options)

    def passes(
        self, evaluators: Mapping[str, tuple[MetricChoice, ...]], host: str, last: tuple[MetricChoice, ...]
    ) -> tuple[PassChoice | Unfit, ...]:
        """host: runs those that name none; last: what is measured of the last, if it has no evaluator."""
        passes = self._root.mapping.get("passes")
        nodes = passes.mapping if passes else {}
        choices: list[PassChoice | Unfit] = []
        for number, (name, node) in enumerate(nodes.items(), start=1):
            if not node.is_mapping:
                choices.append(Unfit(name, "", f"passes.{name}"))
                continue
            own = node.text("evaluator")
            metrics = evaluators.get(own, ()) if own else last if number == len(nodes) else ()
            choices.append(self._pass(name, node, node.text("host") or host, metrics))
        return tuple(choices)

    def data(self) -> dict[str, DataChoice]:
        choices = {}
        for name, node in self._group("data_configs").items():
            path = f"data_configs.{name}"
            found, options, _ = self._look_up(DataContainerSpec, node, path, name, DataSection)
            if found is not None and options is not None:
                choices[name] = DataChoice(name, found, options)
        return choices

    def systems(self) -> dict[str, SystemChoice]:
        choices = {}
        for name, node in self._group("systems").items():
            found, options, _ = self._look_up(SystemSpec, node, f"systems.{name}", name, SystemSection)
            if found is None or options is None:
                continue
            accelerators = tuple(accelerators_of(node.mapping.get("accelerators")))
            choices[name] = SystemChoice(name, found, options, accelerators)
        return choices

    def evaluators(self) -> dict[str, tuple[MetricChoice, ...]]:
        choices = {}
        for name, node in self._group("evaluators").items():
            metrics = node.mapping.get("metrics")
            path = f"evaluators.{name}.metrics"
            found = [
                self._metric(f"{path}.{index}", item)
                for index, item in enumerate(metrics.items if metrics else ())
                if item.is_mapping
            ]
            choices[name] = tuple(metric for metric in found if metric)
        return choices

    def observers(self) -> tuple[ObserverChoice, ...]:
        node = self._root.mapping.get("observers")
        choices = []
        for index, item in enumerate(node.items if node else ()):
            path = f"observers.{index}"
            kind = item.text("type") if item.is_mapping else ""
            found, options, _ = self._look_up(ObserverSpec, item, path, kind, ObserverSection)
            if found is not None and options is not None:
                choices.append(ObserverChoice(found, options, path))
        return tuple(choices)

    def names(self, group: str) -> tuple[str, ...]:
        """The names in a group, of what is wrong too."""
        return tuple(self._group(group))

    def _pass(
        self, name: str, node: Node, host: str, metrics: tuple[MetricChoice, ...]
    ) -> PassChoice | Unfit:
        path = f"passes.{name}"
        found, options, data = self._look_up(PassSpec, node, path, name, PassSection)
        if found is None:
            return Unfit(name, node.text("type"), path)
        if options is None:
            return Unfit(name, found.spec.name, path, found.spec.accepts, found.spec.produces)
        return PassChoice(
            name=name,
            registered=found,
            options=options,
            host=host,
            metrics=metrics,
            output_name=node.text("output_name") or None,
            data=data,
            needs=_needs(node),
        )

    def _metric(self, path: str, node: Node) -> MetricChoice | None:
        name = node.text("name") or node.text("type")
        found, options, data = self._look_up(MetricSpec, node, path, name, MetricSection)
        data_name = node.text("data_config")
        if found and data_name and "data_config" not in (type(options).model_fields if options else ()):
            self._require_data(data_name, f"{path}.data_config", name)
            data = {"data": data_name, **data}
        if found is None or options is None:
            return None
        subs = read_sub_metrics(
            node.mapping.get("sub_types"),
            found.spec,
            f"{path}.sub_types",
            name,
            self._positions,
            self._problems,
        )
        return MetricChoice(name, found, options, data, subs, path)

    def _group(self, name: str) -> Mapping[str, Node]:
        node = self._root.mapping.get(name)
        return {key: child for key, child in node.mapping.items() if child.is_mapping} if node else {}

    def _look_up(
        self, kind: type[K], node: Node, path: str, step: str, section: type[BaseModel]
    ) -> _Found[K]:
        """The thing that the section's `type` names, and its options; None for what is wrong."""
        type_name = node.text("type")
        if not type_name or path in self._beyond:
            return _Found()  # the check of the shape has told it
        found = self._registry.get(kind, type_name)
        where = self._positions.locate(f"{path}.type")
        if found is None:
            hint = self._registry.hint(kind, type_name)
            if issubclass(kind, SystemSpec):
                hint += " With `--here` everything runs on this machine."
            message = f"There is no {kind.kind} of type {type_name!r}."
            self._problems.add(message, hint, where=where, step=step)
            return _Found()
        try:
            model = found.options_class
        except (PluginError, MissingDependencyError) as error:
            fault: Literal["dependency", "plugin"] = (
                "dependency" if isinstance(error, MissingDependencyError) else "plugin"
            )
            self._problems.add(error.message, error.hint, where=where, step=step, kind=fault)
            return _Found(found)
        common = common_keys(section)
        shared = {key for key in _SHARED_KEYS if key in model.model_fields}
        values = {k: n.plain() for k, n in node.mapping.items() if k not in common or k in shared}

        def tell(message: str, hint: str, option: str) -> None:
            where = self._positions.locate(f"{path}.{option}")
            self._problems.add(message, hint, where=where, step=step)

        values = expand(model, values, tell, may_be_secret=isinstance(found.spec, SystemSpec))
        options = None
        if refuse_secrets(found.spec.name, model, values, tell):
            options = self._parse(found, values, path, step, _other_names(found.spec, common))
        data = {}
        for mark in marks(model, options or values, DataRole):
            if isinstance(mark.value, str):
                data[mark.marker.role] = mark.value
                self._require_data(mark.value, f"{path}.{mark.option}", step)
        return _Found(found, options, data)

    def _parse(
        self,
        found: Registered[Spec],
        values: dict[str, object],
        path: str,
        step: str,
        other_names: Mapping[str, str],
    ) -> Options | None:
        try:
            return found.parse(values)
        except ValidationError as error:
            for fault in faults(error, found.options_class, values, found.spec.name, other_names):
                option = f"{path}.{fault.path}" if fault.path else path
                if option not in self._beyond:
                    where = self._positions.locate(option)
                    self._problems.add(fault.message, fault.hint, where=where, step=step)
            return None

    def _require_data(self, name: str, path: str, step: str) -> None:
        if name in self._data_names:
            return
        hint = did_you_mean(name, self._data_names, what="There are") or "The workflow has no data_configs."
        where = self._positions.locate(path)
        self._problems.add(f"There is no data config named {name!r}.", hint, where=where, step=step)


def _other_names(spec: Spec, common: Iterable[str]) -> dict[str, str]:
    """Keys that are right beside the options: the common ones, and old names with today's."""
    renamed = {rename.old: rename.new for rename in spec.renames if rename.new and "." not in rename.old}
    return {key: key for key in common} | renamed


def _needs(node: Node) -> Needs:
    """What the user says that a pass takes; nothing where that is wrong, which has been told."""
    given = node.mapping.get("needs")
    try:
        needs = NeedsSection.model_validate(given.plain() if given else {})
    except ValidationError:
        return NO_NEEDS
    return Needs(
        memory=parse_size(needs.memory) if needs.memory else 0,
        disk=parse_size(needs.disk) if needs.disk else 0,
        gpus=needs.gpus or 0,
        cpus=needs.cpus or 0,
        time=parse_time(needs.time) if needs.time else 0.0,
    )
