"""The first file that a Python started by modelpress runs: it keeps foreign files off the import path.

    python start.py versions NAME...            which of the distributions are installed, as JSON
    python start.py worker CODE ARGUMENT...     modelpress.worker, with the packages in CODE (or `-`)

Python puts the current folder, or a script's own, first on the import path: a model's folder that holds a
`queue.py` would be executed. Run by path, in any Python, one that lacks modelpress or is too old for it too:
this file imports what every Python has.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]

import os

OLDEST = (3, 11)


def add_code(folder: str) -> None:
    """Put a folder of packages on the import path: after the standard library, which nothing may hide, and
    before what is installed, since it is the very code that the plan was made with."""
    if folder in sys.path:
        return
    library = os.path.dirname(os.__file__)
    standard = (library, os.path.join(library, "lib-dynload"), os.path.join(sys.base_prefix, "DLLs"))
    places = [i for i, path in enumerate(sys.path) if path in standard or path.endswith(".zip")]
    sys.path.insert(max(places, default=-1) + 1, folder)


def versions(names: list[str]) -> str:
    """`{"python": "3.11.7", "suffixes": [".cpython-311-….so", ".abi3.so"], "found": {"torch": "2.9.1"}}`"""
    import json  # noqa: PLC0415 - only after the path is clean
    from contextlib import suppress  # noqa: PLC0415
    from importlib import machinery, metadata  # noqa: PLC0415

    found = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    python = ".".join(str(part) for part in sys.version_info[:3])
    return json.dumps({"python": python, "suffixes": machinery.EXTENSION_SUFFIXES, "found": found})


def main(arguments: list[str]) -> int:
    """See the top of this file."""
    command, rest = arguments[0], arguments[1:]
    if command == "versions":
        print(versions(rest))
        return 0
    if rest[0] != "-":
        add_code(rest[0])
    import runpy  # noqa: PLC0415

    # As `python -m modelpress.worker`, found on the path that was made above.
    sys.argv[1:] = rest[1:]
    runpy.run_module("modelpress.worker", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
