"""What a plugin says about the things it brings. Frozen facts; the code is named by string.

`run="package.module:function"` is imported only where and when it runs, so that listing passes costs
nothing and a machine that only plans needs no heavy library. What each function is given and has to return
is its Protocol in modelpress.contracts; the core calls it through `Registered.call`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NamedTuple,
    Never,
    NoReturn,
    TypeVar,
    cast,
    dataclass_transform,
)

if TYPE_CHECKING:
    import click

    from modelpress import contracts
    from modelpress.json_types import Scalar
    from modelpress.options import Options

T = TypeVar("T", covariant=True)
S = TypeVar("S", bound="Spec")


class Reference(str, Generic[T]):
    """`module:name`, a string that knows its field of the spec and, to type checkers, what it names."""

    __slots__ = ("field",)
    field: str

    @staticmethod
    def of(text: str, field: str) -> Reference[Any]:
        reference: Reference[Any] = Reference(text)
        reference.field = field
        return reference


class Ref(Generic[T]):
    """The type of a field that names code. Authors give it a plain string; the core reads a Reference."""

    if TYPE_CHECKING:

        def __get__(self, spec: object, owner: object) -> Reference[T]: ...

        def __set__(self, spec: object, value: str) -> None: ...


_ABSENT = cast("Ref[Never]", "")


def _required() -> Ref[Never]:
    return cast("Ref[Never]", field())


class Rename(NamedTuple):
    """An option that has another name today. Applied before validation, and told to the user once.

    old, new: dotted paths inside the options (`training_args.evaluation_strategy`). new=None means that
    the option has no meaning any more: it is taken out, and `why` is told. values translates the value,
    where that changed too.
    """

    old: str
    new: str | None
    why: str = ""
    values: Mapping[Scalar, Scalar] = {}


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def _facts(cls: type[S]) -> type[S]:
    """A frozen dataclass. What dataclasses writes and compiles for each class stands in Spec, once: a list of
    passes waits for all of these classes, and half of what it waited for was that."""
    return dataclass(init=False, repr=False, eq=False)(cls)


@_facts
class Spec:
    """What every spec says.

    name:     what users write; summary: one sentence for lists
    requires: distributions on PyPI that its code imports, with the versions that will do (PEP 508:
              `torch>=2.9`); bars between wheels that stand for each other (`onnx>=1.20 | onnx-weekly`).
              Checked where the code will run; the versions found there are part of the cache key
    extra:    the extra of the providing distribution that brings them, for the hint
    version:  raise it when the same input would give other bytes or numbers
    aliases:  other names that stand for it
    renames:  options that have other names today

    Where a kind has `config`, it is `module:Class`, a subclass of modelpress.api.Options; left out, there are
    no options.
    """

    kind: ClassVar[str] = ""
    references: ClassVar[tuple[str, ...]] = ()
    """The fields that name code."""
    name: str
    summary: str
    requires: tuple[str, ...] = field(default=(), kw_only=True)
    extra: str = field(default="", kw_only=True)
    version: int = field(default=1, kw_only=True)
    aliases: tuple[str, ...] = field(default=(), kw_only=True)
    renames: tuple[Rename, ...] = field(default=(), kw_only=True)

    def __init__(self, *values: object, **named: object) -> None:
        cls = type(self).__name__
        known = {part.name: part for part in fields(self)}
        positional = [name for name, part in known.items() if not part.kw_only]
        given = dict(zip(positional, values, strict=False)) | named
        if len(given) < len(values) + len(named):
            raise TypeError(f"{cls} is given more than once what stands for one field, or too many values")
        for name in given.keys() - known.keys():
            raise TypeError(f"{cls} has no field {name!r}")
        for name, part in known.items():
            if name in given:
                value = given[name]
                if name in self.references and type(value) is str:
                    value = Reference.of(value, name)
                vars(self)[name] = value
            elif part.default_factory is not MISSING:
                vars(self)[name] = part.default_factory()
            elif part.default is MISSING:
                raise TypeError(f"{cls} lacks {name}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")


ANY_TARGET = "*"
"""Among the `targets` of a pass: it builds for whatever execution provider is asked for."""

ANY_FORMAT = "*"
"""As what a model `produces`: only its files tell."""


@_facts
class PassSpec(Spec):
    """One transformation of a model.

    run:      the work, see contracts.PassRun
    plan:     what can be said before it, see contracts.PassPlan; optional
    accepts:  formats it takes; produces: the format it gives. `"same"` gives the format it took.
    devices:  where it can run: cpu, gpu, npu. On a host with another device it runs on the CPU, if that is
              among them.
    targets:  execution providers that it can build for, or `*` for any. Empty: what it gives is the same
              whatever the model is for; it may not read ctx.accelerator, which is no part of its key then.
    by_threads: whether the bytes of the result depend on how many threads compute, as sums over samples do:
                their number is part of the cache key then
    alone:    whether it takes times, so that nothing else may be at work on its machine meanwhile
    tried:    whether `modelpress optimize` tries it, as it is, on models of the formats that it takes; one
              with options that are Searchable is tried anyway
    loss:     of a training: the report by which a search compares it with others while they are at work; less
              is better. Those that are behind are ended early (successive halving). Empty for none
    parts:    a group of entry points by which others add small passes to it; their code goes along with it
    """

    kind: ClassVar[str] = "pass"
    references: ClassVar[tuple[str, ...]] = ("run", "config", "plan")
    accepts: tuple[str, ...]
    produces: str
    run: Ref[contracts.PassRun[Options]] = _required()
    config: Ref[type[Options]] = _ABSENT
    plan: Ref[contracts.PassPlan[Options]] = _ABSENT
    devices: tuple[str, ...] = ("cpu", "gpu")
    by_threads: bool = False
    targets: tuple[str, ...] = ()
    alone: bool = False
    tried: bool = False
    loss: str = ""
    parts: str = field(default="", kw_only=True)


@_facts
class ModelSpec(Spec):
    """A way to name an input model in a workflow: `input_model: {type: HfModel, …}`.

    produces: its format, or its base's; `*` where only the files tell, then `open` has to find them at once
    open:  finds the files (in the hub's local cache, or a folder) and reads config.json, see
           contracts.ModelOpen
    fetch: called when ModelFacts.path is None, see contracts.ModelFetch. Left out when the model is always
           local.
    """

    kind: ClassVar[str] = "model"
    references: ClassVar[tuple[str, ...]] = ("open", "config", "fetch")
    produces: str
    open: Ref[contracts.ModelOpen[Options]] = _required()
    config: Ref[type[Options]] = _ABSENT
    fetch: Ref[contracts.ModelFetch[Options]] = _ABSENT


@_facts
class FormatSpec(Spec):
    """What an artifact is.

    check:     for inputs, and before a pass's output is committed, see contracts.FormatCheck
    load:      see contracts.FormatLoad; left out when the format cannot run by itself
    tokenizer: see contracts.FormatTokenizer; left out when it has none
    usage:     light; see contracts.FormatUsage; left out when there is nothing to tell
    """

    kind: ClassVar[str] = "format"
    references: ClassVar[tuple[str, ...]] = ("check", "load", "tokenizer", "usage")
    check: Ref[contracts.FormatCheck] = _required()
    load: Ref[contracts.FormatLoad] = _ABSENT
    tokenizer: Ref[contracts.FormatTokenizer] = _ABSENT
    usage: Ref[contracts.FormatUsage] = _ABSENT


@_facts
class DataContainerSpec(Spec):
    """A source of samples.

    open: heavy, where the pass runs, see contracts.DataOpen
    describe: columns and rows where they can be known before, see contracts.DataDescribe; optional
    """

    kind: ClassVar[str] = "data container"
    references: ClassVar[tuple[str, ...]] = ("open", "config", "describe")
    open: Ref[contracts.DataOpen[Options]] = _required()
    config: Ref[type[Options]] = _ABSENT
    describe: Ref[contracts.DataDescribe[Options]] = _ABSENT


@_facts
class SystemSpec(Spec):
    """A place where work runs. open: light to import, see contracts.SystemOpen."""

    kind: ClassVar[str] = "system"
    references: ClassVar[tuple[str, ...]] = ("open", "config")
    open: Ref[contracts.SystemOpen[Options]] = _required()
    config: Ref[type[Options]] = _ABSENT


@_facts
class MetricSpec(Spec):
    """One or more numbers about a model.

    run:     see contracts.MetricRun
    gives:   full name of each number (`latency_p50_ms`) -> (unit, higher_is_better)
    open_ended: whether it gives numbers by names that only its options or its data tell: those that are not
             in `gives`, which may be empty then, have no unit, and the higher the better
    formats: formats it can measure; empty means all
    sub_types: other names of its numbers in workflows (Olive's `accuracy_score`) -> full name
    opens_model: False for one that looks at files alone: it measures what is for another machine, too
    compares: True for one that compares with the model that the workflow began with, ctx.input_model
    estimate: light; what its numbers would be, by what a plan knows of the model, see
              contracts.MetricEstimate. A search builds no model that is to miss a goal by it; optional
    cost:     how dear it is beside others: 0 looks at files, 1 runs over a text once, 2 lets the model write,
              3 does so again and again. A search measures what is cheap first, and leaves out the rest of
              what cannot be chosen any more
    part:     (option, number): with that option at that number it looks at the first rows of its data only,
              as a search does before it looks at all; None where it cannot
    alone:    whether it takes times, so that nothing else may be at work on its machine meanwhile
    """

    kind: ClassVar[str] = "metric"
    references: ClassVar[tuple[str, ...]] = ("run", "config", "estimate")
    run: Ref[contracts.MetricRun[Options]] = _required()
    config: Ref[type[Options]] = _ABSENT
    gives: Mapping[str, tuple[str, bool]] = field(kw_only=True)
    open_ended: bool = field(default=False, kw_only=True)
    formats: tuple[str, ...] = ()
    sub_types: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    opens_model: bool = True
    compares: bool = False
    estimate: Ref[contracts.MetricEstimate[Options]] = _ABSENT
    cost: int = 1
    part: tuple[str, int] | None = None
    alone: bool = False

    @property
    def promised(self) -> tuple[str, ...]:
        """The names that its numbers may have; empty for any."""
        return () if self.open_ended else tuple(self.gives)

    def meaning(self, number: str) -> tuple[str, bool]:
        """(unit, higher_is_better) of one of its numbers."""
        return self.gives.get(number, ("", True)) if self.open_ended else self.gives[number]


@_facts
class ResourceSpec(Spec):
    """A kind of path that has to be fetched, named by `type` (`azureml_datastore`): it has `identity` and
    `fetch`. Or a vault, whose secrets can stand for the variable of an option that is a Secret: it has
    `secret` alone.

    identity: see contracts.ResourceIdentity; fetch: see contracts.ResourceFetch; secret: see
    contracts.ResourceSecret
    resumes:  fetch goes on with what an interrupted one left in the folder: that is kept for it
    schemes:  addresses that stand for it wherever a path is expected: with `("acme",)`, `acme://…` is the
              resource with that text as its option `address`
    """

    kind: ClassVar[str] = "resource"
    references: ClassVar[tuple[str, ...]] = ("identity", "fetch", "secret", "config")
    identity: Ref[contracts.ResourceIdentity[Options]] = _ABSENT
    fetch: Ref[contracts.ResourceFetch[Options]] = _ABSENT
    secret: Ref[contracts.ResourceSecret[Options]] = _ABSENT
    config: Ref[type[Options]] = _ABSENT
    resumes: bool = False
    schemes: tuple[str, ...] = ()


@_facts
class SamplerSpec(Spec):
    """A way to search: `search_strategy: {sampler: tpe}`.

    open:    see contracts.SamplerOpen
    endless: whether it can search among numbers in a range, of which there is no end
    """

    kind: ClassVar[str] = "sampler"
    references: ClassVar[tuple[str, ...]] = ("open", "config")
    open: Ref[contracts.SamplerOpen[Options]] = _required()
    config: Ref[type[Options]] = _ABSENT
    endless: bool = True


@_facts
class ObserverSpec(Spec):
    """Somebody who watches a run: `observers: [{type: MLflow}]`. open: see contracts.ObserverOpen."""

    kind: ClassVar[str] = "observer"
    references: ClassVar[tuple[str, ...]] = ("open", "config")
    open: Ref[contracts.ObserverOpen[Options]] = _required()
    config: Ref[type[Options]] = _ABSENT


@_facts
class LibrarySpec(Spec):
    """A library that passes use, and what the plugin that knows it can say of it.

    offline: environment variables that keep it off the network: name -> value. A run with --offline sets them
             where its passes run.
    check:   light; what `modelpress doctor` tells of it, see contracts.LibraryCheck; optional
    """

    kind: ClassVar[str] = "library"
    references: ClassVar[tuple[str, ...]] = ("check",)
    offline: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    check: Ref[contracts.LibraryCheck] = _ABSENT


@_facts
class CommandSpec(Spec):
    """A verb of the command line: `modelpress NAME`.

    name:    a word (`ask`), or a noun of the core and a verb (`data preview`)
    command: `module:name` of a click command, imported when it is used. It ends early by click's ctx.exit or
             by an error of modelpress.api: sys.exit is told as a fault.
    section: the heading under which `modelpress --help` lists it
    """

    kind: ClassVar[str] = "command"
    references: ClassVar[tuple[str, ...]] = ("command",)
    command: Ref[click.Command] = _required()
    section: str = "Work"
