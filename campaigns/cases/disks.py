"""Disks that fill up; see ABOUT."""

from __future__ import annotations

import subprocess
from pathlib import Path
from random import Random

from demo import Demo, steps
from trials import Broken, Outcome, Skipped, Trial
from workbench import model_files, require_plain

NAME = "disks"
TITLE = "Full disks"
ABOUT = """
Cache or output lie on a file system of 60 kB to 3 MB, which the run fills somewhere. Then there is room, and it is
run again. What must hold: the error names the disk and says that it is full, or that there is too little room;
nothing half done counts; with room the same bytes come out, and nothing of the first try is left beside them.
"""
COUNT, FEW, LIMIT = 60, 4, 120.0


def begin(folder: Path) -> Trial:
    mount(folder / "try", 100)
    unmount(folder / "try")
    bench = Demo(folder / "whole")
    bench.write(steps("a" * 100, "b" * 100, "c" * 100))
    whole = bench.run().files

    def trial(chance: Random, place: Path) -> Outcome:
        disk, full = place / "disk", chance.choice(["cache", "output"])
        bench = Demo(place / "work")
        folders = {f"{full}_dir": str(disk / full)}
        bench.write(steps("a" * 100, "b" * 100, "c" * 100), **folders)
        mount(disk, chance.randint(60, 3000))
        try:
            first = bench.finish(LIMIT / 2)
            said = " ".join((first.stdout + first.stderr).split())
            require_plain(first.stdout + first.stderr)
            if first.returncode:
                if not any(word in said for word in ("disk is full", "are free", "No space left")):
                    raise Broken(f"exit code {first.returncode}, and no word of the disk: {said[-500:]}")
                mount(disk, 50_000, again=True)
            second = bench.finish(LIMIT / 2)
            if second.returncode:
                raise Broken(f"with room it ended with {second.returncode}: {second.stderr[-500:]}")
            output = disk / "output" if full == "output" else bench.output
            if model_files(output / "model") != whole:
                raise Broken("another model came out")
            if left := [path.name for path in output.iterdir() if path.name not in ("model", "run.json")]:
                raise Broken(f"left over: {left}")
        finally:
            unmount(disk)
        return Outcome(f"the {full}", "told, then done" if first.returncode else "there was room")

    return trial


def mount(folder: Path, kilobytes: int, *, again: bool = False) -> None:
    """A file system of that size. again: the one that is there gets that size. Raises Skipped where it cannot be."""
    folder.mkdir(exist_ok=True)
    options = f"{'remount,' if again else ''}size={kilobytes}k"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        raise Skipped("no file system can be mounted here")


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
