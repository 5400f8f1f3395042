"""What may be replaced: only what modelpress wrote, unchanged since, and no input of the run.

Asked before any work, so that it is a problem like any other, and again when the result is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelpress.artifact import MANIFEST, digest_file, read_manifest
from modelpress.engine.cache import ROOMS
from modelpress.errors import UserError
from modelpress.files import is_sealed_text, unsealed

RECORD = "run.json"
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What file managers leave behind by themselves."""
_CHUNK = 2**20

Digest = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Export:
    """A result and where it is to go. key: as in the manifest; source: its files, where they are there
    already; where: the key of the workflow file that asks for it."""

    target: Path
    key: str
    source: Path | None
    where: str


def obstacle(export: Export, digest: Digest = digest_file) -> str:
    """Why the target may not be replaced by the export; empty when it may, or need not be."""
    target = export.target
    if not os.path.lexists(target):
        return ""
    if target.is_symlink():
        return "is a link; give the folder that it leads to"
    if not target.is_dir():
        return "is a file, expected a folder"
    present = set(_files(target))
    if not present:
        return ""
    try:
        manifest = read_manifest(target)
    except UserError:
        if MANIFEST in present:
            return "was changed since modelpress wrote it (its manifest)"
        return f"holds what modelpress did not write ({_some(sorted(present))})"
    same = manifest.key == export.key
    changed = [
        name
        for name, facts in manifest.files.items()
        if name in present and not _is_sound(target / name, facts.size, facts.digest, digest)
    ]
    if same and not changed and present.issuperset(manifest.files):
        return ""  # it is there: nothing has to be replaced
    source = export.source if same else None
    changed = [name for name in changed if not (source and _is_beginning(target / name, source / name))]
    if changed:
        return f"was changed since modelpress wrote it ({_some(changed)})"
    added = sorted(present - set(manifest.files) - {MANIFEST})
    cards = {name for name in added if name.endswith(".md") and is_sealed_text(target / name)}
    added = [name for name in added if name not in cards]
    return f"holds what modelpress did not write ({_some(added)})" if added else ""


def record_obstacle(path: Path) -> str:
    """Why a run's record may not be replaced; empty when it may."""
    if not os.path.lexists(path):
        return ""
    try:
        document = unsealed(path.read_bytes())
    except (OSError, ValueError):
        return "was not written by modelpress, or was changed since"
    return "" if "modelpress" in document and not path.is_symlink() else "was not written by modelpress"


def check_outputs(
    output_dir: Path, exports: Sequence[Export], inputs: Iterable[Path], cache: Path, digest: Digest
) -> Iterator[tuple[str, str, str]]:
    """(message, hint, where) for each reason why a run may not write where it is told to."""
    place = _place_problem(output_dir)
    if place:
        yield place, "Choose another output_dir.", "output_dir"
        return
    known = list(inputs)
    names: dict[str, str] = {}
    for export in exports:
        target, where = export.target, export.where
        other = names.setdefault(target.name.casefold(), where)
        if target.name.casefold() == RECORD:
            yield f"{target} is where the run's record goes.", "Give the result another name.", where
            continue
        if other != where:
            yield f"Two results would be written to {target}.", "Give them different names.", where
        taken = [path for path in known if _holds(target, path)]
        if taken:
            yield (
                f"{target} would be replaced by the result, and the run reads {_short(taken[0], target)}.",
                "Choose another output_dir: an input is never replaced.",
                where,
            )
        elif _holds(target, cache) or any(_holds(cache / room, target) for room in ROOMS):
            yield (
                f"{target} and the cache {cache} would lie in each other.",
                "Choose another output_dir or cache_dir.",
                where,
            )
        elif reason := obstacle(export, digest):
            yield f"{target} {reason}.", "Move it away, or choose another output_dir.", where
    record = output_dir / RECORD
    if any(_holds(record, path) for path in known):
        yield (
            f"{record} would be replaced by the run's record, and the run reads it.",
            "Move it away.",
            "output_dir",
        )
    elif reason := record_obstacle(record):
        yield f"{record} {reason}.", "Move it away, or choose another output_dir.", "output_dir"


def _place_problem(output_dir: Path) -> str:
    there = output_dir
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        return f"output_dir {output_dir} cannot be a folder: {there} is none."
    if not os.access(there, os.W_OK | os.X_OK):
        return f"output_dir {output_dir} cannot be written to: {there} is read-only for this user."
    return ""


def _holds(folder: Path, path: Path) -> bool:
    """Whether the path is the folder or lies in it, by whatever names: links, mounts, upper case."""
    path = path.resolve()
    return any(_same(folder, candidate) for candidate in (path, *path.parents))


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there yet
        return os.path.normcase(one.resolve()) == os.path.normcase(other)


def _files(folder: Path) -> Iterator[str]:
    """Everything but folders below the folder, with slashes; links are not followed."""
    for root, folders, names in os.walk(folder):
        linked = [name for name in folders if (Path(root) / name).is_symlink()]
        for name in (*names, *linked):
            if name not in _LITTER:
                yield (Path(root) / name).relative_to(folder).as_posix()


def _is_sound(path: Path, size: int, expected: str, digest: Digest) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == size and digest(path) == expected
    except OSError:
        return False


def _is_beginning(path: Path, whole: Path) -> bool:
    """Whether a file is a piece of what it was, cut off somewhere: then it holds nothing of the user's."""
    try:
        if path.is_symlink():
            return False
        with path.open("rb") as cut, whole.open("rb") as full:
            while piece := cut.read(_CHUNK):
                if piece != full.read(len(piece)):
                    return False
    except OSError:
        return False
    return True


def _short(path: Path, target: Path) -> str:
    return "it" if _same(target, path.resolve()) else f"{path} in it"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
