"""One byte changed anywhere in what the cache reads again: noticed, told, and made again."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

import modelpress
from modelpress.events import Event, Log, StepFinished
from modelpress.files import finished, mark_finished, sealed, unsealed, write_whole

ROOMS = ("artifacts", "evaluations", "digests", "data")


def flip(path: Path, chance: random.Random, *, keep_time: bool) -> None:
    """Change one byte; the size stays, and the time of the last write where asked for."""
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def flips_used(demo, count: int, seed: int) -> list[str]:
    """Files of which a changed byte was used."""
    chance = random.Random(seed)
    demo.write(
        evaluators={"e": {"metrics": [{"name": "w", "type": "words"}]}}, evaluator="e", output_dir=None
    )
    file, cache = demo.folder / "workflow.json", demo.folder / "cache"
    expected = modelpress.run(file, in_process=True)
    used = []
    for _ in range(count):
        modelpress.run(file, in_process=True)
        path = chance.choice(sorted(p for room in ROOMS for p in (cache / room).rglob("*") if p.is_file()))
        flip(path, chance, keep_time=chance.random() < 0.5)
        damaged = path.read_bytes()
        events: list[Event] = []
        result = modelpress.run(file, in_process=True, on_event=events.append)
        text = (result.artifact.path / "text.txt").read_text()
        same = (text, result.metrics) == ("ONE TWO MORE", expected.metrics)
        made_again = sum(isinstance(e, StepFinished) and not e.cached for e in events)
        told = any(isinstance(e, Log) and "damaged" in e.message for e in events)
        room = path.relative_to(cache).parts[0]
        healed = room == "digests" or (made_again and told and path.read_bytes() != damaged)
        if not (same and healed):
            used.append(str(path))
    return used


def test_of_forty_flips_none_is_used(demo) -> None:
    assert flips_used(demo, 40, seed=7) == []


def test_every_byte_of_a_sealed_file_counts() -> None:
    document = {"b": {"seal": "0" * 32}, "a": ["x", 1.5, None, '\n "seal": ']}
    content = sealed(document)
    assert unsealed(content) == document
    for place in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            with pytest.raises(ValueError, match="it "):
                unsealed(bytes(changed))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_finished_file_or_folder_that_was_changed_is_not_finished(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state"
    file = path if kind == "file" else path / "deep" / "optimizer.pt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"momentum")
    assert finished(path, pytest.fail) is None  # never finished: nothing to tell
    mark_finished(path, {"step": 5})
    assert finished(path, pytest.fail) == {"step": 5}
    file.write_bytes(b"mome\xeetum")
    told: list[str] = []
    assert finished(path, told.append) is None
    assert told == ["state was kept for another try and is damaged: it is made again."]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"one")
    monkeypatch.setattr(os, "replace", lambda source, target: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        write_whole(path, b"two")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"one")]


def test_a_rename_that_windows_refuses_is_tried_again(tmp_path: Path, monkeypatch) -> None:
    """A virus scanner holds a new file for a moment."""
    real, tries = os.replace, []

    def refuse_twice(source: Path, target: Path) -> None:
        tries.append(source)
        if len(tries) < 3:
            raise PermissionError(13, "The process cannot access the file")
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse_twice)
    monkeypatch.setattr("modelpress.files._PATIENCE", 5.0)
    monkeypatch.setattr("modelpress.files._IS_WINDOWS", True)
    write_whole(tmp_path / "file", b"one")
    assert (tmp_path / "file").read_bytes() == b"one"
