"""The tests that every sampler has to stand.

class TestAcmeGrid(SamplerContract):
    sampler_name = "acme_grid"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import ClassVar

from modelpress.registry import Registered, Registry
from modelpress.search import Axis, Candidate, Outcome, Sampler, SearchSpace, TriedCandidate
from modelpress.specs import SamplerSpec
from modelpress.testing.contract import Contract


class SamplerContract(Contract[SamplerSpec]):
    """Subclass it in a test module; pytest does the rest."""

    sampler_name: ClassVar[str] = ""
    space: ClassVar[SearchSpace] = SearchSpace(
        axes=(
            Axis("passes.quantize", ("Rtn", "Gptq")),
            Axis("passes.quantize.bits", (2, 4, 8)),
            Axis("passes.quantize.damp", (0.01, 0.1), when={"passes.quantize": ("Gptq",)}),
        ),
        objectives={"perplexity": False, "accuracy": True},
        goals=1,
    )
    """What is searched."""
    most: ClassVar[int] = 500
    """Candidates after which a search of this space has to have ended."""

    def find(self, registry: Registry) -> Registered[SamplerSpec]:
        return registry.find(SamplerSpec, self.sampler_name)

    def _open(self, registered: Registered[SamplerSpec], space: SearchSpace | None = None) -> Sampler:
        return registered.call(registered.spec.open, self.parsed(registered), space or self.space)

    def _outcome(self, candidate: Candidate) -> Outcome:
        """Numbers that follow from the candidate alone."""
        chance = Random(repr(sorted(candidate.items())))
        numbers = {name: chance.random() for name in self.space.objectives}
        return Outcome(numbers, tuple(chance.random() - 0.5 for _ in range(self.space.goals)))

    def _search(
        self, registered: Registered[SamplerSpec], space: SearchSpace | None = None, *, failing: bool = False
    ) -> list[Candidate]:
        """Every candidate of a search, told in turn."""
        sampler, found = self._open(registered, space), []
        while (candidate := sampler.ask()) is not None:
            found.append(candidate)
            assert len(found) <= self.most, f"it goes on after {self.most} candidates"
            sampler.tell(candidate, None if failing else self._outcome(candidate))
        return found

    def test_it_chooses_from_what_is_allowed(
        self, registered: Registered[SamplerSpec], libraries: None
    ) -> None:
        found = self._search(registered)
        assert found, "it tries nothing"
        for candidate in found:
            active = [axis for axis in self.space.axes if axis.is_active(candidate)]
            assert set(candidate) == {axis.name for axis in active}, "the axes that are active, no others"
            assert all(candidate[axis.name] in axis.values for axis in active if axis.values)

    def test_no_candidate_is_tried_twice(self, registered: Registered[SamplerSpec], libraries: None) -> None:
        assert _repeated(self._search(registered)) == []

    def test_the_same_search_goes_the_same_way(
        self, registered: Registered[SamplerSpec], libraries: None
    ) -> None:
        assert self._search(registered) == self._search(registered), "every choice follows from the seed"

    def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(
        self, registered: Registered[SamplerSpec], libraries: None, tmp_path: Path
    ) -> None:
        whole = self._search(registered)
        for done in {1, len(whole) // 2, len(whole)}:
            tried = [TriedCandidate(candidate, self._outcome(candidate)) for candidate in whole[:done]]
            space = replace(self.space, tried=tried, folder=tmp_path)
            assert self._search(registered, space) == whole[done:], f"after {done} candidates"

    def test_it_goes_on_with_what_was_under_way(
        self, registered: Registered[SamplerSpec], libraries: None, tmp_path: Path
    ) -> None:
        """Three at once: the n-th is asked for when all but the last two before it were told."""
        space = replace(self.space, at_once=3)
        whole = self._search_at_once(registered, space)
        for done in {3, len(whole) // 2}:
            tried = [TriedCandidate(candidate, self._outcome(candidate)) for candidate in whole[: done - 2]]
            again = replace(space, tried=tried, pending=whole[done - 2 : done], folder=tmp_path)
            assert self._search_at_once(registered, again) == whole[done:], f"after {done} candidates"

    def _search_at_once(self, registered: Registered[SamplerSpec], space: SearchSpace) -> list[Candidate]:
        sampler, under_way, found = self._open(registered, space), [*space.pending], list[Candidate]()
        while len(found) <= self.most:
            if len(under_way) >= space.at_once:
                first = under_way.pop(0)
                sampler.tell(first, self._outcome(first))
            if (candidate := sampler.ask()) is None:
                break
            under_way.append(candidate)
            found.append(candidate)
        return found

    def test_what_was_not_measured_is_no_obstacle(
        self, registered: Registered[SamplerSpec], libraries: None
    ) -> None:
        """Of a candidate that could not be chosen, some numbers are not there."""
        sampler = self._open(registered)
        for number in range(4):
            if (candidate := sampler.ask()) is not None:
                known = dict(list(self._outcome(candidate).numbers.items())[: number % 2])
                sampler.tell(candidate, Outcome(known, (0.5,) * self.space.goals))

    def test_it_goes_on_when_candidates_cannot_be_made(
        self, registered: Registered[SamplerSpec], libraries: None
    ) -> None:
        assert len(self._search(registered, failing=True)) > 1

    def test_several_may_be_under_way(self, registered: Registered[SamplerSpec], libraries: None) -> None:
        sampler = self._open(registered)
        first, second = sampler.ask(), sampler.ask()
        assert first is not None
        assert first != second
        for candidate in filter(None, (second, first)):
            sampler.tell(candidate, self._outcome(candidate))
        sampler.ask()


def _repeated(found: Sequence[Candidate]) -> list[Candidate]:
    return [candidate for number, candidate in enumerate(found) if candidate in found[:number]]
