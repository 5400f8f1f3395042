"""What a shell completes where a command takes a name: click's, with the names that plugins bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from modelpress.registry import Registry
from modelpress.specs import Spec

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def names_of(kind: type[Spec]) -> Complete:
    """Completes the names of a kind of thing (PassSpec …), in any case."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        return _beginning_with(incomplete, (entry.spec.name for entry in Registry.load().all(kind)))

    return complete


def complete_plugin(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Completes the names of plugins."""
    return _beginning_with(incomplete, (plugin.name for plugin in Registry.load().plugins))


def _beginning_with(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.lower().startswith(incomplete.lower()))
