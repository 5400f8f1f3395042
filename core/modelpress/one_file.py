"""Plugins of one file: `modelpress_plugins/my_pass.py` beside a workflow that names it.

The file is imported by its name, without its folder on the import path: nothing else that lies there is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from modelpress.errors import UserError
from modelpress.from_source import spec_from_source
from modelpress.hookspecs import ENTRY_POINT_GROUP

FOLDER = "modelpress_plugins"


class _Finder:
    """Finds the files that workflows named; last on the meta path, so that it hides nothing."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self.files.get(name)
        return spec_from_source(name, file) if file else None


_FINDER = _Finder()


def entry_point(folder: Path, name: str) -> EntryPoint:
    """The plugin in a file of that name, beside a workflow in the folder. Nothing is imported yet.

    Raises UserError when there is no such file, or its name is that of an installed module.
    """
    file = folder / FOLDER / name
    if Path(name).name != name or file.suffix != ".py" or not file.stem.isidentifier():
        raise UserError(f"{name!r} is no name of a plugin's file.", f"Name a file in {FOLDER}/: my_pass.py.")
    if not file.is_file():
        there = ", ".join(sorted(path.name for path in (folder / FOLDER).glob("*.py")))
        raise UserError(f"There is no {FOLDER}/{name}.", f"There are: {there}." if there else "")
    module = file.stem
    if module not in _FINDER.files and (module in sys.modules or find_spec(module) is not None):
        raise UserError(f"{name} is called as an installed module is.", "Give the file another name.")
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)
    sys.modules.pop(module, None)  # another workflow's of the same name, or what it was before a change
    _FINDER.files[module] = file.absolute()
    return EntryPoint(module, module, ENTRY_POINT_GROUP)
