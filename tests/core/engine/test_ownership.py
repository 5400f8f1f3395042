"""Nothing of a user's is lost, whatever lies where a result goes: told before any work, or left alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import modelpress
from modelpress.artifact import MANIFEST
from modelpress.errors import UserError, WorkflowError

Layout = Callable[..., Mapping[str, object]]
"""Puts a user's files in their places, gives the changes to the workflow. demo.folder is the workflow's."""

LAYOUTS: list[Layout] = []


def layout(make: Layout) -> Layout:
    LAYOUTS.append(make)
    return make


def mine(path: Path, text: str = "years of work") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def first(**changes: object) -> dict[str, object]:
    return {"passes": {"first": {"type": "Append", "text": " more", **changes}, "second": {"type": "Upper"}}}


def earlier(demo, **changes: object) -> Path:
    """An earlier export, made with another text."""
    passes = {"first": {"type": "Append", "text": " less"}, "second": {"type": "Upper"}}
    demo.write(**{"passes": passes, **changes})
    modelpress.run(demo.folder / "workflow.json")
    demo.log.unlink()
    return demo.folder / "output"


@layout
def a_folder_called_as_an_output_name(demo):
    mine(demo.folder / "output" / "keep" / "thesis.txt")
    return first(output_name="keep")


@layout
def a_folder_called_model(demo):
    mine(demo.folder / "output" / "model" / "thesis.txt")
    return {}


@layout
def a_file_called_model(demo):
    mine(demo.folder / "output" / "model")
    return {}


@layout
def a_record_of_his_own(demo):
    mine(demo.folder / "output" / "run.json", '{"modelpress": "0.1.0", "steps": [], "runs": [1, 2]}')
    return {}


@layout
def a_folder_called_as_the_record(demo):
    mine(demo.folder / "output" / "run.json" / "runs.txt")
    return {}


@layout
def a_record_with_notes_in_it(demo):
    record = earlier(demo) / "run.json"
    document = json.loads(record.read_text())
    record.write_text(json.dumps({**document, "notes": "the best so far"}, indent=1))
    return {}


@layout
def notes_in_an_earlier_export(demo):
    mine(earlier(demo) / "model" / "notes.txt")
    return {}


@layout
def notes_in_a_folder_of_an_earlier_export(demo):
    mine(earlier(demo) / "model" / "notes" / "one.txt")
    return {}


@layout
def a_link_in_an_earlier_export(demo):
    (earlier(demo) / "model" / "data").symlink_to(demo.folder)
    return {}


@layout
def an_edited_file_in_an_earlier_export(demo):
    mine(earlier(demo) / "model" / "text.txt")
    return {}


@layout
def an_edit_that_keeps_size_and_time(demo):
    file = earlier(demo) / "model" / "text.txt"
    stat = file.stat()
    file.write_text(file.read_text().replace("ONE", "two"))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return {}


@layout
def an_edit_of_the_same_export(demo):
    demo.write()
    modelpress.run(demo.folder / "workflow.json")
    mine(demo.folder / "output" / "model" / "text.txt")
    return {}


@layout
def notes_beside_the_same_export(demo):
    demo.write()
    modelpress.run(demo.folder / "workflow.json")
    mine(demo.folder / "output" / "model" / "notes.txt")
    return {}


@layout
def an_edited_manifest(demo):
    manifest = earlier(demo) / "model" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"meta"', '"mine"'))
    return {}


@layout
def an_export_that_was_made_a_repository(demo):
    mine(earlier(demo) / "model" / ".git" / "HEAD")
    return {}


@layout
def the_input_is_where_the_result_goes(demo):
    shutil.move(demo.folder / "model", demo.folder / "output" / "model")
    return {"input_model": {"type": "TextModel", "model_path": "output/model"}}


@layout
def the_input_is_an_earlier_export_where_the_result_goes(demo):
    earlier(demo, passes={"first": {"type": "Append", "text": " less"}})
    return {"input_model": {"type": "TextModel", "model_path": "output/model"},
            "passes": {"first": {"type": "Append", "text": " more"}}}  # fmt: skip


@layout
def the_output_folder_is_the_parent_of_the_input(demo):
    return {"output_dir": "."}


@layout
def the_output_folder_is_the_parent_by_a_link(demo):
    (demo.folder / "link").symlink_to(demo.folder)
    return {"output_dir": "link"}


@layout
def the_input_is_a_link_into_the_output_folder(demo):
    shutil.move(demo.folder / "model", demo.folder / "output" / "model")
    (demo.folder / "model").symlink_to(demo.folder / "output" / "model")
    return {}


@layout
def the_input_lies_below_where_the_result_goes(demo):
    shutil.move(demo.folder / "model", demo.folder / "output" / "model" / "source")
    return {"input_model": {"type": "TextModel", "model_path": "output/model/source"}}


@layout
def an_option_names_a_file_where_the_result_goes(demo):
    file = earlier(demo) / "model" / "text.txt"
    return first(file=str(file))


@layout
def data_lies_where_the_result_goes(demo):
    earlier(demo)
    return {"data_configs": [{"name": "d", "type": "Lines", "file": "output/model/text.txt"}],
            **first(train_data_config="d")}  # fmt: skip


@layout
def the_record_is_a_data_file(demo):
    mine(demo.folder / "output" / "run.json", "a\nb\n")
    return {"data_configs": [{"name": "d", "type": "Lines", "file": "output/run.json"}],
            **first(train_data_config="d")}  # fmt: skip


@layout
def the_workflow_is_where_the_record_goes(demo):
    return {"output_dir": ".", "called": "run.json"}


@layout
def where_the_result_goes_is_a_link_to_a_folder(demo):
    mine(demo.folder / "elsewhere" / "thesis.txt")
    (demo.folder / "output").mkdir()
    (demo.folder / "output" / "model").symlink_to(demo.folder / "elsewhere")
    return {}


@layout
def where_the_result_goes_is_a_broken_link(demo):
    (demo.folder / "output").mkdir()
    (demo.folder / "output" / "model").symlink_to(demo.folder / "nowhere")
    return {}


@layout
def two_names_that_differ_in_case(demo):
    return {"passes": {"first": {"type": "Append", "text": "1", "output_name": "Keep"},
                       "second": {"type": "Append", "text": "2", "output_name": "keep"}}}  # fmt: skip


@layout
def an_output_name_that_is_the_final_one(demo):
    return first(output_name="Model")


@layout
def an_output_name_that_is_the_record(demo):
    earlier(demo)
    return first(output_name="Run.json")


@layout
def the_cache_lies_where_the_result_goes(demo):
    return {"cache_dir": "output/model"}


@layout
def the_cache_lies_below_where_the_result_goes(demo):
    return {"cache_dir": "output/model/deep/cache"}


@layout
def an_output_name_is_a_room_of_the_cache(demo):
    return {"cache_dir": "output", **first(output_name="artifacts")}


@layout
def the_output_folder_lies_in_a_file(demo):
    mine(demo.folder / "thesis")
    return {"output_dir": "thesis/output"}


@layout
def the_output_folder_lies_in_the_input(demo):
    return {"output_dir": "model/output"}


@layout
def the_output_folder_and_the_cache_lie_in_the_input(demo):
    return {"output_dir": "model/output", "cache_dir": "model/cache"}


def snapshot(folder: Path) -> dict[str, object]:
    """Every file and link below the folder: its bytes, or where it leads."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_nothing_of_the_users_is_lost(demo, make: Layout) -> None:
    changes = dict(make(demo))
    called = str(changes.pop("called", "workflow.json"))
    path = demo.write(**changes)
    if called != path.name:
        path = path.rename(path.with_name(called))
    before = snapshot(demo.folder)
    try:
        modelpress.run(path)
    except WorkflowError:
        told = True
    else:
        told = False
    after = snapshot(demo.folder)
    lost = [
        name for name, content in before.items() if name != "output/run.json" and after.get(name) != content
    ]
    if told:
        assert after == before
        assert demo.done == [] or "same" in make.__name__
    else:
        assert lost == []
        record = before.get("output/run.json")
        assert record is None or b'"seal"' in record


def test_what_may_be_done_is_done(demo) -> None:
    """An earlier export of ours is replaced; a result in the input's folder is no part of the input."""
    earlier(demo)
    mine(demo.folder / "output" / ".DS_Store")
    mine(demo.folder / "output" / "model" / ".DS_Store")
    demo.write()
    modelpress.run(demo.folder / "workflow.json")
    assert demo.text == "ONE TWO MORE"
    demo.write(output_dir="model/output", cache_dir="model/cache")
    modelpress.run(demo.folder / "workflow.json")
    done = demo.done
    modelpress.run(demo.folder / "workflow.json")
    assert demo.done == done


def test_what_appears_while_a_run_is_at_work_is_not_lost_either(demo) -> None:
    demo.write()

    def appear(event: object) -> None:
        if type(event).__name__ == "StepStarted":
            mine(demo.folder / "output" / "model" / "thesis.txt")

    with pytest.raises(UserError, match=r"was not written.*thesis\.txt") as told:
        modelpress.run(demo.folder / "workflow.json", on_event=appear)
    assert "It is in the cache: " in told.value.hint
    assert (demo.folder / "output" / "model" / "thesis.txt").read_text() == "years of work"


def test_a_record_that_is_not_ours_is_told_with_what_to_do(demo) -> None:
    mine(demo.folder / "output" / "run.json")
    demo.write()
    with pytest.raises(WorkflowError, match=r"run\.json was not written by modelpress.*Move it away"):
        modelpress.run(demo.folder / "workflow.json")
