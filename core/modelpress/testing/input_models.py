"""The tests that every way to name an input model has to stand.

class TestAcmeModel(ModelContract):
    model_name = "AcmeModel"

    def make_options(self, folder):
        ...  # write a small model into the folder
        return {"model_path": str(folder)}
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import JsonValue

from modelpress.artifact import NO_META
from modelpress.context import ModelFacts
from modelpress.identity import content_identity
from modelpress.registry import Registered, Registry
from modelpress.specs import ANY_FORMAT, FormatSpec, ModelSpec
from modelpress.testing.context import RecordingPlan
from modelpress.testing.contract import Contract


class ModelContract(Contract[ModelSpec]):
    """Subclass it in a test module and make a model; pytest does the rest."""

    model_name: ClassVar[str] = ""

    def make_options(self, folder: Path) -> Mapping[str, JsonValue]:
        """Options that name a small model, made in the folder (which does not exist yet)."""
        raise NotImplementedError(f"{type(self).__name__} has to define make_options(folder)")

    def find(self, registry: Registry) -> Registered[ModelSpec]:
        return registry.find(ModelSpec, self.model_name)

    def some_options(self, folder: Path) -> Mapping[str, JsonValue]:
        return self.kept("options", lambda: self.make_options(folder / "model"))

    def light_references(self, spec: ModelSpec) -> list[str]:
        return [spec.open, *filter(None, [spec.config])]

    def _open(
        self, registered: Registered[ModelSpec], values: Mapping[str, JsonValue], folder: Path
    ) -> tuple[ModelFacts | None, RecordingPlan]:
        context = RecordingPlan(folder)
        return registered.resolve(registered.spec.open)(self.parsed(registered, values), context), context

    @pytest.fixture
    def facts(self, registered: Registered[ModelSpec], place: Path) -> ModelFacts:
        """What it knows of the model."""
        found, context = self._open(registered, self.some_options(place), place)
        assert context.problems == []
        assert found is not None, "it told no problem, and gave no facts"
        return found

    def test_it_gives_the_format_that_it_promises(
        self, registered: Registered[ModelSpec], registry: Registry, facts: ModelFacts
    ) -> None:
        promised = registered.spec.produces
        if promised != ANY_FORMAT:
            registry.find(FormatSpec, promised)
        assert facts.format in {entry.spec.name for entry in registry.all(FormatSpec)}

    def test_what_it_found_is_a_whole_model(self, registry: Registry, facts: ModelFacts) -> None:
        if facts.path is None:
            pytest.skip("the model has to be fetched")
        entry = registry.find(FormatSpec, facts.format)
        entry.resolve(entry.spec.check)(facts.path)
        size = sum(path.stat().st_size for path in facts.path.rglob("*") if path.is_file())
        assert facts.size == 0 or size / 2 <= facts.size <= size * 2

    def test_its_facts_can_be_written(self, facts: ModelFacts) -> None:
        meta = asdict(facts.meta)
        assert json.loads(json.dumps(meta)) == meta
        json.dumps(dict(facts.config))

    def test_it_is_the_same_model_every_time(
        self, registered: Registered[ModelSpec], facts: ModelFacts, place: Path
    ) -> None:
        again, _ = self._open(registered, self.some_options(place), place)
        assert again == facts

    def test_the_same_model_elsewhere_has_the_same_identity(
        self, registered: Registered[ModelSpec], facts: ModelFacts, tmp_path: Path
    ) -> None:
        """Its path is no part of what it is. (An identity left out is made of the content.)"""
        other, _ = self._open(registered, self.make_options(tmp_path / "elsewhere"), tmp_path)
        assert other is not None
        assert _identity(other) == _identity(facts)

    def test_a_model_that_is_not_there_is_told_and_not_raised(
        self, registered: Registered[ModelSpec], tmp_path: Path
    ) -> None:
        values = self.make_options(tmp_path / "gone")
        for path in tmp_path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        found, context = self._open(registered, values, tmp_path)
        if registered.spec.fetch and found is not None and found.path is None:
            return  # to be fetched
        assert context.problems, "nothing was told of a model that is not there"


def _identity(facts: ModelFacts) -> ModelFacts:
    """The facts without the place."""
    identity = facts.identity
    if not identity and facts.path is not None:
        identity = content_identity(facts.path)
    base = _identity(facts.base) if facts.base else None
    return replace(facts, identity=identity, path=None, base=base, meta=NO_META)
