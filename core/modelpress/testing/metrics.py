"""The tests that every metric has to stand.

class TestAcmeCount(MetricContract):
    metric_name = "acme_count"

    def make_input(self, folder):
        return input_artifact(make_tiny_model(folder), "hf-model")
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from modelpress.artifact import Artifact
from modelpress.registry import Registered, Registry
from modelpress.samples import DataSource
from modelpress.specs import FormatSpec, MetricSpec
from modelpress.testing.contract import Contract, content
from modelpress.testing.libraries import declared, undeclared
from modelpress.testing.passes import given, strays
from modelpress.testing.trial import Order, Trial, TrialEnvironment, relocated, run_trial


class MetricContract(Contract[MetricSpec]):
    """Subclass it in a test module and make a model; pytest does the rest."""

    metric_name: ClassVar[str] = ""
    data: ClassVar[Mapping[str, DataSource]] = {}
    """What `ctx.data(role)` gives, by role. The test's file is imported for it in another process."""
    exact: ClassVar[bool] = True
    """Whether the same model gives the same numbers every time. False for what measures time."""
    environment: ClassVar[frozenset[str]] = frozenset()
    """Environment variables that its code may read because the result does not depend on them."""

    def make_input(self, folder: Path) -> Artifact:
        """A small model to be measured, made in the folder (which does not exist yet)."""
        raise NotImplementedError(f"{type(self).__name__} has to define make_input(folder)")

    def find(self, registry: Registry) -> Registered[MetricSpec]:
        return registry.find(MetricSpec, self.metric_name)

    @pytest.fixture
    def source(self, place: Path, libraries: None) -> Artifact:
        return self.kept("source", lambda: self.make_input(place / "input"))

    @pytest.fixture
    def plain(self, source: Artifact, place: Path) -> Trial:
        """The first measurement, in a process of its own."""
        return self.kept("plain", lambda: self._measure(source, TrialEnvironment(place / "plain", 1, {})))

    def _measure(self, source: Artifact, around: TrialEnvironment) -> Trial:
        file = inspect.getfile(type(self)) if self.data else ""
        order = Order(
            kind="metric", name=self.metric_name, options=dict(self.options), model=source,
            folder=around.folder / "job", data=(file, type(self).__qualname__),
        )  # fmt: skip
        return run_trial(order, around)

    def test_its_formats_are_known(self, registered: Registered[MetricSpec], registry: Registry) -> None:
        for name in registered.spec.formats:
            registry.find(FormatSpec, name)

    def test_it_gives_the_numbers_that_it_promises(
        self, registered: Registered[MetricSpec], source: Artifact, plain: Trial
    ) -> None:
        assert not registered.spec.formats or source.format in registered.spec.formats
        numbers = given(plain).numbers
        assert numbers
        known = set(numbers) if registered.spec.open_ended else set(registered.spec.gives)
        assert set(numbers) <= known, "each name has to be in the spec's `gives`"
        assert [name for name, value in numbers.items() if not math.isfinite(value)] == []

    def test_it_says_what_its_numbers_mean(self, registered: Registered[MetricSpec]) -> None:
        assert registered.spec.gives or registered.spec.open_ended
        for unit, higher_is_better in registered.spec.gives.values():
            assert isinstance(unit, str)
            assert isinstance(higher_is_better, bool)

    def test_it_requires_the_libraries_that_it_imports(
        self, registered: Registered[MetricSpec], registry: Registry, plain: Trial
    ) -> None:
        given(plain)
        named = declared(registered, plain.opened, registry)
        assert undeclared(plain.libraries, named, registered.distribution) == []

    def test_it_reads_no_environment_variable(self, plain: Trial) -> None:
        given(plain)
        assert sorted(set(plain.variables) - self.environment) == []

    def test_it_leaves_nothing_behind(self, source: Artifact, plain: Trial, place: Path) -> None:
        given(plain)
        assert strays(plain, TrialEnvironment(place / "plain", 1, {})) == []

    def test_the_same_model_gives_the_same_numbers_elsewhere(
        self, source: Artifact, plain: Trial, place: Path
    ) -> None:
        """Under another hash seed, path of the model, working folder and home; the model stays as it is."""
        before = content([source.path])
        moved = relocated(source, place / "else where" / "another model")
        second = self._measure(moved, TrialEnvironment(place / "else where", 2, {}))
        assert set(given(second).numbers) == set(given(plain).numbers)
        assert not self.exact or given(second).numbers == given(plain).numbers
        assert content([moved.path]) == before
