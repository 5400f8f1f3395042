"""Puts together what can be tried on a model, of the passes that say what is worth trying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
DATA = "data"
OWN_VALUES = "SEARCHABLE_VALUES"
Section = dict[str, JSONValue]


@dataclass(frozen=True, slots=True)
class Composed:
    """passes: of the workflow; tried: names of the passes in it; absent: a pass -> what it lacks here."""

    passes: Mapping[str, JSONValue]
    tried: Sequence[str]
    absent: Mapping[str, str]


def compose(registry: Registry, builder: str | None) -> Composed:
    """Marks for mixed precision or none, then one of the quantizers, each with its options open, then a
    build for the target. builder: the pass that builds; None for no build."""
    absent: dict[str, str] = {}
    quantizers, marking = [], []
    for entry in sorted(registry.all(PassSpec), key=lambda each: str(each.spec.name)):
        if MODEL not in entry.spec.accepts or not _open_options(entry):
            continue
        if lacking := lacking_of(entry):
            absent[entry.spec.name] = lacking
        elif entry.spec.produces == MODEL:
            quantizers.append(entry)
        else:
            marking.append(entry)
    followed = [m for m in marking if any(m.spec.produces in q.spec.accepts for q in quantizers)]
    passes: dict[str, JSONValue] = {}
    if followed:
        passes["mixed"] = [None, *(_section(entry) for entry in followed)]
    if quantizers:
        passes["quantize"] = [_section(entry) for entry in quantizers]
    if builder is not None:
        passes["build"] = {"type": builder, "precision": "int4"}
    tried = [entry.spec.name for entry in (*followed, *quantizers)] + ([builder] if builder else [])
    return Composed(passes, tried, absent)


def _open_options(entry: Registered[PassSpec]) -> list[str]:
    fields = entry.options_class.model_fields
    return [n for n, info in fields.items() if any(isinstance(m, Searchable) for m in info.metadata)]


def _section(entry: Registered[PassSpec]) -> Section:
    """The pass with its options open, calibrated on the data."""
    section: Section = {"type": entry.spec.name}
    section |= dict.fromkeys(_open_options(entry), OWN_VALUES)
    for name, info in entry.options_class.model_fields.items():
        if any(isinstance(m, DataRole) for m in info.metadata):
            section[name] = DATA
    return section


def lacking_of(entry: Registered[PassSpec]) -> str:
    """The first distribution that it requires and that is not installed here; empty when all are."""
    for requirement in entry.spec.requires:
        names = [part.strip() for part in requirement.split("|")]
        bare = [part.split(">")[0].split("=")[0].split("<")[0].split("[")[0].strip() for part in names]
        if not installed_versions(bare):
            return bare[0]
    return ""
