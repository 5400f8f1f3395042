"""Functions that the user brings: named `module:function`, or in a script. Run in the worker only."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelpress.api import UserError, spec_from_source


def load_function(name: str, script: str | None, folder: str | None) -> Callable[[dict[str, object]], object]:
    """`module:function`, or a function of the user's script. script, folder: see user_script, script_dir.

    Raises UserError when it cannot be found.
    """
    module_name, _, attribute = name.rpartition(":")
    if not module_name and script is None:
        raise UserError(
            f"text_formatting_func {name!r} names no module.", "Write module:function, or give user_script."
        )
    try:
        with _importable(folder):
            module = importlib.import_module(module_name) if module_name else _run_script(Path(script or ""))
    except ImportError as error:
        raise UserError(f"text_formatting_func {name!r} cannot be imported: {error}.") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise UserError(f"{module_name or script} has no function {attribute!r} (text_formatting_func).")
    found: Callable[[dict[str, object]], object] = function
    return found


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
def _importable(folder: str | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
