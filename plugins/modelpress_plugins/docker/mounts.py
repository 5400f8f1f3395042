"""What of this machine a container sees: the job's folder and its inputs, and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from docker.types import Mount

from modelpress.api import Job
from modelpress_plugins.docker import inside
from modelpress_plugins.docker.parameters import Parameters

_REFERENCES = "there"
"""In the job's folder: where its inputs lie for the container. `inputs`, which says where they lie here, is
hidden by it."""


def mounts_of(folder: Path, job: Job, work_dir: str) -> Parameters:
    """The `mounts` and `volumes` of a job. Inputs are read where they lie, never copied, and cannot be
    written to, but for those that jobs share."""
    there = folder / _REFERENCES
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir()
    mounts = _Mounts()
    mounts.add(folder, f"{work_dir}/job", writable=True)
    mounts.add(there, f"{work_dir}/job/inputs")
    mounts.add(Path(inside.__file__).resolve(), f"{work_dir}/inside.py")
    for reference in sorted((folder / "inputs").glob("*.ref")):
        name, source = reference.stem, Path(reference.read_text(encoding="utf-8"))
        target = f"{work_dir}/inputs/{name}/{_plain(source.name)}"
        (there / reference.name).write_text(target, encoding="utf-8")
        writable = name in job.sources and job.sources[name].writable
        for path, at in _parts(source, target):
            mounts.add(path, at, writable=writable)
    return {"mounts": mounts.mounts, "volumes": mounts.volumes}


class _Mounts:
    """Those of a job, in the form that their paths allow."""

    def __init__(self) -> None:
        self.mounts: list[Mount] = []
        self.volumes: list[str] = []

    def add(self, source: Path, target: str, *, writable: bool = False) -> None:
        # Podman 4 writes a mount as `type=bind,source=…` and reads it again: a comma in a path cuts it.
        both = f"{source}{target}"
        if "," in both and ":" not in both:
            self.volumes.append(f"{source}:{target}:{'rw' if writable else 'ro'}")
        else:
            self.mounts.append(Mount(target, str(source), type="bind", read_only=not writable))


def _plain(name: str) -> str:
    """The name of an input as part of a path in the container, where some characters mean something."""
    return name.replace(",", "_").replace(":", "_") or "input"


def _parts(source: Path, target: str) -> Iterator[tuple[Path, str]]:
    """The folder or file itself; or each of its files, where links lead out of it (a hub's snapshot, whose
    files are links to blobs)."""
    real = source.resolve()
    if real.is_file() or not any(_outward(real)):
        yield real, target
        return
    for parent, _, names in os.walk(real, followlinks=True):
        for name in names:
            file = Path(parent, name)
            yield file.resolve(), f"{target}/{file.relative_to(real).as_posix()}"


def _outward(folder: Path) -> Iterator[Path]:
    """Links in the folder that lead out of it."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if path.is_symlink() and not path.resolve().is_relative_to(folder):
                yield path
