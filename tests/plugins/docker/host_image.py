"""An image made of this machine's own Python and libraries, since tests ask no registry.

`python host_image.py TAR` writes the root of a container: a Python, what it links to, what a worker needs.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement

from modelpress.requirements import WORKER_REQUIRES

_UNNEEDED = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages",
             "dist-packages", "pydoc_data", "distutils"}  # fmt: skip
_ASK = "import sys, sysconfig as s; print(sys.executable, *map(s.get_path, ('stdlib', 'purelib')), sep='\\n')"


def write_image(tar: Path) -> None:
    """The container's python3 is this one without its environment, at the same path."""
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    done = subprocess.run([base, "-I", "-c", _ASK], capture_output=True, text=True, check=True)
    python, library, packages = map(Path, done.stdout.split())
    with tarfile.open(tar, "w", dereference=True) as archive:
        _add_folder(archive, "tmp", 0o1777)
        _add_text(archive, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        _add_text(archive, "etc/group", "root:x:0:\n")
        files, brought = [python.resolve(), *_library(library)], dict(_packages())
        compiled = [file for file in (*files, *brought.values()) if file.suffix == ".so"]
        files += _linked([python.resolve(), *compiled, *_of_torch()])
        for file in dict.fromkeys(files):
            archive.add(file, str(file)[1:], filter=_plain)
        for name in ("usr/bin/python3", "usr/local/bin/python3"):
            if str(python.resolve()) != f"/{name}":
                _add_link(archive, name, str(python.resolve()))
        for place, file in brought.items():
            archive.add(file, f"{str(packages)[1:]}/{place}", filter=_plain)


def _library(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        unneeded = _UNNEEDED & set(parts) or parts[0].startswith("config-") or ".opt-" in path.name
        if path.is_file() and not unneeded:
            yield path


def _packages() -> Iterator[tuple[str, Path]]:
    """What the worker needs, with what that needs: name below site-packages, file."""
    seen, waiting = set[str](), [Requirement(text) for text in WORKER_REQUIRES]
    while waiting:
        wanted = waiting.pop()
        if wanted.name in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(wanted.name)
        found = distribution(wanted.name)
        waiting += map(Requirement, found.requires or ())
        for file in found.files or ():
            path = Path(str(found.locate_file(file)))
            if ".." not in file.parts and path.is_file():
                yield str(file), path


def _of_torch() -> Iterator[Path]:
    """A library of torch, where it is installed: with what it links to, a container can use that torch."""
    if torch := find_spec("torch"):
        yield from Path(str(torch.origin)).parent.glob("lib/libc10.so")


def _linked(files: list[Path]) -> Iterator[Path]:
    """The libraries that these load, as the loader finds them."""
    done = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False)
    for path in sorted(set(re.findall(r"(/\S+) \(0x", done.stdout))):
        yield Path(os.path.normpath(path))


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _add_folder(archive: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


def _add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), 0o644
    archive.addfile(entry, io.BytesIO(text.encode()))


if __name__ == "__main__":
    write_image(Path(sys.argv[1]))
