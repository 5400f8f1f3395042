"""The one fence between the core and plugin code, in the host process and in the worker.

`call` imports what a reference names, calls it, and checks the answer against its contract. Whatever goes
wrong there becomes a PluginError that names plugin, distribution, version and function, with two exceptions:
errors that modelpress promises to plugins (UserError, PassError …) pass through, and so does a real Ctrl-C.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import takewhile
from typing import NamedTuple, ParamSpec, TextIO, TypeVar

from modelpress.errors import MissingDependencyError, ModelpressError, PluginError, UserError, text_of
from modelpress.specs import Reference

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_MOST_OUTPUT = 10**6
"""Characters that a function which is to answer, not to print, may print before it is stopped."""
_LONGEST = 600
"""Characters of an exception's text that are told."""
_EXIT_CODES = frozenset({1, 2, 3, 4, 5, 130})


class Origin(NamedTuple):
    """Where a piece of plugin code comes from, for whoever has to be told."""

    kind: str
    """Of the spec: `pass`, `system` …"""
    name: str
    plugin: str
    distribution: str
    version: str
    install_hint: str = ""

    def __str__(self) -> str:
        return f"the plugin {self.plugin} of {self.distribution} {self.version}"


def call(origin: Origin, reference: Reference[Callable[P, R]], *args: P.args, **kwargs: P.kwargs) -> R:
    """Import what the reference names, call it, check the answer. Raises as this module says."""
    function = load(origin, reference)
    with fence(origin, reference):
        answer = function(*args, **kwargs)
        check_answer(origin, reference, answer)
    return answer


def load(origin: Origin, reference: Reference[T]) -> T:
    """Import what the reference names.

    Raises MissingDependencyError when a library is not installed that the module imports, PluginError when
    the plugin is at fault.
    """
    module_name, _, name = reference.partition(":")
    with fence(origin, reference):
        try:
            module = import_module(module_name)
        except UserError as error:  # nothing that a user wrote is known there: a class of options is wrong
            raise fault(origin, reference, error.message.rstrip("."), error) from error
        try:
            found: T = getattr(module, name)
        except AttributeError as error:
            raise fault(origin, reference, str(error)) from None
        if not callable(found):
            raise fault(origin, reference, f"{name} can not be called")
    return found


@contextmanager
def fence(origin: Origin, function: str, *, passing: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Turn whatever is raised inside into an error that names the plugin. function: for the message.

    passing: what is no fault there, and is raised as it is
    """
    try:
        yield
    except passing:
        raise
    except ModelpressError as error:
        if not _is_sound(error):
            raise fault(origin, function, told_of(error), error) from error
        raise
    except ModuleNotFoundError as error:
        raise _missing(origin, function, error) from error
    except KeyboardInterrupt as error:
        if is_interrupt(error, function):
            raise
        raise fault(origin, function, "it raised KeyboardInterrupt", error) from error
    except BaseException as error:
        raise fault(origin, function, told_of(error), error) from error


def fault(origin: Origin, function: str, what: str, error: BaseException | None = None) -> PluginError:
    """The error that says that a plugin is at fault. what: as a clause, without a full stop."""
    place = _place(error, function) if error else ""
    told = PluginError(
        f"The {origin.kind} {origin.name} is at fault: {function}: {what}{place}. It comes from {origin}.",
        "This is for the plugin's authors; --debug shows where it happened.",
    )
    if origin.kind == "system":
        told.exit_code = 5
    return told


def expect(kind: type, **values: object) -> None:
    """Raise a TypeError for what a plugin gives that is something else: there, not where it breaks later."""
    for name, value in values.items():
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError(f"{name} has to be {kind.__name__}, and is {value!r:.100}")


def culprit(error: BaseException, codes: Mapping[str, Origin]) -> str:
    """Which of several pieces of plugin code (`module:name` -> origin) raised the error: an object of one
    plugin is used by another's code. Empty when it cannot be told."""
    modules: list[list[str]] = []
    step = error.__traceback__
    while step:
        modules.append(str(step.tb_frame.f_globals.get("__name__")).split("."))
        step = step.tb_next
    for module in reversed(modules):
        alike = {code: _alike(module, code.partition(":")[0].split(".")) for code in codes}
        nearest = [code for code, count in alike.items() if count and count == max(alike.values())]
        if nearest and len({codes[code].plugin for code in nearest}) == 1:
            return nearest[0]
    return ""


def _alike(left: Sequence[str], right: Sequence[str]) -> int:
    """How many parts two dotted names begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False)))


@contextmanager
def aside(most: int = _MOST_OUTPUT) -> Iterator[None]:
    """Send what Python code prints to stderr, where it cannot end up in a command's own output; stop it when
    it prints without end. most: characters."""
    before = sys.stdout
    sys.stdout = _Aside(sys.stderr, most)
    try:
        yield
    finally:
        sys.stdout = before


class EndlessOutput(BaseException):
    """Raised where a plugin prints that has printed too much. No Exception: it must not be caught there."""

    def __init__(self, most: int) -> None:
        super().__init__(f"it printed more than {most:,} characters")


class _Aside(io.TextIOBase):
    def __init__(self, stream: TextIO, most: int) -> None:
        self._stream = stream
        self._most = most
        self._count = 0

    def write(self, text: str) -> int:
        self._count += len(text)
        if self._count > self._most:
            raise EndlessOutput(self._most)
        from modelpress.secrets import redact  # noqa: PLC0415 - lists do without: nothing prints there

        self._stream.write(redact(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)  # `buffer`, `reconfigure`: what else a library may ask for


def check_answer(origin: Origin, function: str, answer: object, expected: object = ...) -> None:
    """Raise a PluginError when the answer is not of the type; without one, when it is not what the contract
    of the Reference says."""
    # Only here: contracts need pydantic, and no list calls a plugin's function.
    from modelpress.answers import contract_of, what_is_wrong  # noqa: PLC0415

    if isinstance(function, Reference) and expected is ...:
        expected = contract_of(origin.kind, function.field)
    wrong = what_is_wrong(answer, expected)
    if wrong:
        raise fault(origin, function, f"it returned {wrong}")


def _missing(origin: Origin, function: str, error: ModuleNotFoundError) -> ModelpressError:
    module_name = function.partition(":")[0]
    missing = error.name or ""
    if missing.partition(".")[0] == module_name.partition(".")[0]:
        return fault(origin, function, f"there is no module {missing!r}", error)
    return MissingDependencyError(
        f"The {origin.kind} {origin.name} of {origin.distribution} needs the Python package {missing!r}, "
        f"which is not installed in {sys.prefix}.",
        origin.install_hint,
    )


def _is_sound(error: ModelpressError) -> bool:
    """Whether an error has what it needs to be told: a plugin may have derived it and left parts out."""
    texts = (getattr(error, "message", None), getattr(error, "hint", None))
    told = getattr(error, "problems", True)  # a WorkflowError without any says nothing
    return all(isinstance(text, str) for text in texts) and error.exit_code in _EXIT_CODES and bool(told)


def is_interrupt(error: BaseException, function: str) -> bool:
    """Whether it is a real Ctrl-C, not a KeyboardInterrupt that the plugin raised by a `raise` of its own: a
    signal raises between any two instructions, and what is raised anew on the way up has it as its context.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    while isinstance(error.__context__, KeyboardInterrupt):
        error = error.__context__
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    if frame is None or _package(str(frame.tb_frame.f_globals.get("__name__"))) != _package(function):
        return True
    import dis  # noqa: PLC0415 - lists do without

    return frame.tb_frame.f_code.co_code[frame.tb_lasti] != dis.opmap["RAISE_VARARGS"]


def told_of(error: BaseException) -> str:
    """What was raised, as a clause."""
    if isinstance(error, EndlessOutput):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    text = text_of(error)
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    return f"it raised {type(error).__name__}" + (f": {text.rstrip('.')}" if text else "")


def _place(error: BaseException, function: str) -> str:
    """` (plan.py, line 12)`: the innermost line of the plugin's own code."""
    place, step = "", error.__traceback__
    while step:
        code = step.tb_frame.f_code
        if _package(str(step.tb_frame.f_globals.get("__name__"))) == _package(function):
            file = code.co_filename.replace("\\", "/").rpartition("/")[2]
            place = f" ({file}, line {step.tb_lineno})"
        step = step.tb_next
    return place


def _package(name: str) -> str:
    return name.partition(":")[0].partition(".")[0]
