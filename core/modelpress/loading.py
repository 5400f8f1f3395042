"""From an entry point to what its plugin brings: found, imported, checked. Nothing is fatal to others."""

from __future__ import annotations

import inspect
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pluggy

from modelpress import hookspecs, spec_checks
from modelpress.errors import PluginError
from modelpress.fence import Origin, aside, fault, told_of
from modelpress.hookspecs import API_VERSION, ENTRY_POINT_GROUP
from modelpress.nearest import did_you_mean
from modelpress.provider import Provider
from modelpress.specs import (
    CommandSpec,
    DataContainerSpec,
    FormatSpec,
    LibrarySpec,
    MetricSpec,
    ModelSpec,
    ObserverSpec,
    PassSpec,
    ResourceSpec,
    SamplerSpec,
    Spec,
    SystemSpec,
)

HOOKS: Mapping[str, type[Spec]] = {
    "modelpress_passes": PassSpec,
    "modelpress_models": ModelSpec,
    "modelpress_formats": FormatSpec,
    "modelpress_data_containers": DataContainerSpec,
    "modelpress_systems": SystemSpec,
    "modelpress_metrics": MetricSpec,
    "modelpress_resources": ResourceSpec,
    "modelpress_samplers": SamplerSpec,
    "modelpress_observers": ObserverSpec,
    "modelpress_libraries": LibrarySpec,
    "modelpress_commands": CommandSpec,
}
OBSERVER = "modelpress_event"
_MOST_SPECS = 1000
"""Of one hook: a generator that never ends must not hold up every command."""


class Hooks(pluggy.PluginManager):
    """The hooks that plugins implement. Only functions of a plugin's module do: pluggy would look through
    classes, tables and imports as well, which is most of what loading a plugin takes."""

    def __init__(self) -> None:
        super().__init__("modelpress")
        self.add_hookspecs(hookspecs)

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        is_function = inspect.isfunction(vars(plugin).get(name))
        return super().parse_hookimpl_opts(plugin, name) if is_function else None


class PluginFault(Exception):
    """What is wrong with a plugin, as a sentence that needs no type in front."""


class BrokenPlugin(NamedTuple):
    """A plugin that does not work, or not wholly; error is for people. name: empty when the distribution does
    not even tell which plugins it has. seconds: what its import took."""

    name: str
    distribution: str
    error: str
    seconds: float = 0.0


class Brought(NamedTuple):
    """What a plugin brings. observer: its `modelpress_event`; seconds: what its import took."""

    specs: tuple[Spec, ...]
    observer: Callable[..., object] | None
    seconds: float


def installed_points(group: str = ENTRY_POINT_GROUP) -> tuple[list[EntryPoint], list[BrokenPlugin]]:
    """The entry points of a group in all distributions, each read by itself, and the distributions that
    cannot be read: importlib.metadata's own function gives nothing where one is damaged."""
    points: list[EntryPoint] = []
    broken: list[BrokenPlugin] = []
    seen: set[str] = set()
    for distribution in distributions():
        try:
            # The first on the path counts, as for an import.
            name: str = distribution._normalized_name  # type: ignore[attr-defined]
            if name in seen:
                continue
            seen.add(name)
            points += _points(distribution, group)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others go on
            broken.append(
                BrokenPlugin("", _place(distribution), f"its entry points cannot be read, {tell(error)}")
            )
    return points, broken


def _place(distribution: Distribution) -> str:
    """The name of its folder of metadata (`acme-1.0.dist-info`): all that can be said of a broken one."""
    name = getattr(getattr(distribution, "_path", None), "name", None)
    return name if isinstance(name, str) else "unknown"


def _points(distribution: Distribution, group: str) -> list[EntryPoint]:
    text = _entry_points_text(distribution)
    if not text or f"[{group}]" not in text:
        return []
    found = [point for point in distribution.entry_points if point.group == group]
    for point in found:
        if not point.value or EntryPoint.pattern.match(point.value) is None:
            raise PluginFault(f"{point.name!r} names {point.value!r}, and no module")
    return found


def _entry_points_text(distribution: Distribution) -> str:
    """The file itself where there is one: of a hundred distributions half have none, and the way through
    importlib.metadata takes ten times as long to say so. Every command waits for it."""
    folder = getattr(distribution, "_path", None)
    if not isinstance(folder, Path):
        return distribution.read_text("entry_points.txt") or ""
    try:
        with open(f"{folder}/entry_points.txt", "rb", buffering=0) as file:
            return file.read().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ""


def load_plugin(point: EntryPoint, hooks: Hooks) -> Brought:
    """Import the plugin and ask what it brings. Raises PluginFault, or whatever the plugin raises."""
    with aside():
        started = time.perf_counter()
        module = _import_light_module(point)
        seconds = time.perf_counter() - started
        hooks.register(module)
        implementations = _implementations(module, hooks)
        observer = implementations.pop(OBSERVER, None)
        specs = [spec for name, function in implementations.items() for spec in _ask(name, function)]
    return Brought(tuple(specs), observer, seconds)


def blame(error: BaseException) -> PluginError | None:
    """The error as a plugin's fault, where the innermost code that is the core's or a plugin's is a plugin's:
    what happens in the methods of an object that a plugin gave is told by this."""
    import traceback  # noqa: PLC0415 - only failures need it

    points, _ = installed_points()
    modules = [str(f.f_globals.get("__name__")) for f, _ in traceback.walk_tb(error.__traceback__)]
    packages = {"modelpress", *(_package(point.value) for point in points)}
    ours = [module for module in modules if _package(module) in packages]
    if not ours or _package(ours[-1]) == "modelpress":
        return None
    nearest = [p for m in reversed(ours) for p in points if f"{m}.".startswith(f"{p.value}.")]
    others = [p for p in points if _package(p.value) == _package(ours[-1])]
    point = (nearest or others)[0]
    provider = Provider(point)
    origin = Origin("plugin", point.name, point.name, provider.name, provider.version)
    return fault(origin, ours[-1], told_of(error), error)


def _package(name: str) -> str:
    return name.partition(".")[0]


@contextmanager
def output_aside() -> Iterator[None]:
    """What native code and child processes write to standard output meanwhile goes to standard error: what a
    plugin prints while it is imported must not end up in a command's JSON."""
    kept = None
    with suppress(OSError, ValueError):  # no standard output, or one that is no file
        sys.__stdout__.flush() if sys.__stdout__ else None
        kept = os.dup(1)
        os.dup2(2, 1)
    try:
        yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def tell(error: BaseException) -> str:
    """An error that a plugin raised while it was loaded, for people."""
    if isinstance(error, PluginFault):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r}) while it was imported"
    if isinstance(error, pluggy.PluginValidationError):
        return str(error).replace("\n", " ").strip()
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception of theirs may fail at being told, too
        return type(error).__name__


def _import_light_module(point: EntryPoint) -> ModuleType:
    if ":" in point.value:
        raise PluginFault(f"its entry point has to name a module, and is {point.value!r}")
    module = import_module(point.value)
    version = getattr(module, "MODELPRESS_API", None)
    if version is None:
        raise PluginFault(f"{point.value} does not say MODELPRESS_API = {API_VERSION}")
    if version != API_VERSION:
        raise PluginFault(
            f"{point.value} is made for MODELPRESS_API {version!r}, and this modelpress has {API_VERSION}; "
            "install versions of both that fit"
        )
    return module


def _implementations(module: ModuleType, hooks: Hooks) -> dict[str, Callable[..., object]]:
    """The plugin's own hook functions by hook. pluggy would pass over a misspelt one in silence."""
    found: dict[str, Callable[..., object]] = {}
    for attribute, function in vars(module).items():
        if not inspect.isfunction(function):
            continue
        options = hooks.parse_hookimpl_opts(module, attribute)
        if options is None:
            if attribute.startswith("modelpress_") and function.__module__ == module.__name__:
                raise PluginFault(f"{attribute} lacks @hookimpl")
            continue
        hook = options.get("specname") or attribute
        if hook not in HOOKS and hook != OBSERVER:
            raise PluginFault(f"{hook!r} is no hook of modelpress. {did_you_mean(hook, [*HOOKS, OBSERVER])}")
        if options.get("wrapper") or options.get("hookwrapper"):
            raise PluginFault(f"{hook} is a wrapper, and modelpress has none")
        found[hook] = function
    return found


def _ask(hook: str, function: Callable[..., object]) -> list[Spec]:
    """The specs that a hook gives, each of the right kind and whole."""
    kind = HOOKS[hook]
    given = function()
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise PluginFault(f"{hook} has to return {kind.__name__}s, and returns {type(given).__name__}")
    specs: list[Spec] = []
    for spec in given:
        if not isinstance(spec, kind):
            raise PluginFault(
                f"{hook} has to return {kind.__name__}s, and returned one {type(spec).__name__}"
            )
        wrong = spec_checks.what_is_wrong(spec)
        if wrong:
            raise PluginFault(wrong)
        specs.append(spec)
        if len(specs) > _MOST_SPECS:
            raise PluginFault(f"{hook} returns more than {_MOST_SPECS} {kind.__name__}s")
    return specs
