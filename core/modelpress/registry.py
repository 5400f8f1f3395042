"""Which plugins there are and what they bring. Each loads by itself: a broken one is noted, never fatal.

registry = Registry.load()
registry.find(PassSpec, "LoRA").spec.summary
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar

from modelpress import fence
from modelpress.errors import ModelpressError, UserError
from modelpress.fence import Origin
from modelpress.loading import (
    OBSERVER,
    BrokenPlugin,
    Hooks,
    PluginFault,
    installed_points,
    load_plugin,
    output_aside,
    tell,
)
from modelpress.nearest import did_you_mean
from modelpress.provider import Provider
from modelpress.specs import PassSpec, Reference, Spec

if TYPE_CHECKING:
    from modelpress.events import Event, Log
    from modelpress.json_types import JSONSchema
    from modelpress.options import Options

S = TypeVar("S", bound=Spec, covariant=True)
K = TypeVar("K", bound=Spec)
T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")

BLOCK_VARIABLE = "MODELPRESS_BLOCK_PLUGINS"
"""Names of plugins, with commas between, that are not even imported."""
ONLY_VARIABLE = "MODELPRESS_ONLY_PLUGINS"
"""Names of plugins, with commas between: no others are imported. Empty or not set: all are."""

_BUILT_IN = "modelpress_plugins."
_LIKENESS = 0.75
"""From which on a name is taken for a slip of the pen: OnnxModel is none of HfModel."""


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
        return f'Install them there: pip install "{self.install_name}"'

    @property
    def install_name(self) -> str:
        """What pip is told to install for them."""
        extra = self.spec.extra
        return f"{self.distribution}[{extra}]" if extra else self.distribution

    @property
    def origin(self) -> Origin:
        """Who to name when this thing's code fails."""
        return Origin(
            self.spec.kind, self.spec.name, self.plugin, self.distribution, self.version, self.install_hint
        )

    def call(self, reference: Reference[Callable[P, R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what a `module:name` of the spec stands for, in this process, and check its answer:
        `registered.call(registered.spec.plan, facts, options, context)`. What it prints goes to stderr.

        Raises PluginError for whatever the plugin raises, but for the errors that plugins may raise; see
        modelpress.fence.
        """
        with fence.aside():
            return fence.call(self.origin, reference, *args, **kwargs)

    def resolve(self, reference: Reference[T]) -> T:
        """Import what a `module:name` of the spec stands for.

        Raises MissingDependencyError when a library is not installed that the module imports, PluginError
        when the plugin is at fault.
        """
        with fence.aside():
            return fence.load(self.origin, reference)

    @property
    def options_class(self) -> type[Options]:
        """What its options are checked by; a model without fields when the spec names none."""
        # Only here: it needs pydantic, and lists do not.
        from modelpress.options import Options  # noqa: PLC0415

        reference = self._config
        if not reference:
            return Options
        found = self.resolve(reference)
        if not (isinstance(found, type) and issubclass(found, Options)):
            raise fence.fault(self.origin, reference, "it is no subclass of modelpress.api.Options")
        try:
            found.require_sound()
        except UserError as error:
            raise fence.fault(self.origin, reference, error.message.rstrip(".")) from error
        return found

    @property
    def _config(self) -> Reference[type[Options]]:
        reference: Reference[type[Options]] = getattr(self.spec, "config", Reference(""))
        return reference

    def options_schema(self, *, ref_template: str = "#/$defs/{model}") -> JSONSchema:
        """JSON Schema of its options."""
        options_class = self.options_class
        with fence.aside(), fence.fence(self.origin, self._config):
            return options_class.json_schema(ref_template=ref_template)

    def parse(self, values: Mapping[str, object]) -> Options:
        """Its options from JSON values. Raises pydantic.ValidationError when they are wrong."""
        from pydantic import ValidationError  # noqa: PLC0415 - lists do without

        options_class = self.options_class
        with fence.aside(), fence.fence(self.origin, self._config, passing=ValidationError):
            options = options_class.parse(values)
            options.canonical()  # what cannot be written as JSON must be told now, by name
        return options


# NamedTuples: a frozen dataclass takes ten times as long to make, and every `passes list` waits for it.


class Plugin(NamedTuple):
    """A plugin that works, with all that it brings."""

    name: str
    module: str
    provider: Provider
    specs: tuple[Spec, ...]
    seconds: float
    """What its import took."""


class Registry:
    """All plugins of this environment.

    plugins: in the order of loading, built-ins first
    blocked: names that MODELPRESS_BLOCK_PLUGINS or MODELPRESS_ONLY_PLUGINS kept out
    """

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self.broken: list[BrokenPlugin] = []
        self.blocked: list[str] = []
        self._by_kind: dict[type[Spec], dict[str, Registered[Any]]] = {}
        self._observers: list[tuple[Origin, str, Callable[..., object]]] = []

    @staticmethod
    def load(points: Iterable[EntryPoint] | None = None) -> Registry:
        """Load every plugin that is installed (or those entry points)."""
        registry = Registry()
        found, unreadable = installed_points() if points is None else (list(points), [])
        registry.broken += unreadable
        hooks = Hooks()
        blocked, only = _names(BLOCK_VARIABLE), _names(ONLY_VARIABLE)
        with output_aside():
            for point in sorted(found, key=lambda p: (not p.value.startswith(_BUILT_IN), p.name)):
                if point.name in blocked or (only and point.name not in only):
                    registry.blocked.append(point.name)
                else:
                    registry._load_plugin(point, hooks)
        return registry

    def has_plugin(self, name: str) -> bool:
        return any(plugin.name == name for plugin in self.plugins)

    def add(self, point: EntryPoint) -> str:
        """Load one more plugin, of a file that a workflow names. Returns what is wrong, or nothing."""
        hooks = Hooks()
        before = len(self.broken)
        with output_aside():
            self._load_plugin(point, hooks)
        return "; ".join(broken.error for broken in self.broken[before:])

    def find(self, kind: type[K], name: str) -> Registered[K]:
        """The one with this name or alias. Raises UserError with the nearest name."""
        found = self.get(kind, name)
        if found is None:
            raise UserError(f"There is no {kind.kind} named {name!r}.", self.hint(kind, name))
        return found

    def get(self, kind: type[K], name: str) -> Registered[K] | None:
        """The one with this name or alias, in any case, or None."""
        return self._by_kind.get(kind, {}).get(name.casefold())

    def all(self, kind: type[K]) -> list[Registered[K]]:
        """All of a kind, in the order of loading."""
        entries = self._by_kind.get(kind, {})
        return [entry for name, entry in entries.items() if name == entry.spec.name.casefold()]

    @property
    def offline_variables(self) -> dict[str, str]:
        """Environment variables that keep every library that a plugin knows off the network."""
        from modelpress.specs import LibrarySpec  # noqa: PLC0415

        return {name: value for e in self.all(LibrarySpec) for name, value in e.spec.offline.items()}

    def names(self, kind: type[K]) -> list[str]:
        """All names and aliases of a kind, as their plugins write them."""
        return [name for entry in self.all(kind) for name in (entry.spec.name, *entry.spec.aliases)]

    @property
    def slow(self) -> list[Plugin]:
        """Those whose import takes so long that people notice: a second or more."""
        return [plugin for plugin in self.plugins if plugin.seconds >= 1]

    @property
    def passes(self) -> list[Registered[PassSpec]]:
        return self.all(PassSpec)

    def hint(self, kind: type[K], name: str) -> str:
        """What to say of a name that is not found: the nearest, and the plugins that could not be asked."""
        near = did_you_mean(name, self.names(kind), what="There are", cutoff=_LIKENESS)
        return f"{near} {self.hint_absent()}".strip()

    def hint_absent(self) -> str:
        """Of what plugins could not be asked, and why; empty when all could."""
        parts = []
        if self.broken:
            told = "; ".join(f"{b.name or b.distribution}: {b.error}" for b in self.broken)
            parts.append(f"It may come from a plugin that does not work ({told}).")
        if self.blocked:
            parts.append(f"{BLOCK_VARIABLE} or {ONLY_VARIABLE} keeps out {', '.join(self.blocked)}.")
        return " ".join(parts)

    def emit(self, event: Event) -> list[Log]:
        """Let every observer see the event. One that fails is noted in `broken` and not called again; what is
        to be told of it is returned, once."""
        from modelpress.events import Log  # noqa: PLC0415 - lists do without

        told = []
        for observer in tuple(self._observers):
            origin, name, function = observer
            try:
                with fence.aside(), fence.fence(origin, name):
                    function(event)
            except ModelpressError as error:
                self._observers.remove(observer)
                self.broken.append(BrokenPlugin(origin.plugin, origin.distribution, error.message))
                told.append(Log("warning", f"{error.message} It is not called again."))
        return told

    def _load_plugin(self, point: EntryPoint, hooks: Hooks) -> None:
        provider = Provider(point)
        try:
            self._require_free_plugin_name(point, provider)
            brought = load_plugin(point, hooks)
            entries = self._entries(brought.specs, point.name, provider)
        except BaseException as error:
            if fence.is_interrupt(error, point.value):
                raise
            # Whatever a plugin does, sys.exit too, the others go on.
            self.broken.append(BrokenPlugin(point.name, provider.name, tell(error)))
            return
        for kind, name, entry in entries:
            self._by_kind.setdefault(kind, {})[name.casefold()] = entry
        if brought.observer:
            origin = Origin("observer", point.name, point.name, provider.name, provider.version)
            self._observers.append((origin, f"{point.value}:{OBSERVER}", brought.observer))
        self.plugins.append(Plugin(point.name, point.value, provider, brought.specs, brought.seconds))

    def _require_free_plugin_name(self, point: EntryPoint, provider: Provider) -> None:
        for other in self.plugins:
            if other.name == point.name:
                raise PluginFault(
                    f"its name is taken: {other.provider.name} and {provider.name} "
                    f"both bring a plugin {point.name!r}"
                )

    def _entries(
        self, specs: Sequence[Spec], plugin: str, provider: Provider
    ) -> list[tuple[type[Spec], str, Registered[Spec]]]:
        """Each name of each spec, once they are known to be free: users write them in any case."""
        entries: list[tuple[type[Spec], str, Registered[Spec]]] = []
        own: set[tuple[type[Spec], str]] = set()
        for spec in specs:
            kind = type(spec)
            entry = Registered(spec, plugin, provider)
            for name in (spec.name, *spec.aliases):
                taken = self.get(kind, name)
                if taken:
                    raise PluginFault(
                        f"{provider.name} brings a {spec.kind} {name!r}, "
                        f"and {taken.distribution} brings one of that name already"
                    )
                if (kind, name.casefold()) in own:
                    raise PluginFault(f"it brings two of the {spec.kind} {name!r}")
                own.add((kind, name.casefold()))
                entries.append((kind, name, entry))
        return entries


def _names(variable: str) -> set[str]:
    return {name for text in os.environ.get(variable, "").split(",") if (name := text.strip())}
