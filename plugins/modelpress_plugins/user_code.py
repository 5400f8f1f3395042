"""Functions that the user brings: named `module:function`, or in a script. Run in the worker only; what goes
wrong in one is told with its own file and line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from modelpress.api import ModelpressError, UserError, spec_from_source

P = ParamSpec("P")
R = TypeVar("R")


def load_function(
    name: str, script: str | None, folder: str | None, option: str = "text_formatting_func"
) -> Callable[..., object]:
    """`module:function`, or a function of the user's script. script, folder: see user_script, script_dir.

    option: which names it, for what is told. Raises UserError when it cannot be found.
    """
    module_name, _, attribute = name.rpartition(":")
    if not module_name and script is None:
        raise UserError(f"{option} {name!r} names no module.", "Write module:function, or give user_script.")
    try:
        with importable(folder):
            module = importlib.import_module(module_name) if module_name else _run_script(Path(script or ""))
    except ImportError as error:
        raise UserError(f"{option} {name!r} cannot be imported: {error}.") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise UserError(f"{module_name or script} has no function {attribute!r} ({option}).")
    found: Callable[..., object] = function
    return found


def call_function(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of the user's. Raises UserError for whatever it raises, with file and line."""
    try:
        return function(*args, **kwargs)
    except ModelpressError:
        raise
    # It is foreign code, and may call sys.exit, too: who named it has to learn where it went wrong.
    except (Exception, SystemExit) as error:
        name = getattr(function, "__name__", repr(function))
        text = f": {error}" if str(error) else ""
        raise UserError(
            f"Your function {name} raised {type(error).__name__}{text} ({_place(error, function)})."
        ) from error


def _place(error: BaseException, function: Callable[..., object]) -> str:
    """`user_script.py, line 12`: the innermost line of the file that holds the function."""
    own = getattr(getattr(function, "__code__", None), "co_filename", "")
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((each for each in reversed(frames) if each.filename == own), frames[-1])
    return f"{Path(frame.filename).name}, line {frame.lineno}"


def _run_script(script: Path) -> object:
    spec = spec_from_source(f"modelpress_user_script_{script.stem}", script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{script} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (SyntaxError, NameError, OSError) as error:
        raise UserError(f"{script} cannot be run: {type(error).__name__}: {error}.") from error
    return module


@contextmanager
def importable(folder: str | None) -> Iterator[None]:
    """What lies in the folder can be imported meanwhile."""
    if folder is None:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
