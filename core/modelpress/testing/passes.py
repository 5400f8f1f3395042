"""The tests that every pass has to stand, to be subclassed in the plugin's own test suite.

class TestCastDtype(PassContract):
    pass_name = "CastDtype"
    options = {"dtype": "float16"}

    def make_input(self, folder):
        return input_artifact(make_tiny_model(folder), "hf-model")

The pass runs in processes of its own, twice: once plainly; once elsewhere, with another hash seed, home, time
zone, working folder, path of the input and environment, killed half way and run again from its checkpoint.
"""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import JsonValue

from modelpress.artifact import Artifact, Meta, artifact_files
from modelpress.records import from_json
from modelpress.registry import Registered, Registry
from modelpress.requirements import required_names
from modelpress.samples import DataSource
from modelpress.specs import FormatSpec, PassSpec
from modelpress.testing.contract import Contract, content
from modelpress.testing.golden import compare_with_golden
from modelpress.testing.libraries import declared, undeclared
from modelpress.testing.trial import (
    Given,
    Order,
    Planned,
    Trial,
    TrialEnvironment,
    order_file,
    relocated,
    run_trial,
)

_TEXT = {".json", ".yaml", ".yml", ".txt", ".md", ".toml", ".jinja"}


class PassContract(Contract[PassSpec]):
    """Subclass it in a test module and say what to run; pytest does the rest."""

    pass_name: ClassVar[str] = ""
    """The name under which users find the pass."""
    data: ClassVar[Mapping[str, DataSource]] = {}
    """What `ctx.data(role)` gives, by role, to a pass that trains or calibrates. The test's file is imported
    for it in another process."""
    size_within: ClassVar[float] = 1.5
    """How many times larger or smaller the result may be than the plan said (0 says: not known)."""
    config_beyond_plan: ClassVar[frozenset[str]] = frozenset()
    """Keys of config.json that the plan need not know; of a mapping in it, with dots (`rope.factor`)."""
    plan_seconds: ClassVar[float] = 1.0
    """What a plan may take of a processor's time, its imports included."""
    environment: ClassVar[frozenset[str]] = frozenset()
    """Environment variables that its code may read because the result does not depend on them."""
    golden: ClassVar[Path | None] = None
    """A folder for golden results: `<class>.v<version>.json` in it is compared, and written where it is not
    there. None compares nothing."""

    def find(self, registry: Registry) -> Registered[PassSpec]:
        return registry.find(PassSpec, self.pass_name)

    def make_input(self, folder: Path) -> Artifact:
        """A small valid input, made in the folder (which does not exist yet)."""
        raise NotImplementedError(f"{type(self).__name__} has to define make_input(folder)")

    @pytest.fixture
    def source(self, place: Path, libraries: None) -> Artifact:
        return self.kept("source", lambda: self.make_input(place / "input"))

    @pytest.fixture
    def before(self, source: Artifact) -> dict[str, str]:
        """The content of the input, before anything ran."""
        return self.kept("before", lambda: content(_folders(source)))

    @pytest.fixture
    def plain(self, source: Artifact, before: dict[str, str], place: Path) -> Trial:
        """The first run."""
        order, around = self._order(source, place / "plain" / "job"), self._around(place / "plain", 1)
        return self.kept("plain", lambda: run_trial(order, around))

    @pytest.fixture
    def elsewhere(self, source: Artifact, plain: Trial, place: Path) -> Trial:
        """The second run, under other circumstances, after a first try that was killed half way."""
        return self.kept("elsewhere", lambda: self._run_elsewhere(source, plain, place / "else where"))

    def _run_elsewhere(self, source: Artifact, plain: Trial, folder: Path) -> Trial:
        order = self._order(relocated(source, folder / "another input"), folder / "another job")
        around = self._around(folder, 2, dict.fromkeys(plain.variables, "1"))
        if plain.progress > 1 and hasattr(os, "fork"):
            order = order.model_copy(update={"kill": True})
        elif plain.given:  # it never says how far it is: as if it had been killed just before its end
            shutil.copytree(plain.folder / "checkpoint", order.folder / "checkpoint", dirs_exist_ok=True)
        return run_trial(order, around)

    def _undisturbed(self, elsewhere: Trial, plain: Trial, place: Path) -> Trial:
        """A run of the same input at the same place, never killed: tells a fault that comes with the place
        from one of the resumption."""
        folder = place / "else where"
        order = Order.model_validate_json(order_file(elsewhere.folder).read_bytes())
        around = self._around(folder, 2, dict.fromkeys(plain.variables, "1"))
        order = order.model_copy(update={"kill": False, "folder": folder / "undisturbed job"})
        return self.kept("undisturbed", lambda: run_trial(order, around))

    def _order(self, source: Artifact, folder: Path) -> Order:
        file = inspect.getfile(type(self)) if self.data else ""
        return Order(
            kind="pass", name=self.pass_name, options=dict(self.options), model=source,
            folder=folder, data=(file, type(self).__qualname__),
        )  # fmt: skip

    def _around(
        self, folder: Path, hash_seed: int, variables: Mapping[str, str] | None = None
    ) -> TrialEnvironment:
        return TrialEnvironment(folder, hash_seed, variables or {})

    def test_its_formats_are_known(self, registered: Registered[PassSpec], registry: Registry) -> None:
        assert registered.spec.accepts
        for name in {*registered.spec.accepts, registered.spec.produces} - {"same"}:
            registry.find(FormatSpec, name)

    def test_it_gives_the_format_that_it_promises(self, plain: Trial) -> None:
        given(plain)  # the process has checked the format, the place and the files

    def test_its_plan_accepts_the_input(
        self, registered: Registered[PassSpec], source: Artifact, plain: Trial
    ) -> None:
        assert source.format in registered.spec.accepts
        assert planned(plain).problems == []

    def test_its_plan_is_light(self, plain: Trial) -> None:
        assert planned(plain).heavy == [], "a plan imports no library of models"
        assert planned(plain).seconds <= self.plan_seconds, "a plan has to be quick"

    def test_its_plan_is_true(self, registered: Registered[PassSpec], source: Artifact, plain: Trial) -> None:
        """What the plan said of format, size, meta and config is what came out."""
        said, came = planned(plain), given(plain)
        assert said.format == came.format
        if not registered.spec.plan:
            return
        if said.size:
            low, high = came.size / self.size_within, came.size * self.size_within
            assert low <= said.size <= high, f"planned {said.size} bytes, and {came.size} came"
        meta = from_json(Meta, came.meta).after(source.meta)
        assert _untrue(from_json(Meta, said.meta), meta) == [], "the plan's meta, and the result's"
        if came.config is not None:
            assert not (_differing(said.config, came.config) - self.config_beyond_plan), (
                "these keys of config.json are not as planned"
            )

    def test_its_meta_can_be_written(self, plain: Trial) -> None:
        assert given(plain).fault == "", "meta holds JSON values alone: text, numbers, lists, mappings"

    def test_it_requires_the_libraries_that_it_imports(
        self, registered: Registered[PassSpec], registry: Registry, plain: Trial
    ) -> None:
        given(plain)
        named = declared(registered, plain.opened, registry)
        found = undeclared(plain.libraries, named, registered.distribution)
        assert found == [], "name their distributions in `requires`: versions are part of the cache key"

    def test_it_opens_only_formats_that_it_takes_or_gives(
        self, registered: Registered[PassSpec], plain: Trial
    ) -> None:
        """A plan looks for the libraries of these, and the cache key holds their versions."""
        given(plain)
        assert set(plain.opened) <= {*registered.spec.accepts, registered.spec.produces}

    def test_it_reads_no_environment_variable(self, plain: Trial) -> None:
        """The cache key knows none of them: what decides the result has to be an option."""
        given(plain)
        assert sorted(set(plain.variables) - self.environment) == []

    def test_it_writes_to_its_own_folders_only(self, plain: Trial, place: Path) -> None:
        given(plain)
        assert strays(plain, self._around(place / "plain", 1)) == [], "write to ctx.out and ctx.scratch"

    def test_its_input_stays_as_it_is(
        self,
        source: Artifact,
        before: dict[str, str],
        plain: Trial,
        elsewhere: Trial,
        place: Path,
    ) -> None:
        assert content(_folders(source)) == before
        moved = place / "else where" / "another input"
        copied = [moved / Path(*["base"] * depth) / "model" for depth in range(len(_folders(source)))]
        assert content(copied) == before

    def test_the_same_input_gives_the_same_bytes_elsewhere(
        self, source: Artifact, plain: Trial, elsewhere: Trial, place: Path
    ) -> None:
        """Under another hash seed, path of the input, age of its files, time zone, working folder, home and
        environment."""
        first = given(plain)
        second = elsewhere
        if second.error or _bytes(second) != _bytes(plain):
            second = self._undisturbed(second, plain, place)  # the kill has a test of its own
        assert given(second).meta == first.meta
        assert _bytes(second) == _bytes(plain), _explain(plain, second, source)

    def test_it_goes_on_after_a_kill(self, plain: Trial, elsewhere: Trial, place: Path) -> None:
        """Killed half way and run again in the same job folder, it gives what an undisturbed run gives."""
        given(plain)
        assert elsewhere.killed is not False, "it was to be killed half way, and ended before"
        assert not elsewhere.error, f"it cannot go on from what it left in ctx.checkpoint:\n{elsewhere.error}"
        if _bytes(elsewhere) != _bytes(plain):
            undisturbed = self._undisturbed(elsewhere, plain, place)
            assert _bytes(elsewhere) == _bytes(undisturbed), "what it gives after a kill is not the same"

    def test_its_result_is_the_golden_one(self, registered: Registered[PassSpec], plain: Trial) -> None:
        if self.golden is None:
            pytest.skip("no golden result: `golden` names no folder")
        given(plain)
        file = self.golden / f"{type(self).__name__}.v{registered.spec.version}.json"
        compare_with_golden(file, {"out": plain.out}, tuple(required_names(registered.spec.requires)))


def given(trial: Trial) -> Given:
    """What came out. Fails the test when nothing did."""
    if trial.given is None:
        pytest.fail(f"It gave nothing.\n{trial.error}")
    return trial.given


def planned(trial: Trial) -> Planned:
    """What the plan said. Fails the test when it said nothing."""
    if trial.planned is None:
        pytest.fail(f"Its plan failed.\n{trial.error}")
    return trial.planned


def strays(trial: Trial, around: TrialEnvironment) -> list[str]:
    """Files that a run left where nothing of its may be."""
    job = trial.folder
    own = [job / name for name in ("out", "scratch", "checkpoint")]
    known = {job / "job.json", job / "events.jsonl", job.with_name(f"{job.name}.trial.json")}
    touched = {*map(Path, trial.written), *around.left_behind(), *(p for p in job.iterdir() if p.is_file())}
    return sorted(
        str(path)
        for path in touched - known
        if path.is_file() and not any(path.is_relative_to(folder) for folder in own)
    )


def _folders(source: Artifact) -> list[Path]:
    folders = [source.path]
    while source.base:
        source = source.base
        folders.append(source.path)
    return folders


def _bytes(trial: Trial) -> dict[str, str]:
    return content([trial.out])


def _untrue(said: Meta, came: Meta) -> list[str]:
    """What the plan said of the meta that is not so."""
    names = [f.name for f in fields(Meta) if f.name != "extra" and getattr(said, f.name)]
    wrong = [name for name in names if getattr(said, name) != getattr(came, name)]
    return wrong + [name for name, value in said.extra.items() if came.extra.get(name) != value]


def _differing(said: Mapping[str, JsonValue], came: Mapping[str, JsonValue], above: str = "") -> set[str]:
    """Keys with another value, or on one side only, of mappings too: with dots."""
    found: set[str] = set()
    for key in {*said, *came}:
        one, other = said.get(key), came.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            found |= _differing(one, other, f"{above}{key}.")
        elif one != other or (key in said) != (key in came):
            found.add(f"{above}{key}")
    return found


def _explain(first: Trial, second: Trial, source: Artifact) -> str:
    """Why two runs may differ, as far as it can be seen from outside."""
    one, two = _bytes(first), _bytes(second)
    differing = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
    reasons = [f"They differ in {', '.join(name.partition('/')[2] for name in differing)}."]
    paths = [str(source.path), str(first.folder)]
    for path in artifact_files(first.out):
        text = path.read_bytes()
        if any(known.encode() in text for known in paths):
            reasons.append(f"{path.name} holds a path of this machine.")
    if first.variables:
        reasons.append(f"It reads the environment: {', '.join(first.variables)}.")
    return " ".join(reasons)
