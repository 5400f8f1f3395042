"""What the listing commands say, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from modelpress.artifact import Artifact
from modelpress.cli.nouns import NOUNS
from modelpress.engine import cache_cleaning as cleaning
from modelpress.engine.cache import Cache
from modelpress.errors import PassError, UserError


@pytest.mark.parametrize(
    ("noun", "name"),
    [
        ("passes", "LoRA"),
        ("models", "HfModel"),
        ("formats", "hf-model"),
        ("data", "HuggingfaceContainer"),
        ("systems", "LocalSystem"),
        ("metrics", "perplexity"),
        ("commands", "ask"),
    ],
)
def test_a_list_names_what_there_is_sorted(invoke, noun: str, name: str) -> None:
    lines = invoke(noun, "list").output.splitlines()[1:]
    names = [line.split()[0] for line in lines]
    assert name in names
    assert names == sorted(names, key=str.lower)


@pytest.mark.parametrize("noun", NOUNS)
def test_json_holds_the_same_names_as_the_table(invoke, noun: str) -> None:
    table = [line.split("  ")[0] for line in invoke(noun, "list").output.splitlines()[1:]]
    assert [entry["name"] for entry in json.loads(invoke(noun, "list", "--json").output)] == table


@pytest.mark.parametrize("noun", NOUNS)
def test_everything_that_is_listed_can_be_shown(invoke, noun: str) -> None:
    for entry in json.loads(invoke(noun, "list", "--json").output)[:2]:
        shown = invoke(noun, "show", entry["name"]).output
        assert shown.startswith(f"{entry['name']}: {entry['summary']}")
        as_json = json.loads(invoke(noun, "show", entry["name"], "--json").output)
        assert as_json.pop("options", {}) is not None
        assert as_json == entry


def test_metrics_show_tells_which_way_is_better(invoke) -> None:
    assert "perplexity (less is better)" in invoke("metrics", "show", "perplexity").output


def test_columns_of_a_table_are_aligned(invoke) -> None:
    header, *lines = invoke("passes", "list").output.splitlines()
    start = header.index("TAKES")
    assert all(line[start - 1] == " " and line[start] != " " for line in lines)


def test_plugins_list_tells_what_each_brings(invoke) -> None:
    output = invoke("plugins", "list").output
    assert "1 system: LocalSystem" in output
    listed = json.loads(invoke("plugins", "list", "--json").output)
    lora = next(plugin for plugin in listed["plugins"] if plugin["name"] == "lora")
    assert {"kind": "pass", "name": "LoRA"} in lora["brings"]


def test_a_broken_plugin_is_listed_with_its_error_and_disturbs_no_other(command, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "vendor_pass").mkdir(parents=True)
    (site / "vendor_pass" / "__init__.py").write_text("import a_library_that_nobody_has\n")
    info = site / "vendor_pass-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vendor-pass\nVersion: 1.0\n\n")
    (info / "entry_points.txt").write_text("[modelpress]\nvendor = vendor_pass\n")
    import os
    import sys

    path = os.pathsep.join([str(site), *(p for p in sys.path if p)])
    done = command("plugins", "list", PYTHONPATH=path)
    assert done.returncode == 0
    assert "broken: vendor (from vendor-pass): ModuleNotFoundError" in done.stdout
    assert "LocalSystem" in done.stdout
    sick = command("doctor", PYTHONPATH=path)
    assert sick.returncode == 1
    assert "plugin vendor" in sick.stdout


def test_passes_show_tells_options_with_types_and_defaults(invoke) -> None:
    output = invoke("passes", "show", "LoRA").output
    assert "r  (integer, ≥ 1, default 64)" in output
    assert "train_data_config  (string, required)" in output
    assert "lora_r (now r)" in output


def test_passes_schema_is_json_schema(invoke) -> None:
    schema = json.loads(invoke("passes", "schema", "LoRA").output)
    assert schema["properties"]["r"]["default"] == 64


def test_an_unknown_pass_suggests_the_nearest_name(invoke) -> None:
    with pytest.raises(UserError) as caught:
        invoke("passes", "show", "Lorra")
    assert "'LoRA'" in caught.value.hint


def test_schema_can_be_written_to_a_file(invoke, tmp_path: Path) -> None:
    invoke("schema", "-o", str(tmp_path / "schema.json"))
    assert "input_model" in json.loads((tmp_path / "schema.json").read_text(encoding="utf-8"))["properties"]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache with one artifact of ten bytes."""
    cache = Cache(tmp_path / "cache")
    out = tmp_path / "out"
    out.mkdir()
    (out / "weights").write_bytes(b"0123456789")
    cache.commit(out, Artifact(out, "hf-model", "ab" * 32), {"type": "LoRA"})
    return cache


def with_cache(invoke, cache: Cache, *arguments: str) -> Result:
    return invoke("cache", *arguments, "--cache-dir", str(cache.folder))


def test_cache_ls_names_the_pass_and_the_size(invoke, cache: Cache) -> None:
    output = with_cache(invoke, cache, "ls").output
    assert "LoRA" in output
    assert "1 entry, 10 B" in output
    assert json.loads(with_cache(invoke, cache, "ls", "--json").output)[0]["size"] == 10


def test_cache_verify_finds_a_changed_byte(invoke, cache: Cache) -> None:
    assert "all sound" in with_cache(invoke, cache, "verify").output
    (cache.artifact_folder("ab" * 32) / "weights").write_bytes(b"0123456780")
    with pytest.raises(PassError, match="1 entry damaged; 1 result looked at"):
        with_cache(invoke, cache, "verify")


def test_cache_gc_keeps_what_fits(invoke, cache: Cache) -> None:
    assert "0 B freed" in with_cache(invoke, cache, "gc", "--keep", "1kB", "--older-than", "1d").output
    assert "10 B freed" in with_cache(invoke, cache, "gc", "--keep", "5").output


def test_cache_clear_asks_first(invoke, cache: Cache) -> None:
    with pytest.raises(UserError) as caught:
        with_cache(invoke, cache, "clear")
    assert "--yes" in caught.value.hint
    with_cache(invoke, cache, "clear", "--yes")
    assert not cleaning.entries(cache)
