"""Which surgeons there are, and the surgeries that a workflow writes: by name, checked, with who brings them.

Our own are a table; those of other distributions are entry points, imported when a workflow names them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from modelpress.api import JSONValue, Options, UserError, did_you_mean, installed_points
from modelpress_plugins.graph_surgeries.surgeons import OWN

GROUP = "modelpress.surgeons"
NAME, PROVIDER, CODE = "surgeon", "provider", "code"
"""Of a surgery as its step has it: of another distribution's, who brings it and where its class is."""


@dataclass(frozen=True, slots=True)
class Surgeon:
    """A row of the table. provider: distribution, version and digest of its code; empty for our own."""

    name: str
    options: type[Options]
    run: str
    on_file: bool = False
    """Whether it mends what onnx_ir cannot read, and so takes the onnx.ModelProto."""
    provider: str = ""
    code: str = ""
    """`module:class` of one of another distribution."""
    takes_away: tuple[str, ...] = ()
    """Operators of which none is left, `domain::name`: the graph need not run before it."""

    def operate(self, model: object, options: Options, operation: object) -> int:
        """Let it change the model. Returns how many nodes it changed. Raises UserError when its code cannot
        be imported, or does not say a number."""
        module, _, name = self.run.partition(":")
        try:
            run = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UserError(f"The code of the surgeon {self.name} cannot be loaded: {error}.") from error
        changed = run(model, options, operation)
        if type(changed) is not int:
            raise UserError(
                f"The surgeon {self.name} has to say how many nodes it changed, and says {changed!r}.",
                "Tell its authors, or take it out.",
            )
        return changed


def find(name: str) -> Surgeon | None:
    """The surgeon with this name, in any case; None when there is none.

    Raises UserError when what brings it does not work.
    """
    for options in OWN:
        if options.__name__.casefold() == name.casefold():
            return _surgeon(options.__name__, options)
    for point in installed_points(GROUP)[0]:
        if point.name.casefold() == name.casefold():
            return _of_others(point)
    return None


def find_of(surgery: Mapping[str, JSONValue]) -> Surgeon | None:
    """The surgeon of a surgery that was planned: where its distribution is not installed but its code was
    carried along, by that. Raises UserError when what brings it does not work."""
    name, code, provider = (str(surgery.get(key, "")) for key in (NAME, CODE, PROVIDER))
    found = find(name)
    if found is not None or not code:
        return found
    module, _, attribute = code.partition(":")
    who = provider.rpartition(" ")[0]
    return _checked(name, code, who, lambda: getattr(import_module(module), attribute))


def names() -> list[str]:
    """Of all surgeons that are installed."""
    return [*(options.__name__ for options in OWN), *(point.name for point in installed_points(GROUP)[0])]


def hint(name: str) -> str:
    """What to say of a name that is not found."""
    return did_you_mean(name, names(), what="There are")


def written(surgery: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    """A surgery as the key of the step has it: its surgeon's own spelling, all options, and who brings it.

    One with a name that is not known stays as it is: the plan tells it. Raises ValidationError for options
    that are wrong.
    """
    name = surgery.get(NAME)
    if not isinstance(name, str):
        kind = "missing" if name is None else "string_type"
        raise ValidationError.from_exception_data(
            "surgery", [InitErrorDetails(type=kind, loc=(NAME,), input=dict(surgery))]
        )
    surgeon = find_quietly(name)
    if surgeon is None:
        return dict(surgery)
    options = parse(surgeon, surgery)
    told = {PROVIDER: surgeon.provider, CODE: surgeon.code} if surgeon.provider else {}
    return {NAME: surgeon.name, **options.canonical(), **told}


def parse(surgeon: Surgeon, surgery: Mapping[str, JSONValue]) -> Options:
    """Its options. Raises ValidationError, with the likeliest name for one that it does not have."""
    given = {key: value for key, value in surgery.items() if key not in (NAME, PROVIDER, CODE)}
    try:
        return surgeon.options.parse(given)
    except ValidationError as error:
        raise ValidationError.from_exception_data(
            surgeon.name, [_worded(details, surgeon) for details in _details(error)]
        ) from None


def find_quietly(name: str) -> Surgeon | None:
    """The same as find; None when what brings it does not work, which the plan tells."""
    try:
        return find(name)
    except UserError:
        return None


def _details(error: ValidationError) -> Iterator[InitErrorDetails]:
    for found in error.errors(include_url=False):
        kind: str | PydanticCustomError = found["type"]
        context = found.get("ctx", {})
        if kind not in _KNOWN:
            kind = PydanticCustomError("value_error", "{text}", {"text": found["msg"]})
            context = {}
        yield InitErrorDetails(type=kind, loc=found["loc"], input=found["input"], ctx=context)


_KNOWN = {"missing", "string_type", "float_type", "int_type", "bool_type", "extra_forbidden", "tuple_type"}


def _worded(details: InitErrorDetails, surgeon: Surgeon) -> InitErrorDetails:
    if details["type"] != "extra_forbidden":
        return details
    near = did_you_mean(str(details["loc"][-1]), surgeon.options.model_fields, what="It has")
    told = f"an option of {surgeon.name}" + (f" ({near.rstrip('?.')})" if near else "; it has none")
    worded = PydanticCustomError("value_error", "{text}", {"text": told})
    return InitErrorDetails(type=worded, loc=details["loc"], input=details["input"])


def _surgeon(name: str, options: type[Options], provider: str = "", code: str = "") -> Surgeon:
    run, on_file = getattr(options, "run", ""), bool(getattr(options, "on_file", False))
    return Surgeon(name, options, run, on_file, provider, code, tuple(getattr(options, "takes_away", ())))


def _of_others(point: EntryPoint) -> Surgeon:
    """Raises UserError with who is at fault."""
    who = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
    return _checked(point.name, point.value, who, point.load)


def _checked(name: str, code: str, who: str, load: Callable[[], object]) -> Surgeon:
    try:
        options = load()
    except Exception as error:  # code of theirs, imported here: whatever it raises is told
        raise UserError(
            f"The surgeon {name} of {who} cannot be loaded: {type(error).__name__}: {error}.",
            "Tell its authors, or take it out.",
        ) from error
    run = getattr(options, "run", None)
    if not (
        isinstance(options, type) and issubclass(options, Options) and isinstance(run, str) and ":" in run
    ):
        raise UserError(
            f"The surgeon {name} of {who} is no subclass of modelpress.api.Options with "
            '`run = "module:function"`.',
            "Tell its authors, or take it out.",
        )
    return _surgeon(name, options, f"{who} {_digest(code.partition(':')[0])}", code)


def _digest(module: str) -> str:
    """Of all Python files of the package, so that one that is edited in place is another."""
    state = hashlib.sha256()
    spec = find_spec(module.partition(".")[0])
    if spec is None:
        return ""
    roots = [Path(place) for place in spec.submodule_search_locations or ()]
    files = [file for root in roots for file in sorted(root.rglob("*.py"))] or [Path(spec.origin or "")]
    for file in files:
        state.update(file.read_bytes())
    return state.hexdigest()[:16]
