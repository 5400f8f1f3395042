"""The cache: whole or not at all, damage noticed, shared by processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from modelpress.artifact import MANIFEST, Artifact, Meta, damaged_files
from modelpress.engine import cache_cleaning as cleaning
from modelpress.engine.cache import Cache
from modelpress.engine.job import Result
from modelpress.files import mark_finished

KEY = "k" * 64


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def commit(cache: Cache, key: str = KEY, text: str = "weights") -> Artifact:
    out = cache.job_folder(key) / "out"
    (out / "sub").mkdir(parents=True)
    (out / "model.bin").write_text(text)
    (out / "sub" / "config.json").write_text("{}")
    return cache.commit(out, Artifact(out, "text", key, meta=Meta(task="x")), {"pass": "Test"})


def test_a_committed_artifact_is_found_again(cache: Cache) -> None:
    made = commit(cache)
    found = cache.find(KEY, print)
    assert found == made
    assert found is not None
    assert (found.path / "model.bin").read_text() == "weights"
    assert cache.has(KEY)


def test_what_is_not_there_is_not_found(cache: Cache) -> None:
    assert cache.find(KEY, print) is None
    assert not cache.has(KEY)


@pytest.mark.parametrize("damage", ["cut", "edit", "remove", "add", "manifest"])
def test_damage_is_noticed_and_taken_away(cache: Cache, damage: str) -> None:
    path = commit(cache).path
    if damage == "cut":
        os.truncate(path / "model.bin", 3)
    elif damage == "edit":
        (path / "model.bin").write_text("WEIGHTS")
    elif damage == "remove":
        (path / "sub" / "config.json").unlink()
    elif damage == "add":
        (path / "extra").write_text("")
    else:
        (path / MANIFEST).write_text("{")
    told: list[str] = []
    assert cache.find(KEY, told.append) is None
    assert "damaged" in told[0]
    assert not path.exists()
    assert commit(cache).path.exists()


def test_an_edit_that_keeps_size_and_time_is_noticed(cache: Cache) -> None:
    path = commit(cache).path
    time.sleep(0.1)
    assert cache.has(KEY)  # its digest is remembered now
    stat = (path / "model.bin").stat()
    (path / "model.bin").write_text("WEIGHTS")
    os.utime(path / "model.bin", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert damaged_files(path) == ["model.bin: its content has changed"]
    assert not cache.has(KEY)


def test_a_copied_artifact_with_new_times_is_still_whole(cache: Cache) -> None:
    path = commit(cache).path
    os.utime(path / "model.bin")
    assert cache.has(KEY)


def test_a_lock_makes_the_second_wait(cache: Cache) -> None:
    order: list[str] = []

    def second() -> None:
        with cache.lock(KEY, lambda: order.append("waits")):
            order.append("second")

    with cache.lock(KEY, lambda: order.append("never")):
        thread = threading.Thread(target=second)
        thread.start()
        while not order:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["waits", "first", "second"]


def test_collect_keeps_what_was_used_last(cache: Cache) -> None:
    for number, key in enumerate("abc"):
        path = commit(cache, key * 64).path
        os.utime(path / MANIFEST, (number + 1, number + 1))
    entries = cleaning.entries(cache)
    assert [entry.key[0] for entry in entries] == ["c", "b", "a"]
    freed = cleaning.collect(cache, keep_bytes=entries[0].size)
    assert freed == 2 * entries[0].size
    assert [entry.key[0] for entry in cleaning.entries(cache)] == ["c"]


def test_collect_by_age(cache: Cache) -> None:
    old, new = commit(cache, "a" * 64).path, commit(cache, "b" * 64).path
    os.utime(old / MANIFEST, (1, 1))
    cleaning.collect(cache, older_than_days=1)
    assert not old.exists()
    assert new.exists()


def test_what_a_step_told_goes_with_its_result(cache: Cache) -> None:
    for key, used in (("a" * 64, 1), ("b" * 64, None)):
        path = commit(cache, key).path
        numbers = "n" + key[1:]
        cache.commit_numbers(numbers, Result(metrics={"x": 1}))
        for told in (key, numbers):
            cache.history_file(told).parent.mkdir(exist_ok=True)
            cache.history_file(told).write_text("{}")
            mark_finished(cache.history_file(told))
        if used:
            os.utime(path / MANIFEST, (used, used))
            os.utime(cache.folder / "evaluations" / f"{numbers}.json", (used, used))
    assert cleaning.collect(cache) == 0
    cleaning.collect(cache, older_than_days=1)
    left = sorted(path.name[:2] for path in (cache.folder / "history").iterdir())
    assert left == ["bb", "bb", "nb", "nb"]
    assert cache.find_numbers("na" + "a" * 62) is None


def test_numbers_that_are_used_stay(cache: Cache) -> None:
    cache.commit_numbers("n", Result(metrics={"x": 1}))
    os.utime(cache.folder / "evaluations" / "n.json", (1, 1))
    assert cache.find_numbers("n")
    cleaning.collect(cache, older_than_days=1)
    assert cache.find_numbers("n")


def test_clear_empties_but_leaves_what_is_in_work(cache: Cache) -> None:
    commit(cache, "a" * 64)
    commit(cache, "b" * 64)
    cache.commit_numbers("n", Result(metrics={"x": 1}))
    with cache.lock("b" * 64, lambda: None):
        cleaning.clear(cache)
    assert [entry.key[0] for entry in cleaning.entries(cache)] == ["b"]
    assert cache.find_numbers("n") is None


def test_numbers_are_kept_and_damage_counts_as_none(cache: Cache) -> None:
    cache.commit_numbers("n", Result(metrics={"accuracy": 0.5}))
    assert cache.find_numbers("n") == Result(metrics={"accuracy": 0.5})
    (cache.folder / "evaluations" / "n.json").write_text("{")
    assert cache.find_numbers("n") is None


def test_numbers_of_another_evaluation_count_as_damage(cache: Cache) -> None:
    """A whole file, in the wrong place: its seal fits."""
    cache.commit_numbers("a", Result(metrics={"accuracy": 0.5}))
    cache.commit_numbers("b", Result(metrics={"size": 7.0}))
    (cache.folder / "evaluations" / "a.json").replace(cache.folder / "evaluations" / "b.json")
    told: list[str] = []
    assert cache.find_numbers("b", told.append) is None
    assert "damaged" in told[0]


def test_what_a_run_reads_is_not_collected_and_what_a_dead_one_read_is(cache: Cache) -> None:
    commit(cache)
    code = (
        "import sys, time; from pathlib import Path; from modelpress.engine.cache import Cache;"
        "cache = Cache(Path(sys.argv[1])); cache.hold(sys.argv[2]); cache.hold_shared();"
        "print(1, flush=True); time.sleep(60)"
    )
    (cache.data_folder).mkdir()
    (cache.data_folder / "rows").write_text("rows")
    reader = subprocess.Popen(
        [sys.executable, "-c", code, str(cache.folder), KEY], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "1\n"
    cleaning.collect(cache, keep_bytes=0)
    cleaning.clear(cache)
    assert cache.has(KEY)
    assert (cache.data_folder / "rows").exists()
    reader.kill()
    reader.wait()
    cleaning.clear(cache)
    assert not cache.has(KEY)
    assert not cache.data_folder.exists()
    assert list((cache.folder / "leases").iterdir()) == []


def test_a_run_lets_go_of_what_it_held(cache: Cache) -> None:
    commit(cache)
    cache.hold(KEY)
    assert cleaning.collect(cache, keep_bytes=0) == 0
    cache.release()
    assert cleaning.collect(cache, keep_bytes=0) > 0


def test_what_a_killed_removal_left_is_removed(cache: Cache) -> None:
    half = cache.folder / "trash" / "half" / "model.bin"
    half.parent.mkdir(parents=True)
    half.write_text("weights")
    assert cleaning.collect(cache) == len("weights")
    assert not half.exists()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"files": 1}', '{"files": {"a": []}, "key": 3}', "[" * 5000, "\xff"]
)
def test_a_manifest_of_any_shape_makes_no_command_fail(cache: Cache, text: str) -> None:
    path = commit(cache).path
    (path / MANIFEST).write_bytes(text.encode("latin-1"))
    (cache.folder / "artifacts" / "a file").write_text(text)
    cache.commit_numbers("n", Result(metrics={"x": 1.0}))
    (cache.folder / "evaluations" / "n.json").write_bytes(text.encode("latin-1"))
    assert [entry.format for entry in cleaning.entries(cache)] == ["damaged", "damaged"]
    assert all(cleaning.verify(entry) for entry in cleaning.entries(cache))
    assert cache.damaged_numbers() == ["n"]
    assert not cache.has(KEY)
    assert cleaning.collect(cache) == 0
    told: list[str] = []
    assert cache.find_numbers("n", told.append) is None
    assert "measured again" in told[0]
    cleaning.clear(cache)
    assert cleaning.entries(cache) == []
