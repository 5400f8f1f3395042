"""What a plugin's distribution needs where its work runs: from an index, or carried along with it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from modelpress.loading import installed_points
from modelpress.provider import Provider, places
from modelpress.specs import PassSpec, Spec

_OWN = "modelpress"
"""The distribution that modelpress itself is: what a worker needs of its requirements is known better."""


def part_providers(spec: Spec) -> list[tuple[str, Provider]]:
    """What other distributions add to a pass: the name of each part, and who brings it."""
    group = spec.parts if isinstance(spec, PassSpec) else ""
    return [(point.name, Provider(point)) for point in installed_points(group)[0]] if group else []


def dependencies(provider: Provider) -> tuple[str, ...]:
    """What the distribution needs without extras, beside what its specs say, as far as an index can bring
    it."""
    return tuple(str(each) for each in _needed(provider) if not _is_local(each.name))


def helpers(provider: Provider) -> tuple[Path, ...]:
    """The code of those distributions that it needs and that no index can bring: installed here from a folder
    or a file. As `Provider.folders`."""
    local = [each.name for each in _needed(provider) if _is_local(each.name)]
    return tuple(folder for name in local for top in _modules_of(name) for folder in places(top))


def _needed(provider: Provider) -> list[Requirement]:
    if provider.name == _OWN:
        return []
    found = [_plain(text) for text in provider.requires]
    return [requirement for requirement in found if requirement and requirement.name != _OWN]


def _plain(text: str) -> Requirement | None:
    """A requirement of metadata, if it holds here without extras."""
    try:
        found = Requirement(text)
    except InvalidRequirement:
        return None
    if found.marker and not found.marker.evaluate({"extra": ""}):
        return None
    found.marker = None
    return found


@cache
def _is_local(name: str) -> bool:
    """Whether a distribution was installed from a folder or a file of this machine."""
    try:
        told = distribution(name).read_text("direct_url.json")
    except PackageNotFoundError:
        return False
    return '"file:' in (told or "")


def _modules_of(name: str) -> list[str]:
    """The top-level names of an installed distribution; of an editable one, its own name."""
    found = [top for top, owners in packages_distributions().items() if name in owners]
    return found or [name.replace("-", "_")]
