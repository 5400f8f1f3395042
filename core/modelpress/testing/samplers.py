"""The tests that every sampler has to stand.

class TestAcmeGrid(SamplerContract):
    sampler_name = "acme_grid"
"""

from __future__ import annotations

from random import Random
from typing import ClassVar

from modelpress.context import Candidate, Sampler, SearchSpace
from modelpress.registry import Registered, Registry
from modelpress.specs import SamplerSpec
from modelpress.testing.contract import Contract


class SamplerContract(Contract[SamplerSpec]):
    """Subclass it in a test module; pytest does the rest."""

    sampler_name: ClassVar[str] = ""
    space: ClassVar[SearchSpace] = SearchSpace(
        axes={"passes.quantize.bits": (2, 4, 8), "passes.quantize.group_size": (32, 128)},
        goals={"perplexity": False, "accuracy": True},
    )
    """What is searched."""
    most: ClassVar[int] = 500
    """Candidates after which a search of this space has to have ended."""

    def find(self, registry: Registry) -> Registered[SamplerSpec]:
        return registry.find(SamplerSpec, self.sampler_name)

    def _open(self, registered: Registered[SamplerSpec]) -> Sampler:
        return registered.resolve(registered.spec.open)(self.parsed(registered), self.space)

    def _search(self, registered: Registered[SamplerSpec], *, failing: bool = False) -> list[Candidate]:
        """Every candidate of a search, each told numbers that follow from it alone."""
        sampler, found = self._open(registered), []
        while (candidate := sampler.ask()) is not None:
            found.append(candidate)
            assert len(found) <= self.most, f"it goes on after {self.most} candidates"
            chance = Random(repr(sorted(candidate.items())))
            numbers = {goal: chance.random() for goal in self.space.goals}
            sampler.tell(candidate, None if failing else numbers)
        return found

    def test_it_chooses_from_what_is_allowed(
        self, registered: Registered[SamplerSpec], libraries: None
    ) -> None:
        found = self._search(registered)
        assert found, "it tries nothing"
        for candidate in found:
            assert set(candidate) == set(self.space.axes)
            assert all(value in self.space.axes[axis] for axis, value in candidate.items())

    def test_the_same_search_goes_the_same_way(
        self, registered: Registered[SamplerSpec], libraries: None
    ) -> None:
        assert self._search(registered) == self._search(registered), "every choice follows from the seed"

    def test_it_goes_on_when_candidates_cannot_be_made(
        self, registered: Registered[SamplerSpec], libraries: None
    ) -> None:
        assert len(self._search(registered, failing=True)) > 1

    def test_several_may_be_under_way(self, registered: Registered[SamplerSpec], libraries: None) -> None:
        sampler = self._open(registered)
        first, second = sampler.ask(), sampler.ask()
        assert first is not None
        for candidate in filter(None, (second, first)):
            sampler.tell(candidate, dict.fromkeys(self.space.goals, 0.5))
        sampler.ask()
