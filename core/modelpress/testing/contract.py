"""What every contract has in common: the thing is found by its name, its plugin is light, its options hold.

A contract is a class of tests to be subclassed in the plugin's own suite, with a few members to fill in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import pytest
from pydantic import JsonValue, ValidationError

from modelpress.artifact import artifact_files, digest_file
from modelpress.engine.process import child_environment, import_path
from modelpress.options import Options
from modelpress.plugin_check import undescribed
from modelpress.registry import Registered, Registry
from modelpress.specs import Spec
from modelpress.testing.context import as_in_a_worker, options_class
from modelpress.testing.heavy import HEAVY
from modelpress.testing.libraries import missing

S = TypeVar("S", bound=Spec)
T = TypeVar("T")
_KEPT: dict[type, dict[str, object]] = {}


class Contract(Generic[S]):
    """The tests that hold for every kind of plugin that has options."""

    options: ClassVar[Mapping[str, JsonValue]] = {}
    """Options for the runs, as a user would write them."""
    bad_options: ClassVar[Mapping[str, JsonValue]] = {"no_such_option": 1}
    """Options that must be refused."""

    def find(self, registry: Registry) -> Registered[S]:
        """The thing, by the name in the class (`pass_name`, `metric_name` …): each kind's contract has it."""
        raise NotImplementedError(f"{type(self).__name__} is of no kind: subclass PassContract, say")

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """What make gives, made once for all tests of the class. Not a fixture of the class's scope: pytest
        gives such fixtures another instance than the tests'."""
        things: dict[str, object] = _KEPT.setdefault(type(self), {})
        if name not in things:
            things[name] = make()
        return things[name]  # type: ignore[return-value]

    @pytest.fixture
    def place(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A folder that all tests of the class share."""
        return self.kept("place", lambda: tmp_path_factory.mktemp("contract"))

    @pytest.fixture
    def registry(self) -> Registry:
        return self.kept("registry", Registry.load)

    @pytest.fixture
    def registered(self, registry: Registry) -> Registered[S]:
        return self.find(registry)

    @pytest.fixture
    def libraries(self, registered: Registered[S]) -> None:
        """Skips what runs the code when a library that it needs is not there."""
        if absent := missing(getattr(registered.spec, "requires", ())):
            pytest.skip(f"not installed: {', '.join(absent)}")

    def parsed(self, registered: Registered[S], values: Mapping[str, JsonValue] | None = None) -> Options:
        """The options as the code is given them."""
        return options_class(registered).parse(self.options if values is None else values)

    def light_references(self, spec: S) -> Sequence[str]:
        """Those that a plan or a listing imports: none of them may load a heavy library."""
        names = ("config", "plan", "check", "identity", "describe")
        return [reference for name in names if (reference := getattr(spec, name, ""))]

    def test_its_plugin_loads_without_heavy_libraries(
        self, registered: Registered[S], registry: Registry
    ) -> None:
        entry = next(p.module for p in registry.plugins if p.name == registered.plugin)
        assert imported([entry], (*HEAVY, "pydantic")) == [], "import heavy libraries in run.py only"

    def test_what_a_plan_needs_loads_without_heavy_libraries(self, registered: Registered[S]) -> None:
        modules = [reference.partition(":")[0] for reference in self.light_references(registered.spec)]
        if modules:
            assert imported(modules, HEAVY) == [], f"one of {', '.join(modules)} imports it"

    def test_it_says_what_it_does(self, registered: Registered[S]) -> None:
        assert len(registered.spec.summary) > 10
        assert "\n" not in registered.spec.summary

    def test_what_it_needs_can_be_installed(self, registered: Registered[S]) -> None:
        """What requires libraries names the extra that brings them."""
        extra: str = getattr(registered.spec, "extra", "")
        assert not getattr(registered.spec, "requires", ()) or extra or registered.distribution

    def test_its_options_are_strict_and_described(self, registered: Registered[S]) -> None:
        config = options_class(registered)
        assert issubclass(config, Options)
        assert config.model_config.get("extra") == "forbid"
        assert undescribed(config) == [], "give these options a description"

    def test_its_options_survive_a_round_trip(self, registered: Registered[S], tmp_path: Path) -> None:
        options = self.parsed(registered, self.some_options(tmp_path))
        again = type(options).parse(options.canonical())
        assert again.canonical() == options.canonical()

    def test_its_options_reach_the_worker_as_they_were_written(
        self, registered: Registered[S], tmp_path: Path
    ) -> None:
        """A worker reads every option from a job, so each counts as set there: what decides by
        `model_fields_set`, or changes a value while it is read, gives it other options than the plan."""
        options = self.parsed(registered, self.some_options(tmp_path))
        there = as_in_a_worker(options)
        told = {name: value for name, value in options if getattr(there, name) != value}
        assert told == {}, "the worker gets another value"

    def test_bad_options_are_refused(self, registered: Registered[S], tmp_path: Path) -> None:
        with pytest.raises(ValidationError):
            self.parsed(registered, {**self.some_options(tmp_path), **self.bad_options})

    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        """Valid options; folder: where they may point to."""
        return self.options


def content(folders: Iterable[Path]) -> dict[str, str]:
    """Digest by name of every file below the folders."""
    return {
        f"{i}/{path.relative_to(folder).as_posix()}": digest_file(path)
        for i, folder in enumerate(folders)
        for path in artifact_files(folder)
    }


def imported(modules: Sequence[str], unwanted: Iterable[str]) -> list[str]:
    """Which of the unwanted modules a fresh Python has loaded after importing these."""
    code = f"import sys, {', '.join(modules)}\nprint(*sorted(set({list(unwanted)!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=child_environment({**os.environ, "PYTHONPATH": import_path()}),
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split() if done.stdout.strip() else []
