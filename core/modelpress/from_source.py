"""Import a user's own file from its source, never from bytecode beside it.

Python takes bytecode for fresh while the source has the same size and second of change: a file that was
edited quickly would run as it was, under a cache key that saw the edit. And bytecode in a folder that came
from somebody else is not to be trusted.
"""

from __future__ import annotations

from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType


class _FromSource(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def spec_from_source(name: str, file: Path) -> ModuleSpec | None:
    """The spec of a module called name in a Python file; None when it is no `.py`. No bytecode is read or
    written."""
    if file.suffix != ".py":
        return None
    return spec_from_file_location(name, file, loader=_FromSource(name, str(file)))
