"""The tests that every pass has to stand, to be subclassed in the plugin's own test suite.

class TestCastDtype(PassContract):
    pass_name = "CastDtype"
    options = {"dtype": "float16"}

    def make_input(self, folder):
        return input_artifact(make_tiny_model(folder), "hf-model")
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from modelpress.artifact import Artifact, artifact_files, digest_file
from modelpress.context import DataSource
from modelpress.engine.process import child_environment, import_path
from modelpress.options import Options
from modelpress.provider import installed_versions
from modelpress.registry import Registered, Registry
from modelpress.requirements import lacks, required_names
from modelpress.specs import FormatSpec, PassSpec
from modelpress.testing.context import RecordingPlan, model_facts, run_pass

HEAVY = ("torch", "transformers", "numpy", "onnx", "onnxruntime", "peft", "datasets", "safetensors")
"""Modules that no plan and no listing may import."""


class PassContract:
    """Subclass it in a test module and say what to run; pytest does the rest."""

    pass_name: ClassVar[str] = ""
    """The name under which users find the pass."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Options for the runs, as a user would write them."""
    bad_options: ClassVar[Mapping[str, Any]] = {"no_such_option": 1}
    """Options that must be refused."""
    data: ClassVar[Mapping[str, DataSource]] = {}
    """What `ctx.data(role)` gives, by role, to a pass that trains or calibrates."""

    def make_input(self, folder: Path) -> Artifact:
        """A small valid input, made in the folder (which does not exist yet)."""
        raise NotImplementedError(f"{type(self).__name__} has to define make_input(folder)")

    @pytest.fixture(scope="class")
    def registry(self) -> Registry:
        return Registry.load()

    @pytest.fixture(scope="class")
    def registered(self, registry: Registry) -> Registered[PassSpec]:
        return registry.find(PassSpec, self.pass_name)

    @pytest.fixture
    def source(self, tmp_path: Path) -> Artifact:
        return self.make_input(tmp_path / "input")

    def run(
        self, registered: Registered[PassSpec], registry: Registry, source: Artifact, folder: Path
    ) -> Artifact:
        """One run in a folder of its own. Skips the test when a library that the pass needs is not there."""
        requires = registered.spec.requires
        for lack in lacks(requires, installed_versions(required_names(requires))):
            pytest.skip(str(lack))
        return run_pass(registered, source, self.options, folder, registry=registry, data=self.data)

    def test_its_plugin_loads_without_heavy_libraries(self, registered: Registered[PassSpec]) -> None:
        module = registered.spec.run.partition(".")[0].partition(":")[0]
        entry = next(p.module for p in Registry.load().plugins if p.name == registered.plugin)
        assert _imported(entry, (*HEAVY, "pydantic")) == [], (
            f"import {module}'s heavy libraries in run.py only"
        )

    def test_its_options_and_plan_load_without_heavy_libraries(
        self, registered: Registered[PassSpec]
    ) -> None:
        spec = registered.spec
        for reference in filter(None, (spec.config, spec.plan)):
            assert _imported(reference.partition(":")[0], HEAVY) == [], reference

    def test_it_says_what_it_does(self, registered: Registered[PassSpec]) -> None:
        assert len(registered.spec.summary) > 10
        assert registered.spec.accepts

    def test_its_formats_are_known(self, registered: Registered[PassSpec], registry: Registry) -> None:
        for name in {*registered.spec.accepts, registered.spec.produces} - {"same"}:
            registry.find(FormatSpec, name)

    def test_its_libraries_are_named(self, registered: Registered[PassSpec]) -> None:
        """A pass that requires libraries names the extra that brings them."""
        assert not registered.spec.requires or registered.spec.extra or registered.distribution

    def test_its_options_are_strict_and_described(self, registered: Registered[PassSpec]) -> None:
        config = registered.resolve(registered.spec.config)
        assert issubclass(config, Options)
        assert config.model_config.get("extra") == "forbid"
        silent = [name for name, field in config.model_fields.items() if not field.description]
        assert silent == [], "give these options a description"

    def test_its_options_survive_a_round_trip(self, registered: Registered[PassSpec]) -> None:
        config = registered.resolve(registered.spec.config)
        canonical = config.parse(self.options).canonical()
        assert config.parse(canonical).canonical() == canonical

    def test_bad_options_are_refused(self, registered: Registered[PassSpec]) -> None:
        with pytest.raises(ValidationError):
            registered.resolve(registered.spec.config).parse({**self.options, **self.bad_options})

    def test_its_plan_accepts_the_input(self, registered: Registered[PassSpec], source: Artifact) -> None:
        assert source.format in registered.spec.accepts
        if not registered.spec.plan:
            return
        context = RecordingPlan()
        options = registered.resolve(registered.spec.config).parse(self.options)
        facts = registered.resolve(registered.spec.plan)(model_facts(source), options, context)
        assert context.problems == []
        assert facts.format == (
            source.format if registered.spec.produces == "same" else registered.spec.produces
        )

    def test_it_gives_the_format_that_it_promises(
        self, registered: Registered[PassSpec], registry: Registry, source: Artifact, tmp_path: Path
    ) -> None:
        self.run(registered, registry, source, tmp_path / "job")  # checks the format, the place and the files

    def test_the_same_input_gives_the_same_bytes(
        self, registered: Registered[PassSpec], registry: Registry, source: Artifact, tmp_path: Path
    ) -> None:
        first = self.run(registered, registry, source, tmp_path / "first")
        second = self.run(registered, registry, source, tmp_path / "second")
        assert _content([first.path]) == _content([second.path])

    def test_its_input_stays_as_it_is(
        self, registered: Registered[PassSpec], registry: Registry, source: Artifact, tmp_path: Path
    ) -> None:
        folders = [source.path, *([source.base.path] if source.base else [])]
        before = _content(folders)
        self.run(registered, registry, source, tmp_path / "job")
        assert _content(folders) == before

    def test_it_writes_to_its_own_folders_only(
        self,
        registered: Registered[PassSpec],
        registry: Registry,
        source: Artifact,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        (tmp_path / "working folder").mkdir()
        monkeypatch.chdir(tmp_path / "working folder")
        before = {p.name for p in tmp_path.iterdir()}
        self.run(registered, registry, source, tmp_path / "job")
        assert {p.name for p in tmp_path.iterdir()} == before | {"job"}
        assert list((tmp_path / "working folder").iterdir()) == []

    def test_it_goes_on_after_an_interrupted_try(
        self, registered: Registered[PassSpec], registry: Registry, source: Artifact, tmp_path: Path
    ) -> None:
        """A second try in the same job folder finds what the first one left in `checkpoint`."""
        first = _content([self.run(registered, registry, source, tmp_path / "job").path])
        again = _content([self.run(registered, registry, source, tmp_path / "job").path])
        assert again == first


def _content(folders: Iterable[Path]) -> dict[str, str]:
    """Digest by name of every file below the folders."""
    return {
        f"{i}/{path.relative_to(folder).as_posix()}": digest_file(path)
        for i, folder in enumerate(folders)
        for path in artifact_files(folder)
    }


def _imported(module: str, unwanted: Iterable[str]) -> list[str]:
    """Which of the unwanted modules a fresh Python has loaded after importing this one."""
    code = f"import sys, {module}; print(*sorted(set({list(unwanted)!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=child_environment({**os.environ, "PYTHONPATH": import_path()}),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
