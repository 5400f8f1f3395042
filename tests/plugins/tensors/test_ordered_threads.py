"""Work on strips of a tensor in threads: results in order, few ahead of the caller, nothing left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

from modelpress_plugins.tensors.ordered_threads import StripThreads  # noqa: E402


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """As many threads as torch is told to use."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_strips(threads: int) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    with StripThreads() as pool:
        assert list(pool.map(slow_first, range(20))) == [n * n for n in range(20)]


def test_the_same_pool_does_one_tensor_after_the_other(threads: int) -> None:
    with StripThreads() as pool:
        assert [list(pool.map(str, range(n))) for n in (0, 1, 3)] == [[], ["0"], ["0", "1", "2"]]


def test_a_lone_strip_stays_with_the_caller_and_all_of_torchs_threads(threads: int) -> None:
    with StripThreads() as pool:
        (seen,) = pool.map(lambda _: (threading.get_ident(), torch.get_num_threads()), [0])
    assert seen == (threading.get_ident(), threads)


def test_each_of_several_strips_has_one_thread_of_torchs(threads: int) -> None:
    with StripThreads() as pool:
        seen = list(pool.map(lambda _: (threading.get_ident(), torch.get_num_threads()), range(6)))
    assert {count for _, count in seen} == {1}
    assert threading.get_ident() not in {thread for thread, _ in seen}
    assert len({thread for thread, _ in seen}) <= threads


def test_torch_has_its_threads_again_afterwards(threads: int) -> None:
    with StripThreads() as pool:
        list(pool.map(str, range(4)))
    assert torch.get_num_threads() == threads


def test_no_more_strips_are_begun_than_the_caller_can_follow(threads: int) -> None:
    begun: list[int] = []

    def strips() -> Iterator[int]:
        for number in range(1000):
            begun.append(number)
            yield number

    with StripThreads() as pool:
        results = pool.map(lambda number: number, strips())
        for _ in range(5):
            next(results)
        assert len(begun) <= 5 + 2 * threads + 2
        results.close()  # type: ignore[attr-defined]


def test_an_error_is_raised_in_its_turn_and_ends_the_rest(threads: int) -> None:
    done: list[int] = []

    def fail_at_three(number: int) -> int:
        if number == 3:
            raise ValueError("strip 3")
        done.append(number)
        return number

    with StripThreads() as pool:
        results = pool.map(fail_at_three, range(1000))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ValueError, match="strip 3"):
            next(results)
    assert len(done) < 1000


def test_the_same_bits_whatever_the_number_of_threads(threads: int) -> None:
    weight = torch.arange(4096, dtype=torch.float32).view(64, 64).sin()
    with StripThreads() as pool:
        found = torch.cat(list(pool.map(lambda at: weight[at : at + 8].exp().cumsum(1), range(0, 64, 8))))
    torch.set_num_threads(1)
    assert torch.equal(found, torch.cat([weight[at : at + 8].exp().cumsum(1) for at in range(0, 64, 8)]))
