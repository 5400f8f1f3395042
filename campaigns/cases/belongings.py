"""A user's files where results go; see ABOUT."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from demo import Demo, steps
from trials import Broken, Outcome, Trial

from modelpress.errors import ModelpressError

NAME = "belongings"
TITLE = "A user's files in output folders"
ABOUT = """
An output folder as it may be: with an earlier result or none, into which a user has put files, edited, renamed,
linked or removed some, or laid his model, his cache, another run's output. Then a workflow writes there. What must
hold: of what is the user's, and of every input, each byte is where it was, whether the run was refused or not; a
refused run has changed nothing; a run that was done gave the right model.
"""
COUNT, FEW, LIMIT = 400, 60, 60.0

Changes = dict[str, Any]


def begin(folder: Path) -> Trial:
    return _trial


def _trial(chance: Random, place: Path) -> Outcome:
    bench = Demo(place / "work")
    earlier = chance.random() < 0.7
    bench.write(steps("less") if chance.random() < 0.6 else steps("more", "most"))
    if earlier:
        bench.run()
    mine = {bench.folder / "model" / "text.txt", *(bench.folder / "modelpress_plugins").glob("*.py")}
    changes: Changes = {}
    for _ in range(chance.randint(1, 3)):
        chance.choice(_DEEDS)(bench, chance, mine, changes)
    passes = steps("more", "most")
    if chance.random() < 0.3:
        passes["step0"]["output_name"] = chance.choice(
            ["keep", "model", "Model", "run.json", "artifacts", ".hidden"]
        )
    mine.add(bench.write(passes, **changes))
    before, owned = _snapshot(place), {_name(path, place) for path in mine}
    try:
        ran = bench.run()
    except ModelpressError as error:
        _require_kept(_snapshot(place), before, set(before) - _of_runs(before))
        if not error.message:
            raise Broken("a refusal without a word") from error
        return Outcome("with an earlier result" if earlier else "without one", "refused, nothing changed")
    _require_kept(_snapshot(place), before, owned & set(before))
    if not ran.files:
        raise Broken("there is no model")
    return Outcome("with an earlier result" if earlier else "without one", "done, nothing lost")


def _require_kept(
    after: Mapping[str, bytes | str], before: Mapping[str, bytes | str], names: set[str]
) -> None:
    lost = sorted(name for name in names if after.get(name) != before[name])
    if lost:
        raise Broken(f"lost: {', '.join(lost[:5])}")


def _of_runs(names: Mapping[str, object]) -> set[str]:
    """What a refused run may write: it is remembered in the cache."""
    return {name for name in names if "/cache/" in f"/{name}"}


def _snapshot(folder: Path) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[_name(path, folder)] = os.readlink(path)
        elif path.is_file():
            found[_name(path, folder)] = path.read_bytes()
    return found


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _write(path: Path, mine: set[Path], text: str = "years of work") -> None:
    """A file of the user's, if nothing is in its way."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    except OSError:
        return
    mine.add(path)


def _some_file(bench: Demo, chance: Random) -> Path | None:
    files = sorted(path for path in bench.output.rglob("*") if path.is_file() and not path.is_symlink())
    return chance.choice(files) if files else None


def _some_folder(bench: Demo, chance: Random) -> Path:
    named = [
        bench.output / name for name in ("", "model", "model/notes", "keep", "Model", ".hidden", "model/.git")
    ]
    return chance.choice(named)


def _add(bench: Demo, chance: Random, mine: set[Path], changes: Changes) -> None:
    names = [
        "thesis.txt",
        "run.json",
        "text.txt",
        "modelpress.json",
        "history.jsonl",
        ".env",
        "README.md",
        "a b.txt",
        "ü.txt",
    ]
    _write(_some_folder(bench, chance) / chance.choice(names), mine)


def _edit(bench: Demo, chance: Random, mine: set[Path], changes: Changes) -> None:
    if path := _some_file(bench, chance):
        stat, content = path.stat(), bytearray(path.read_bytes() or b"x")
        if chance.random() < 0.5:
            content[chance.randrange(len(content))] ^= 1
        else:
            content += b" and mine"
        path.write_bytes(bytes(content))
        if chance.random() < 0.5:
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        mine.add(path)


def _rename(bench: Demo, chance: Random, mine: set[Path], changes: Changes) -> None:
    if path := _some_file(bench, chance):
        target = path.with_name(f"my-{path.name}")
        path.rename(target)
        mine.discard(path)
        mine.add(target)


def _remove(bench: Demo, chance: Random, mine: set[Path], changes: Changes) -> None:
    if path := _some_file(bench, chance):
        path.unlink()
        mine.discard(path)


def _link(bench: Demo, chance: Random, mine: set[Path], changes: Changes) -> None:
    elsewhere = bench.folder / "elsewhere" / "thesis.txt"
    _write(elsewhere, mine)
    place = chance.choice(
        [
            bench.output / "model",
            bench.output / "keep",
            bench.output / "model" / "text.txt",
            bench.output / "run.json",
        ]
    )
    if place.is_symlink() or place.is_file():
        place.unlink()
        mine.discard(place)
    elif place.is_dir():
        if any(each.is_relative_to(place) for each in mine):
            return
        shutil.rmtree(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(elsewhere if place.suffix else elsewhere.parent)
    except OSError:
        return
    mine.add(place)


def _move_the_input(bench: Demo, chance: Random, mine: set[Path], changes: Changes) -> None:
    target = bench.output / chance.choice(["model", "model/source", "input", "keep"])
    source = bench.folder / "model"
    if target.exists() or not source.exists():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    shutil.move(source, target)
    mine.discard(source / "text.txt")
    mine.add(target / "text.txt")
    changes["input_model"] = {"type": "TextModel", "model_path": str(target)}


def _use_the_result(bench: Demo, chance: Random, mine: set[Path], changes: Changes) -> None:
    """The earlier result is what the next run reads."""
    if (bench.output / "model" / "text.txt").is_file():
        changes["input_model"] = {"type": "TextModel", "model_path": "output/model"}
        mine.add(bench.output / "model" / "text.txt")


def _write_elsewhere(bench: Demo, chance: Random, mine: set[Path], changes: Changes) -> None:
    changes["output_dir"] = chance.choice(
        [
            ".",
            "model",
            "model/output",
            "output/model",
            "cache",
            "cache/artifacts",
            "elsewhere",
            "output/..",
            "./output/",
        ]
    )


def _keep_elsewhere(bench: Demo, chance: Random, mine: set[Path], changes: Changes) -> None:
    changes["cache_dir"] = chance.choice(
        ["output", "output/model", "model", "model/cache", ".", "output/cache", "elsewhere"]
    )


_DEEDS: list[Callable[[Demo, Random, set[Path], Changes], None]] = [
    _add, _add, _add, _edit, _edit, _rename, _remove, _link, _move_the_input, _use_the_result, _write_elsewhere,
    _keep_elsewhere,
]  # fmt: skip
