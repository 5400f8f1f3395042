"""A cache that machines share: two folders on this machine stand for the caches of two machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

fsspec = pytest.importorskip("fsspec", reason="the extra shared-cache is not installed")

from modelpress.config.workflow import SharedPlace  # noqa: E402
from modelpress.engine.cache import Cache  # noqa: E402
from modelpress.engine.shared_cache import SharedCache  # noqa: E402
from modelpress.errors import MissingDependencyError, UserError  # noqa: E402

WORDS = {"evaluators": {"e": {"metrics": [{"type": "words"}]}}, "evaluator": "e"}


class Machines:
    """The demo's workflow on machines with caches of their own. done: pieces of work that were really done"""

    def __init__(self, demo) -> None:
        self.demo = demo
        self.shared = demo.folder / "shared"

    def run(self, machine: str, *, environment: dict[str, str] | None = None, **changes: object) -> str:
        cache = {"shared": f"file://{self.shared}"}
        self.demo.write(
            **{"cache": cache, "cache_dir": machine, "output_dir": f"{machine}-output", **changes}
        )
        done = self.demo.run()
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def text(self, machine: str) -> str:
        return (self.demo.folder / f"{machine}-output" / "model" / "text.txt").read_text()


@pytest.fixture
def machines(demo) -> Machines:
    return Machines(demo)


def test_what_one_machine_made_another_does_not_make_again(machines) -> None:
    machines.run("one", **WORDS)
    work = list(machines.demo.done)
    told = machines.run("two", **WORDS)
    assert machines.demo.done == work
    assert machines.text("two") == machines.text("one")
    assert "shared cache" in told
    kept = list((machines.demo.folder / "two" / "artifacts").iterdir())
    assert len(kept) == 1  # what only another step would have needed was not fetched


def test_a_broken_upload_is_not_found_and_is_mended_by_the_next_run(machines) -> None:
    machines.run("one")
    (blob, *_) = [path for path in machines.shared.glob("v1/blobs/*/*") if path.read_bytes()]
    blob.write_bytes(blob.read_bytes()[:-1])
    work = len(machines.demo.done)
    machines.run("two")
    assert len(machines.demo.done) > work
    machines.run("three")
    assert machines.text("three") == machines.text("one")


def test_what_was_changed_there_is_seen_by_its_digest_and_made_anew(machines) -> None:
    machines.run("one")
    for blob in machines.shared.glob("v1/blobs/*/*"):
        blob.write_bytes(bytes(len(blob.read_bytes())))
    machines.demo.write(
        cache={"shared": f"file://{machines.shared}"}, cache_dir="two", output_dir="two-output"
    )
    for _ in range(2):  # a result that is needed here is looked at when it is: the last, then what it is from
        failed = machines.demo.run()
        assert failed.returncode == 5, failed.stdout + failed.stderr
        assert "damaged in the shared cache" in failed.stderr
    machines.run("two")
    assert machines.text("two") == machines.text("one")


def test_nothing_is_uploaded_where_only_reading_is_asked_for(machines) -> None:
    machines.run("one", cache={"shared": f"file://{machines.shared}", "update": False})
    assert not machines.shared.exists()


def test_an_upload_leaves_no_part_of_a_file(machines) -> None:
    machines.run("one")
    assert not list(machines.shared.rglob("*.part"))
    for record in machines.shared.glob("v1/artifacts/*.json"):
        assert json.loads(record.read_text())["key"] == record.stem


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("nosuch://bucket", UserError, "no address of a shared cache"),
        ("file:///proc/nowhere", UserError, "is not there"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_before_any_work(
    tmp_path: Path, address: str, error: type[Exception], told: str
) -> None:
    shared = SharedCache(SharedPlace(address), Cache(tmp_path))
    with pytest.raises(error, match=told):
        shared.open(print)


def test_without_the_library_of_a_storage_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacks(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", lacks)
    with pytest.raises(MissingDependencyError, match="Install s3fs") as caught:
        SharedCache(SharedPlace("s3://bucket"), Cache(tmp_path)).open(print)
    assert "shared-cache" in caught.value.hint


def test_an_offline_run_leaves_a_shared_cache_on_the_network_alone(tmp_path: Path) -> None:
    told: list[object] = []
    SharedCache(SharedPlace("s3://bucket"), Cache(tmp_path), offline=True).open(told.append)
    assert "offline" in str(told)
