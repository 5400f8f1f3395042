"""How samples are held, ordered and put into batches."""

from __future__ import annotations

import pytest

from modelpress.api import NO_LOSS, Sample

pytest.importorskip("torch")
from modelpress_plugins.lora.samples import Batches, EpochOrder, HeldSamples, TrainingSamples

X = NO_LOSS
SHORT = Sample([1, 5, 3], [X, X, 3], [1, 1, 1])
LONG = Sample([1, 6, 7, 8, 4, 2], [X, X, X, X, 4, 2])


def test_a_sample_comes_back_as_it_was_put_in() -> None:
    samples = TrainingSamples(HeldSamples([SHORT, LONG]))
    assert [[part.tolist() for part in samples[i]] for i in range(2)] == [
        [SHORT.input_ids, SHORT.labels],
        [LONG.input_ids, LONG.labels],
    ]
    assert samples.lengths == [3, 6]
    assert samples.highest_id == 8


@pytest.mark.parametrize("mask", [[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]], ids=["left", "right"])
def test_padding_of_a_sample_is_taken_out(mask: list[int]) -> None:
    ids = [9 if kept else 0 for kept in mask]
    samples = TrainingSamples(HeldSamples([Sample(ids, [9 if kept else X for kept in mask], mask)]))
    assert samples[0][0].tolist() == [9, 9, 9]
    assert samples[0][1].tolist() == [9, 9, 9]


def test_a_sample_whose_only_label_is_on_its_first_token_is_left_out() -> None:
    samples = HeldSamples([Sample([1, 2], [1, X]), SHORT])
    assert (len(samples), samples.skipped) == (1, 1)


def test_a_batch_is_padded_to_its_longest_with_no_loss_on_padding() -> None:
    batches = Batches(pad=0, trim=False)
    batch = batches(list(TrainingSamples(HeldSamples([SHORT, LONG]))))
    assert batch["input_ids"].tolist() == [[1, 5, 3, 0, 0, 0], LONG.input_ids]
    assert batch["labels"].tolist() == [[X, X, 3, X, X, X], LONG.labels]
    assert set(batch) == {"input_ids", "labels"}
    assert batches.tokens == 9


def test_a_trimmed_batch_asks_for_logits_where_a_next_token_is_learned() -> None:
    batch = Batches(pad=0, trim=True)(list(TrainingSamples(HeldSamples([SHORT, LONG]))))
    assert batch["logits_to_keep"].tolist() == [1, 3, 4]
    assert batch["shift_labels"].tolist() == [[3, X, X], [X, 4, 2]]


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_the_order_is_made_of_seed_and_epoch(strategy: str) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        made = EpochOrder(list(range(1, 101)), strategy, seed, group=4)
        made.epoch = epoch
        return list(made)

    assert sorted(order(0, 0)) == list(range(100))
    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(5, 1)


def test_grouped_samples_of_a_step_are_of_like_length() -> None:
    lengths = list(range(1, 65)) * 4
    indices = list(EpochOrder(lengths, "group_by_length", seed=0, group=8))
    spreads = [
        max(lengths[i] for i in step) - min(lengths[i] for i in step)
        for step in (indices[at : at + 8] for at in range(0, len(indices), 8))
    ]
    assert sum(spreads) / len(spreads) < 8


def test_the_sequential_order_is_that_of_the_data() -> None:
    assert list(EpochOrder([3, 1, 2], "sequential", seed=0, group=2)) == [0, 1, 2]
