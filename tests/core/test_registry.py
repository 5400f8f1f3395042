"""Plugins load each by itself, and a broken one is told and never fatal."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from modelpress.errors import MissingDependencyError, PluginError, UserError
from modelpress.events import Log
from modelpress.provider import shipped_files
from modelpress.registry import Registry
from modelpress.specs import ModelSpec, PassSpec, SystemSpec

if TYPE_CHECKING:
    from conftest import FakeSite

PASS = """
    @hookimpl
    def modelpress_passes():
        return [PassSpec(name="{name}", summary="s", accepts=("a",), produces="a",
                         run="PACKAGE.run:go", config="PACKAGE.config:C")]
"""


def a_pass(name: str) -> str:
    return PASS.format(name=name)


def only_error(registry: Registry) -> str:
    (broken,) = registry.broken
    return broken.error


def test_an_installed_plugin_is_found_through_its_entry_point(site: FakeSite) -> None:
    site.install("blur", a_pass("Blur"), distribution="vendor-blur", version="2.3")
    registry = Registry.load()
    found = registry.find(PassSpec, "Blur")
    assert (found.plugin, found.distribution, found.version) == ("blur", "vendor-blur", "2.3")
    assert found in registry.passes


def test_the_entry_point_of_the_first_plugin_on_the_path_counts_once(site: FakeSite) -> None:
    site.install("blur", a_pass("Blur"))
    assert [p.name for p in Registry.load().plugins].count("blur") == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import sys; sys.exit(3)", "it called sys.exit(3) while it was imported"),
        ("def broken(:", "SyntaxError"),
        ("@hookimpl\ndef modelpress_pases(): return []", "Did you mean 'modelpress_passes'?"),
        ("@hookimpl\ndef passes(): return []", "'passes' is no hook of modelpress"),
        ("def modelpress_passes(): return []", "modelpress_passes lacks @hookimpl"),
        ("@hookimpl\ndef modelpress_passes(registry): return []", "registry"),
        ("@hookimpl\ndef modelpress_passes(): return None", "returns NoneType"),
        ("@hookimpl\ndef modelpress_passes(): return ['LoRA']", "returned one str"),
        ("@hookimpl\ndef modelpress_passes(): raise KeyError('x')", "KeyError"),
        ("@hookimpl(wrapper=True)\ndef modelpress_passes(): yield", "wrapper"),
        (
            "@hookimpl\ndef modelpress_passes():\n"
            "    return [PassSpec(name='A', summary='', accepts=(), produces='a', run='here', config='m:C')]",
            "run has to be 'module:name', and is 'here'",
        ),
    ],
)
def test_a_broken_plugin_is_noted_and_the_others_go_on(site: FakeSite, code: str, message: str) -> None:
    site.install("broken", code)
    site.install("good", a_pass("Good"))
    registry = site.registry()
    assert message in only_error(registry)
    assert registry.broken[0].distribution == "fake-broken"
    assert [p.spec.name for p in registry.passes] == ["Good"]


@pytest.mark.parametrize(
    ("api", "message"),
    [("", "does not say MODELPRESS_API = 1"), ("MODELPRESS_API = 2", "made for MODELPRESS_API 2")],
)
def test_a_plugin_for_another_api_is_broken(site: FakeSite, api: str, message: str) -> None:
    site.install("other", a_pass("Other"), api=api)
    registry = site.registry()
    assert message in only_error(registry)
    assert not registry.passes


def test_a_taken_name_names_both_distributions(site: FakeSite) -> None:
    site.install("a", a_pass("Blur"), distribution="first")
    site.install("b", a_pass("Blur"), distribution="second")
    registry = site.registry()
    assert "first" in only_error(registry)
    assert "second" in only_error(registry)
    assert registry.find(PassSpec, "Blur").distribution == "first"


def test_names_are_found_in_any_case_and_may_not_differ_by_it_alone(site: FakeSite) -> None:
    site.install("a", a_pass("Blur"), distribution="first")
    site.install("b", a_pass("BLUR"), distribution="second")
    registry = site.registry()
    assert registry.find(PassSpec, "blur").spec.name == "Blur"
    assert registry.names(PassSpec) == ["Blur"]
    assert "brings one of that name already" in only_error(registry)


def test_an_alias_counts_as_a_name(site: FakeSite) -> None:
    model = """
        @hookimpl
        def modelpress_models():
            return [ModelSpec("{name}", "", produces="x", open="m:o", config="m:C", aliases={aliases})]
    """
    site.install("a", model.format(name="HfModel", aliases=("PyTorchModel",)))
    site.install("b", model.format(name="PyTorchModel", aliases=()))
    registry = site.registry()
    assert "'PyTorchModel'" in only_error(registry)
    assert registry.find(ModelSpec, "PyTorchModel").spec.name == "HfModel"
    assert len(registry.all(ModelSpec)) == 1


def test_the_same_name_may_stand_for_a_pass_and_a_system(site: FakeSite) -> None:
    system = """
        @hookimpl
        def modelpress_systems():
            return [SystemSpec(name="Blur", summary="", open="m:o", config="m:C")]
    """
    site.install("a", a_pass("Blur"))
    site.install("b", system)
    registry = site.registry()
    assert not registry.broken
    assert registry.find(SystemSpec, "Blur").plugin == "b"


def test_two_plugins_of_one_name_name_both_distributions(site: FakeSite) -> None:
    site.install("blur", a_pass("A"), distribution="first")
    site.install("blur", a_pass("B"), distribution="second")
    error = only_error(site.registry())
    assert "first" in error
    assert "second" in error


def test_a_plugin_with_one_taken_name_brings_nothing(site: FakeSite) -> None:
    site.install("a", a_pass("Blur"))
    blur = "PassSpec('Blur', 's', (), 'a', 'm:r', 'm:c')"
    two = a_pass("Sharpen").replace("return [", f"return [{blur}, ")
    site.install("b", two)
    registry = site.registry()
    assert registry.get(PassSpec, "Sharpen") is None


def test_a_blocked_plugin_is_not_even_imported(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("evil", "raise SystemExit")
    site.install("good", a_pass("Good"))
    monkeypatch.setenv("MODELPRESS_BLOCK_PLUGINS", "other, evil")
    registry = site.registry()
    assert registry.blocked == ["evil"]
    assert not registry.broken
    assert [p.name for p in registry.plugins] == ["good"]


def test_an_unknown_name_suggests_the_nearest_and_mentions_broken_plugins(site: FakeSite) -> None:
    site.install("broken", "import no_such_library")
    site.install("good", a_pass("ModelBuilder"))
    with pytest.raises(UserError, match="There is no pass named 'model_bilder'") as caught:
        site.registry().find(PassSpec, "model_bilder")
    assert "Did you mean 'ModelBuilder'?" in caught.value.hint
    assert "broken: ModuleNotFoundError" in caught.value.hint


def test_observers_see_events_and_a_failing_one_is_called_once(site: FakeSite) -> None:
    site.install("good", "seen = []\n@hookimpl\ndef modelpress_event(event): seen.append(event)")
    site.install("bad", "seen = []\n@hookimpl\ndef modelpress_event(event): seen.append(event); 1 / 0")
    registry = site.registry()
    event = Log("note", "hello")
    registry.emit(event)
    registry.emit(event)
    assert sys.modules["fake_good_fake_good"].seen == [event, event]
    assert sys.modules["fake_bad_fake_bad"].seen == [event]
    assert "ZeroDivisionError" in only_error(registry)


def test_resolve_tells_a_missing_library_from_a_faulty_plugin(site: FakeSite) -> None:
    files = {"run.py": "import no_such_library", "config.py": "D = 1"}
    site.install("blur", a_pass("Blur"), files=files)
    found = site.registry().find(PassSpec, "Blur")
    with pytest.raises(MissingDependencyError, match="'no_such_library'"):
        found.resolve(found.spec.run)
    with pytest.raises(PluginError, match="has no attribute 'C'"):
        found.resolve(found.spec.config)


def test_a_source_digest_follows_every_shipped_file_of_an_editable_plugin(site: FakeSite) -> None:
    site.install("blur", a_pass("Blur"), package="fake_blur", files={"run.py": "x = 1"}, editable=True)
    before = site.registry().passes[0].provider
    assert before.editable
    assert before.folders == (site.folder / "fake_blur",)
    folder = site.folder / "fake_blur"
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "run.pyc").write_bytes(b"x")
    assert site.registry().passes[0].provider.source_digest == before.source_digest
    seen = {before.source_digest}
    for name, text in {"template.jinja": "{{ x }}", "table.json": "[1]", "run.py": "x = 2"}.items():
        (folder / name).write_text(text)
        seen.add(site.registry().passes[0].provider.source_digest)
    (folder / "table.json").rename(folder / "other.json")
    seen.add(site.registry().passes[0].provider.source_digest)
    assert len(seen) == 5
    assert {path.name for path in shipped_files(folder)} >= {"template.jinja", "other.json", "run.py"}
    assert not any(path.suffix == ".pyc" for path in shipped_files(folder))


def test_a_source_digest_follows_every_file_that_would_be_shipped(site: FakeSite) -> None:
    """A table that the code reads decides its result as the code does; what Python caches does not."""
    site.install("blur", a_pass("Blur"), package="fake_blur", files={"run.py": "x = 1"}, editable=True)
    package = site.folder / "fake_blur"
    before = site.registry().passes[0].provider.source_digest
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "run.pyc").write_bytes(b"compiled")
    (package / ".run.py.swp").write_bytes(b"an editor's")
    assert site.registry().passes[0].provider.source_digest == before
    (package / "table.json").write_text("{}")
    with_table = site.registry().passes[0].provider.source_digest
    assert with_table != before
    (package / "table.json").write_text("[]")
    assert site.registry().passes[0].provider.source_digest not in (before, with_table)


def test_a_plugin_in_site_packages_is_not_editable(site: FakeSite) -> None:
    site.install("blur", a_pass("Blur"))
    assert not site.registry().passes[0].provider.editable


def test_loading_imports_nothing_heavy(site: FakeSite) -> None:
    site.install("blur", a_pass("Blur"))
    code = (
        "import sys; from modelpress.registry import Registry; Registry.load().passes; "
        "heavy = {'torch', 'transformers', 'onnx', 'numpy', 'pydantic', 'yaml', 'rich'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)
