"""Which plugins there are and what they bring. Each loads by itself: a broken one is noted, never fatal.

registry = Registry.load()
registry.find(PassSpec, "LoRA").spec.summary
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import pluggy

from modelpress import hookspecs
from modelpress.errors import MissingDependencyError, UserError
from modelpress.hookspecs import API_VERSION, ENTRY_POINT_GROUP
from modelpress.nearest import did_you_mean
from modelpress.provider import Provider
from modelpress.specs import (
    CommandSpec,
    DataContainerSpec,
    FormatSpec,
    MetricSpec,
    ModelSpec,
    PassSpec,
    Reference,
    ResourceSpec,
    SamplerSpec,
    Spec,
    SystemSpec,
)

if TYPE_CHECKING:
    from modelpress.events import Event

S = TypeVar("S", bound=Spec, covariant=True)
K = TypeVar("K", bound=Spec)
T = TypeVar("T")

BLOCK_VARIABLE = "MODELPRESS_BLOCK_PLUGINS"
"""Names of plugins, with commas between, that are not even imported."""

_BUILT_IN = "modelpress_plugins."
_KINDS: dict[str, type[Spec]] = {
    "modelpress_passes": PassSpec,
    "modelpress_models": ModelSpec,
    "modelpress_formats": FormatSpec,
    "modelpress_data_containers": DataContainerSpec,
    "modelpress_systems": SystemSpec,
    "modelpress_metrics": MetricSpec,
    "modelpress_resources": ResourceSpec,
    "modelpress_samplers": SamplerSpec,
    "modelpress_commands": CommandSpec,
}
_OBSERVER = "modelpress_event"


class Registered(Generic[S]):
    """A thing that a plugin brings, and who brings it. plugin is the name of the entry point."""

    __slots__ = ("plugin", "provider", "spec")

    def __init__(self, spec: S, plugin: str, provider: Provider) -> None:
        self.spec = spec
        self.plugin = plugin
        self.provider = provider

    @property
    def distribution(self) -> str:
        return self.provider.name

    @property
    def version(self) -> str:
        return self.provider.version

    @property
    def identity(self) -> str:
        """Distribution and version, and a digest of the sources where these may change without it."""
        digest = f"+{self.provider.source_digest}" if self.provider.editable else ""
        return f"{self.distribution} {self.version}{digest}"

    @property
    def install_hint(self) -> str:
        """What brings the libraries that the spec requires."""
        extra = getattr(self.spec, "extra", "")
        name = f"{self.distribution}[{extra}]" if extra else self.distribution
        return f'Install them there: pip install "{name}"'

    def resolve(self, reference: Reference[T]) -> T:
        """Import what a `module:name` of the spec stands for.

        Raises MissingDependencyError when a library is not installed that the module imports, UserError
        when the plugin is at fault.
        """
        found: T = resolve(reference, f"{self.spec.kind} {self.spec.name}", self.distribution)
        return found


# NamedTuples: a frozen dataclass takes ten times as long to make, and every `passes list` waits for it.


class Plugin(NamedTuple):
    """A plugin that works, with all that it brings."""

    name: str
    module: str
    provider: Provider
    specs: tuple[Spec, ...]


class BrokenPlugin(NamedTuple):
    """A plugin that does not work, or not wholly; error is for people."""

    name: str
    distribution: str
    error: str


class Registry:
    """All plugins of this environment.

    plugins: in the order of loading, built-ins first
    blocked: names that MODELPRESS_BLOCK_PLUGINS kept out
    """

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self.broken: list[BrokenPlugin] = []
        self.blocked: list[str] = []
        self._by_kind: dict[type[Any], dict[str, Registered[Any]]] = {}
        self._observers: list[tuple[str, Provider, Callable[..., Any]]] = []

    @staticmethod
    def load(points: Iterable[EntryPoint] | None = None) -> Registry:
        """Load every plugin that is installed (or those entry points)."""
        found = list(entry_points(group=ENTRY_POINT_GROUP) if points is None else points)
        registry = Registry()
        hooks = pluggy.PluginManager("modelpress")
        hooks.add_hookspecs(hookspecs)
        blocked = {name.strip() for name in os.environ.get(BLOCK_VARIABLE, "").split(",")}
        for point in sorted(found, key=lambda p: (not p.value.startswith(_BUILT_IN), p.name)):
            if point.name in blocked:
                registry.blocked.append(point.name)
            else:
                registry._load_plugin(point, hooks)
        return registry

    def find(self, kind: type[K], name: str) -> Registered[K]:
        """The one with this name or alias. Raises UserError with the nearest name."""
        found = self._by_kind.get(kind, {}).get(name)
        if found is None:
            raise UserError(f"There is no {kind.kind} named {name!r}.", self.hint(kind, name))
        return found

    def get(self, kind: type[K], name: str) -> Registered[K] | None:
        """The one with this name or alias, or None."""
        return self._by_kind.get(kind, {}).get(name)

    def all(self, kind: type[K]) -> list[Registered[K]]:
        """All of a kind, in the order of loading."""
        return [entry for name, entry in self._by_kind.get(kind, {}).items() if name == entry.spec.name]

    def names(self, kind: type[K]) -> list[str]:
        """All names and aliases of a kind."""
        return list(self._by_kind.get(kind, ()))

    @property
    def passes(self) -> list[Registered[PassSpec]]:
        return self.all(PassSpec)

    def hint(self, kind: type[K], name: str) -> str:
        """What to say of a name that is not found: the nearest, and the plugins that could not be asked."""
        return f"{did_you_mean(name, self.names(kind), what='There are')} {self.hint_absent()}".strip()

    def hint_absent(self) -> str:
        """Of what plugins could not be asked, and why; empty when all could."""
        parts = []
        if self.broken:
            told = "; ".join(f"{b.name}: {b.error}" for b in self.broken)
            parts.append(f"It may come from a plugin that does not work ({told}).")
        if self.blocked:
            parts.append(f"{BLOCK_VARIABLE} keeps out {', '.join(self.blocked)}.")
        return " ".join(parts)

    def emit(self, event: Event) -> None:
        """Let every observer see the event. One that raises is noted in `broken` and not called again."""
        for observer in tuple(self._observers):
            name, provider, function = observer
            try:
                function(event)
            except Exception as error:  # noqa: BLE001 - an observer is not ours and must never end a run
                self._observers.remove(observer)
                self.broken.append(BrokenPlugin(name, provider.name, f"{_OBSERVER} failed, {_tell(error)}"))

    def _load_plugin(self, point: EntryPoint, hooks: pluggy.PluginManager) -> None:
        provider = Provider(point)
        try:
            self._require_free_plugin_name(point, provider)
            module = _import_light_module(point)
            hooks.register(module)
            implementations = _implementations(module, hooks)
            observer = implementations.pop(_OBSERVER, None)
            specs = [spec for name, call in implementations.items() for spec in _call(name, call)]
            entries = self._entries(specs, point.name, provider)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a plugin does, sys.exit too, the others go on
            self.broken.append(BrokenPlugin(point.name, provider.name, _tell(error)))
            return
        for kind, name, entry in entries:
            self._by_kind.setdefault(kind, {})[name] = entry
        if observer:
            self._observers.append((point.name, provider, observer))
        self.plugins.append(Plugin(point.name, point.value, provider, tuple(specs)))

    def _require_free_plugin_name(self, point: EntryPoint, provider: Provider) -> None:
        for other in self.plugins:
            if other.name == point.name:
                raise _PluginFault(
                    f"its name is taken: {other.provider.name} and {provider.name} "
                    f"both bring a plugin {point.name!r}"
                )

    def _entries(
        self, specs: Sequence[Spec], plugin: str, provider: Provider
    ) -> list[tuple[type[Spec], str, Registered[Any]]]:
        """Each name of each spec, once they are known to be free."""
        entries: list[tuple[type[Spec], str, Registered[Any]]] = []
        own: set[tuple[type[Spec], str]] = set()
        for spec in specs:
            kind = type(spec)
            entry = Registered(spec, plugin, provider)
            for name in (spec.name, *getattr(spec, "aliases", ())):
                taken = self.get(kind, name)
                if taken:
                    raise _PluginFault(
                        f"{provider.name} brings a {spec.kind} {name!r}, "
                        f"and {taken.distribution} brings one of that name already"
                    )
                if (kind, name) in own:
                    raise _PluginFault(f"it brings two of the {spec.kind} {name!r}")
                own.add((kind, name))
                entries.append((kind, name, entry))
        return entries


def resolve(reference: str, what: str = "", distribution: str = "") -> Any:
    """Import `module:name`. what and distribution are for the message.

    Raises MissingDependencyError or UserError, see Registered.resolve.
    """
    module_name, _, name = reference.partition(":")
    who = f"{what} of {distribution}".strip() if what else reference
    try:
        return getattr(import_module(module_name), name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] == module_name.partition(".")[0]:
            raise UserError(f"The plugin behind {who} is at fault: {reference} names no module.") from error
        raise MissingDependencyError(f"{who} needs {missing!r}, which is not installed here.") from error
    except AttributeError as error:
        raise UserError(f"The plugin behind {who} is at fault: {reference}: {error}.") from error
    except ImportError as error:
        raise MissingDependencyError(f"{who} cannot be loaded: {error}.") from error
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise UserError(f"The plugin behind {who} is at fault: {reference}: {told}.") from error


class _PluginFault(Exception):
    """What is wrong with a plugin, as a sentence that needs no type in front."""


def _import_light_module(point: EntryPoint) -> ModuleType:
    if ":" in point.value:
        raise _PluginFault(f"its entry point has to name a module, and is {point.value!r}")
    module = import_module(point.value)
    version = getattr(module, "MODELPRESS_API", None)
    if version is None:
        raise _PluginFault(f"{point.value} does not say MODELPRESS_API = {API_VERSION}")
    if version != API_VERSION:
        raise _PluginFault(
            f"{point.value} is made for MODELPRESS_API {version!r}, and this modelpress has {API_VERSION}; "
            "install versions of both that fit"
        )
    return module


def _implementations(module: ModuleType, hooks: pluggy.PluginManager) -> dict[str, Callable[..., Any]]:
    """The plugin's own hook functions by hook. pluggy would pass over a misspelt one in silence."""
    found: dict[str, Callable[..., Any]] = {}
    for attribute, function in vars(module).items():
        if not inspect.isfunction(function):
            continue
        options = hooks.parse_hookimpl_opts(module, attribute)
        if options is None:
            if attribute.startswith("modelpress_") and function.__module__ == module.__name__:
                raise _PluginFault(f"{attribute} lacks @hookimpl")
            continue
        hook = options.get("specname") or attribute
        if hook not in _KINDS and hook != _OBSERVER:
            raise _PluginFault(
                f"{hook!r} is no hook of modelpress. {did_you_mean(hook, [*_KINDS, _OBSERVER])}"
            )
        if options.get("wrapper") or options.get("hookwrapper"):
            raise _PluginFault(f"{hook} is a wrapper, and modelpress has none")
        found[hook] = function
    return found


def _call(hook: str, function: Callable[..., Any]) -> list[Spec]:
    """The specs that a hook gives, each of the right kind and whole."""
    kind = _KINDS[hook]
    given = function()
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise _PluginFault(f"{hook} has to return {kind.__name__}s, and returns {type(given).__name__}")
    specs: list[Spec] = []
    for spec in given:
        if not isinstance(spec, kind):
            raise _PluginFault(
                f"{hook} has to return {kind.__name__}s, and returned one {type(spec).__name__}"
            )
        _check_spec(spec)
        specs.append(spec)
    return specs


def _check_spec(spec: Spec) -> None:
    if not spec.name or not isinstance(spec.name, str):
        raise _PluginFault(f"a {spec.kind} has no name")
    for field_name in spec.references:
        reference = getattr(spec, field_name)
        module, _, name = reference.partition(":")
        if reference and not (module and name):
            raise _PluginFault(
                f"{spec.kind} {spec.name}: {field_name} has to be 'module:name', and is {reference!r}"
            )


def _tell(error: BaseException) -> str:
    if isinstance(error, _PluginFault):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r}) while it was imported"
    if isinstance(error, pluggy.PluginValidationError):
        return str(error).replace("\n", " ").strip()
    return f"{type(error).__name__}: {error}"
