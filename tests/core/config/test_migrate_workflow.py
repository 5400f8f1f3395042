"""A migrated file is today's form, says the same, and nothing is lost or overwritten on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelpress.config.load import load_workflow
from modelpress.config.migrate import dump_yaml, migrate
from modelpress.config.source import read_source
from modelpress.errors import UserError, WorkflowError
from modelpress.problems import Problems
from modelpress.registry import Registry

WORKFLOW = """\
input_model: {type: PyTorchModel, hf_config: {model_name: m}}
passes: {m: {type: MergeAdapterWeights}}
"""


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_a_migrated_file_says_the_same_and_needs_no_translation(
    olive_file: Path, registry: Registry, tmp_path: Path, suffix: str
) -> None:
    old = load_workflow(olive_file, registry)
    notes = migrate(olive_file, tmp_path / f"new{suffix}", registry)
    new = load_workflow(tmp_path / f"new{suffix}", registry)
    assert notes[: len(old.translations)] == [str(t) for t in old.translations]
    assert not new.translations
    assert json.dumps(new.native) == json.dumps(old.native)  # the order, too
    assert [p.message for p in new.problems] == [p.message for p in old.problems]
    for before, after in zip(old.passes, new.passes, strict=True):
        assert before == after or before.options == after.options


def test_options_of_data_are_the_same_after_migration(
    olive_file: Path, registry: Registry, tmp_path: Path
) -> None:
    migrate(olive_file, tmp_path / "new.yaml", registry)
    old = load_workflow(olive_file, registry).data
    new = load_workflow(tmp_path / "new.yaml", registry).data
    assert [choice.options for choice in old.values()] == [choice.options for choice in new.values()]


def test_text_that_yaml_might_take_for_something_else_is_quoted(tmp_path: Path) -> None:
    texts = [
        "no",
        "yes",
        "1e-4",
        "1_000",
        "12:30",
        "012",
        "0o17",
        "null",
        "~",
        "",
        "2024-01-01",
        "<<",
        "=",
        ".inf",
    ]
    texts += [
        "a\nb\n",
        "a\nb",
        " a\nb ",
        "a \nb",
        "\ta\nb",
        "\n",
        "### Text: {x}\n### Tone:\n{y}",
        "é\u2028x",
        "#no",
    ]
    value = {"texts": texts, "numbers": [1e-4, 1e20, 5.0, 3, -1], "rest": [True, None, {}, []]}
    (tmp_path / "w.yaml").write_text(dump_yaml(value), encoding="utf-8")
    assert json.dumps(read_source(tmp_path / "w.yaml", Problems()).plain()) == json.dumps(value)


def test_a_template_of_many_lines_stays_readable() -> None:
    assert dump_yaml({"t": "a\n{b}\n"}) == "t: |\n  a\n  {b}\n"


def test_an_existing_file_is_overwritten_only_when_told(registry: Registry, tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(WORKFLOW)
    new.write_text("precious")
    with pytest.raises(UserError, match="exists already"):
        migrate(old, new, registry)
    assert new.read_text() == "precious"
    migrate(old, new, registry, overwrite=True)
    assert "model_path: m" in new.read_text()
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["new.yaml", "old.yaml"]


def test_nothing_is_written_for_a_file_that_cannot_be_translated(registry: Registry, tmp_path: Path) -> None:
    for number, text in enumerate(("a: [", "passes: {m: {type: X, a: 1, config: {a: 2}}}", "a: 1\na: 2\n")):
        old = tmp_path / f"old{number}.yaml"
        old.write_text(text)
        with pytest.raises(WorkflowError):
            migrate(old, tmp_path / "new.yaml", registry)
    assert not (tmp_path / "new.yaml").exists()


def test_a_file_is_migrated_although_a_plugin_is_missing(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("passes: {m: {type: Vendor, config: {a: 1}}}\n")
    migrate(tmp_path / "old.yaml", tmp_path / "new.json", registry)
    assert json.loads((tmp_path / "new.json").read_text()) == {"passes": {"m": {"type": "Vendor", "a": 1}}}


def test_what_the_user_has_to_look_after_is_told(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "old.yaml").write_text("# mine\n" + WORKFLOW)
    notes = migrate(tmp_path / "old.yaml", tmp_path / "sub" / "new.yaml", registry)
    assert "Comments are not carried over." in notes
    assert any("Relative paths" in note for note in notes)


def test_a_place_that_cannot_be_written_to_is_told(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(WORKFLOW)
    with pytest.raises(UserError, match="has to end in"):
        migrate(tmp_path / "old.yaml", tmp_path / "new.txt", registry)
    with pytest.raises(UserError, match="cannot be written"):
        migrate(tmp_path / "old.yaml", tmp_path / "absent" / "new.yaml", registry)
