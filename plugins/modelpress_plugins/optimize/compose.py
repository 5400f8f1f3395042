"""Puts together what can be tried on a model, of the passes that say what is worth trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelpress.api import (
    DataRole,
    JSONValue,
    PassSpec,
    Registered,
    Registry,
    Searchable,
    installed_versions,
)

MODEL = "hf-model"
RUNTIME = "ort-genai"
DATA = "data"
OWN_VALUES = "SEARCHABLE_VALUES"
Section = dict[str, JSONValue]
_MIXED, _PRESS, _BUILD = "mixed", "press", "build"


@dataclass(frozen=True, slots=True)
class Composed:
    """passes, flows: of the workflow; tried: names of the passes in it; absent: a pass -> what it lacks
    here."""

    passes: Mapping[str, JSONValue]
    flows: Sequence[Sequence[str]]
    tried: Sequence[str]
    absent: Mapping[str, str]


@dataclass(slots=True)
class _Offer:
    """The passes that could be tried on a format."""

    pressing: list[Registered[PassSpec]] = field(default_factory=list)
    marking: list[Registered[PassSpec]] = field(default_factory=list)
    building: list[Registered[PassSpec]] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


def compose(
    registry: Registry, format: str, device: str, *, data: bool = True, build: bool = True
) -> Composed:
    """What is tried on a model of the format: each pass that makes it smaller, with its options open, and
    before those what marks modules for more bits; behind, of a Hugging Face model, a build for the runtime,
    of what was pressed and of the model as it is.

    data: whether there is some to calibrate on; build: whether to build where that is installed
    """
    offer = _offer(registry, format, device)
    building = offer.building[:1] if build else []
    passes: dict[str, JSONValue] = {}
    flows: list[list[str]] = []
    last = [_BUILD] if building else []
    if offer.pressing and offer.marking:
        passes[_MIXED] = [_marking(entry, offer.pressing, data=data) for entry in offer.marking]
        flows.append([_MIXED, _PRESS, *last])
    if offer.pressing:
        alone = ", ".join([_PRESS, *last])
        whens: Section = {"pass_flows": [alone]} if flows or last else {}
        passes[_PRESS] = [_pressing(entry, whens, data=data) for entry in offer.pressing]
        flows.append([_PRESS, *last])
    if building:
        passes[_BUILD] = _building(building[0], offer.pressing, flows)
        flows.append([_BUILD])
    tried = [entry.spec.name for entry in (*offer.marking, *offer.pressing, *building)]
    return Composed(passes, flows, tried, offer.absent)


def _offer(registry: Registry, format: str, device: str) -> _Offer:
    found = _Offer()
    entries = sorted(registry.all(PassSpec), key=lambda each: str(each.spec.name))
    for entry in entries:
        spec = entry.spec
        if format not in spec.accepts or not (_worth_trying(entry) or spec.tried):
            continue
        if not {device, "cpu"} & set(spec.devices):
            continue
        if lacking := lacking_of(entry):
            found.absent[spec.name] = lacking
        elif spec.produces in ("same", format):
            found.pressing.append(entry)
        elif spec.produces == RUNTIME:
            found.building.append(entry)
        else:
            found.marking.append(entry)
    found.marking = [
        m for m in found.marking if any(m.spec.produces in p.spec.accepts for p in found.pressing)
    ]
    return found


def _worth_trying(entry: Registered[PassSpec]) -> dict[str, Searchable]:
    """Options whose class says which values are worth trying."""
    return {
        name: marker
        for name, info in entry.options_class.model_fields.items()
        for marker in info.metadata
        if isinstance(marker, Searchable)
    }


def _data_of(entry: Registered[PassSpec], *, data: bool) -> Section:
    """Options that name data."""
    fields = entry.options_class.model_fields
    roles = [n for n, info in fields.items() if any(isinstance(m, DataRole) for m in info.metadata)]
    return dict.fromkeys(roles if data else (), DATA)


def _marking(entry: Registered[PassSpec], pressing: Sequence[Registered[PassSpec]], *, data: bool) -> Section:
    """With those options open that are its own: what it shares with the passes that follow is theirs."""
    shared = {name for each in pressing for name in _worth_trying(each)}
    own = [name for name in _worth_trying(entry) if name not in shared]
    opened = dict.fromkeys(own, OWN_VALUES)
    return {"type": entry.spec.name, "disable_search": True, **opened, **_data_of(entry, data=data)}


def _pressing(entry: Registered[PassSpec], alone: Mapping[str, JSONValue], *, data: bool) -> Section:
    """With its options open. alone: the flow without marks; bits are open in it only: marks say theirs."""
    section: Section = {"type": entry.spec.name}
    for name, marker in _worth_trying(entry).items():
        closed = bool(alone) and not marker.by_default
        section[name] = {"choice": list(marker.values), "when": dict(alone)} if closed else OWN_VALUES
    return {**section, **_data_of(entry, data=data)}


def _building(
    entry: Registered[PassSpec], pressing: Sequence[Registered[PassSpec]], flows: Sequence[Sequence[str]]
) -> Section:
    """With the precision that what was pressed has; all that it has of the model as it is."""
    bits = sorted(
        {int(str(b)) for each in pressing for b in _worth_trying(each).get("bits", Searchable()).values}
    )
    cases: list[JSONValue] = [{"choice": [f"int{b}"], "when": {f"passes.{_PRESS}.bits": [b]}} for b in bits]
    if flows and flows[0][0] == _MIXED:
        cases.append({"choice": ["int4"], "when": {"pass_flows": [", ".join(flows[0])]}})
    values: list[JSONValue] = list(_worth_trying(entry)["precision"].values)
    if not flows:
        return {"type": entry.spec.name, "precision": {"choice": values}}
    cases.append({"choice": values, "when": {"pass_flows": [_BUILD]}})
    return {"type": entry.spec.name, "precision": {"cases": cases}}


def lacking_of(entry: Registered[PassSpec]) -> str:
    """The first distribution that it requires and that is not installed here; empty when all are."""
    for requirement in entry.spec.requires:
        names = [part.strip() for part in requirement.split("|")]
        bare = [part.split(">")[0].split("=")[0].split("<")[0].split("[")[0].strip() for part in names]
        if not installed_versions(bare):
            return bare[0]
    return ""
