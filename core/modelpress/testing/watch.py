"""What a plugin's own code does while it runs: which libraries it imports, which environment variables it
reads, which files it opens for writing. Only inside a process that ends afterwards: an audit hook stays."""

from __future__ import annotations

import builtins
import importlib
import os
import sys
from collections.abc import Iterable
from types import FrameType, ModuleType

_NOT_THE_READER = {"os", "_collections_abc", "collections.abc", __name__}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_MADE_AT = {"os.rename": 1, "os.link": 1, "os.symlink": 1}
"""Events of the audit hook that make a file, and where in their arguments its path stands."""


class Watch:
    """packages: the top-level packages whose code is watched.

    libraries: top-level modules that this code imported; variables: environment variables that it read;
    written: absolute paths that anything in the process made or opened for writing from Python.
    """

    def __init__(self, packages: Iterable[str]) -> None:
        self.libraries: set[str] = set()
        self.variables: set[str] = set()
        self.written: set[str] = set()
        self._packages = frozenset(packages)

    def start(self) -> None:
        self._watch_imports()
        self._watch_variables()
        sys.addaudithook(self._audit)

    def _is_watched(self, module: object) -> bool:
        return isinstance(module, str) and module.partition(".")[0] in self._packages

    def _watch_imports(self) -> None:
        plain_import, plain_import_module = builtins.__import__, importlib.import_module

        def watched_import(
            name: str,
            globals: dict[str, object] | None = None,
            locals: dict[str, object] | None = None,
            fromlist: tuple[str, ...] = (),
            level: int = 0,
        ) -> ModuleType:
            if level == 0 and globals and self._is_watched(globals.get("__name__")):
                self.libraries.add(name.partition(".")[0])
            return plain_import(name, globals, locals, fromlist, level)

        def watched_import_module(name: str, package: str | None = None) -> ModuleType:
            if not name.startswith(".") and self._is_watched(sys._getframe(1).f_globals.get("__name__")):
                self.libraries.add(name.partition(".")[0])
            return plain_import_module(name, package)

        builtins.__import__ = watched_import  # type: ignore[assignment]
        importlib.import_module = watched_import_module

    def _watch_variables(self) -> None:
        environ = type(os.environ)
        plain_get = environ.__getitem__

        def watched_get(self_: os._Environ[str], key: str) -> str:
            if self._is_watched(_reader(sys._getframe(1))):
                self.variables.add(key)
            return plain_get(self_, key)

        # On the class: who did `from os import environ` holds the same object.
        environ.__getitem__ = watched_get  # type: ignore[method-assign]

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._note(path)
        elif event in _MADE_AT:
            self._note(arguments[_MADE_AT[event]])

    def _note(self, path: object) -> None:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if isinstance(path, str) and not path.startswith(("/dev/", "/proc/")):
            self.written.add(os.path.abspath(path))


def _reader(frame: FrameType | None) -> object:
    """The name of the module that asked, past the standard library's own steps on the way."""
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name not in _NOT_THE_READER:
            return name
        frame = frame.f_back
    return None
