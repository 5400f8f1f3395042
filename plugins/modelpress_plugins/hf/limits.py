"""A chat template is a program that came with a model: it gets no more time and memory than a text needs.

transformers compiles templates in jinja's sandbox, which keeps them from files and processes, not from
`{{ 'x' * 10**11 }}` or three nested loops.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from jinja2 import Template
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils import chat_template_utils

from modelpress.api import UserError

SECONDS = 10.0
MEMORY = 2**29
"""Bytes beyond what the process has."""
CHARACTERS = 50_000_000
_BITS = 4096
"""Of a number: a power is computed in one go, in which nothing can stop it."""

_compile: Callable[[str], Template] | None = getattr(chat_template_utils, "_compile_jinja_template", None)


class _TooLong(BaseException):
    """The time is over. Not an Exception: a template's `default` and the like must not swallow it."""


def limited(render: Callable[[], str]) -> str:
    """What a function renders, by templates of transformers. Raises UserError where it takes too much."""
    try:
        with _own_arithmetic(), _memory(), _time():
            text = render()
    except _TooLong:
        raise _refused(f"takes longer than {SECONDS:g} s") from None
    except MemoryError:
        raise _refused(f"takes more than {MEMORY / 2**20:.0f} MiB of memory") from None
    except (OverflowError, RecursionError, SecurityError) as error:
        raise _refused(f"may not do this: {error}") from None
    if len(text) > CHARACTERS:
        raise _refused(f"writes a text of {len(text):,} characters")
    return text


def _refused(reason: str) -> UserError:
    return UserError(
        f"The chat template {reason}.", "Look into it: it should write the messages as one text."
    )


class _LimitedEnvironment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        if isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > _BITS:
                raise SecurityError(f"a number of {bits} bits")
        return super().call_binop(context, operator, left, right)


def _limited_round(value: float, precision: int = 0, method: object = "common") -> object:
    if abs(precision) > 300:
        raise SecurityError(f"rounding to {precision} digits")
    return _ROUND(value, precision, method)


_ROUND: Callable[..., object] = ImmutableSandboxedEnvironment().filters["round"]


@lru_cache
def _compile_limited(template: str) -> Template:
    """The template in transformers' own environment, with our arithmetic."""
    if _compile is None:
        raise TypeError("transformers compiles chat templates in another way than expected.")
    # Of an empty one: compiling reckons with constants, and is not bounded before the class is ours.
    environment = _compile("").environment.overlay()
    environment.__class__ = _LimitedEnvironment
    environment.filters = {**environment.filters, "round": _limited_round}
    return environment.from_string(template)


@contextmanager
def _own_arithmetic() -> Iterator[None]:
    if _compile is None:
        yield
        return
    chat_template_utils._compile_jinja_template = _compile_limited
    try:
        yield
    finally:
        chat_template_utils._compile_jinja_template = _compile  # type: ignore[assignment]


@contextmanager
def _memory() -> Iterator[None]:
    """A bound on the address space of this process; where the system has none, there is none."""
    try:
        import resource  # noqa: PLC0415 - POSIX has it

        with open("/proc/self/statm", "rb") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = now + MEMORY
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _time() -> Iterator[None]:
    """_TooLong is raised in this thread when the block takes too long."""
    thread = threading.get_ident()
    lock = threading.Lock()
    over = False

    def end() -> None:
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_TooLong))

    timer = threading.Timer(SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:  # an exception on its way arrives in here
            over = True
        timer.cancel()
