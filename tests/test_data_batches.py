"""Batches: over all ranks every sample once an epoch, and every batch a pure function of its number."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.utils.data import Dataset, TensorDataset

from poise.data import Batches, Indexable, indexable, load
from poise.data.batches import coin
from poise.errors import DataError


class Numbers:
    """Samples that are their own index, and a record of what was asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def tensor(self, indices: NDArray[np.integer]) -> torch.Tensor:
        return torch.from_numpy(indices).float()[:, None]


@st.composite
def arrangements(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Count, batch, ranks, seed."""
    count = draw(st.integers(1, 40))
    return count, draw(st.integers(1, count)), draw(st.integers(1, 4)), draw(st.integers(0, 2**40))


def shown(count: int, batch: int, ranks: int, seed: int, epochs: int) -> list[int]:
    """The items at all positions of the first epochs, put together from the batches of all ranks."""
    loaders = [Batches(Numbers(count), batch, seed=seed, rank=rank, ranks=ranks) for rank in range(ranks)]
    row: list[int] = []
    index = 0
    while len(row) < epochs * count:
        for loader in loaders:
            row += loader.batch(index)[:, 0].int().tolist()
        index += 1
    return row[: epochs * count]


@given(arrangements())
@settings(deadline=None)
def test_every_epoch_shows_every_item_once(arrangement: tuple[int, int, int, int]) -> None:
    count = arrangement[0]
    row = shown(*arrangement, epochs=4)
    for epoch in range(4):
        assert Counter(row[epoch * count : (epoch + 1) * count]) == Counter(range(count))


@given(arrangements(), st.integers(1, 4))
@settings(deadline=None)
def test_the_row_does_not_depend_on_how_it_is_cut(arrangement: tuple[int, int, int, int], ranks: int) -> None:
    count, batch, other_ranks, seed = arrangement
    assert shown(count, batch, other_ranks, seed, 3) == shown(count, 1, ranks, seed, 3)


@given(arrangements(), st.lists(st.integers(0, 10_000), min_size=1, max_size=8))
@settings(deadline=None)
def test_a_batch_is_a_function_of_its_number(arrangement: tuple[int, int, int, int], indices: list[int]) -> None:
    count, batch, ranks, seed = arrangement
    used = Batches(Numbers(count), batch, seed=seed, rank=ranks - 1, ranks=ranks)
    for index in indices:
        fresh = Batches(Numbers(count), batch, seed=seed, rank=ranks - 1, ranks=ranks)
        assert torch.equal(used.batch(index), fresh.batch(index))


def test_a_batch_may_straddle_epochs() -> None:
    batches = Batches(Numbers(5), 3)
    first, second = batches.batch(0)[:, 0].tolist(), batches.batch(1)[:, 0].tolist()
    assert sorted(first + second[:2]) == [0, 1, 2, 3, 4]
    assert batches.batch(10**12).shape == (3, 1)


def test_epochs_and_seeds_differ() -> None:
    one = shown(30, 10, 1, 0, 3)
    assert one[:30] != one[30:60] != one[60:]
    assert one != shown(30, 10, 1, 1, 3)


def test_permutations_are_made_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = np.random.Generator

    def counted(bits):
        made.append(1)
        return real(bits)

    monkeypatch.setattr(np.random, "Generator", counted)
    batches = Batches(Numbers(100), 7)
    for index in range(100):  # seven epochs
        batches.batch(index)
    assert len(made) == 7
    assert batches._permutation.cache_info().currsize == 2


def test_flips_are_fair_and_a_function_of_the_position() -> None:
    picture = np.zeros((3, 8, 8), np.uint8)
    picture[:, :, 0] = 255
    data = load(picture)
    batches = Batches(data, 3, flip=True)
    flipped = torch.cat([batches.batch(index)[:, 0, 0, -1] > 0 for index in range(2000)])
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(flipped, torch.from_numpy(coin(0, np.arange(6000))))
    halves = [Batches(data, 1, rank=rank, ranks=2, flip=True) for rank in range(2)]
    cut = torch.cat([half.batch(index)[:, 0, 0, -1] > 0 for index in range(100) for half in halves])
    assert torch.equal(cut, flipped[:200])
    assert not torch.equal(torch.from_numpy(coin(1, np.arange(6000))), flipped)


def test_flipping_mirrors_left_to_right_only() -> None:
    data = load(np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8))
    for plain, flipped, up in zip(
        Batches(data, 50).batch(3), Batches(data, 50, flip=True).batch(3), coin(0, np.arange(150, 200)), strict=True
    ):
        assert torch.equal(flipped, plain.flip(-1) if up else plain)


@pytest.mark.parametrize("lag", [1, 2, 3, 8])
def test_coins_are_not_correlated(lag: int) -> None:
    heads = coin(7, np.arange(100_000)).astype(float) - 0.5
    assert abs(np.mean(heads[lag:] * heads[:-lag])) * 4 < 0.015


@pytest.mark.parametrize(
    ("batch", "named", "words"),
    [
        (11, {}, r"batch is 11 and the data has only 10 samples; .*--set batch=10 or less"),
        (0, {}, "batch is 0; it must be at least 1"),
        (2, {"rank": 2, "ranks": 2}, "rank is 2 of 2"),
        (2, {"rank": -1}, "rank is -1 of 1"),
        (2, {"seed": -1}, "seed is -1"),
        (2, {"flip": True}, "flip is on, and the data is not pictures"),
    ],
)
def test_wrong_arguments_are_named(batch: int, named: dict[str, int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Batches(Numbers(10), batch, **named)


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(DataError, match="index of a batch is -1"):
        Batches(Numbers(3), 1).batch(-1)


class Pairs(Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((2,), float(index)), index


def test_samples_of_every_kind_are_indexable() -> None:
    rows = torch.arange(12.0).reshape(6, 2)
    indices = np.array([4, 0])
    for samples in (rows, rows.numpy(), rows.double().numpy(), TensorDataset(rows), list(rows)):
        made = indexable(samples)
        assert isinstance(made, Indexable)
        assert len(made) == 6
        assert torch.equal(made.tensor(indices), rows[[4, 0]])
    assert indexable(Pairs()).tensor(indices).tolist() == [[4, 4], [0, 0]]
    for doubles in (rows.double(), list(rows.double())):
        assert indexable(doubles).tensor(indices).dtype == torch.float32
    own = Numbers(3)
    assert indexable(own) is own
    assert torch.equal(Batches(rows, 6).batch(0).sort(0).values, rows)


def test_what_is_not_indexable_is_named() -> None:
    for wrong in (np.zeros((4, 8, 8), np.uint8), torch.zeros(4, 8, dtype=torch.int64), torch.zeros(4)):
        with pytest.raises(DataError, match=r"must be floating point, \(n, \.\.\.\).*poise.data.load"):
            indexable(wrong)
    with pytest.raises(DataError, match="object cannot be trained on"):
        indexable(object())
    with pytest.raises(
        DataError, match=r"item 1 of the list has type torch.uint8; items must be floating point, as the"
    ):
        indexable(list(torch.zeros(3, 8, dtype=torch.uint8))).tensor(np.array([1]))
    with pytest.raises(DataError, match=r"item 0 of the list is a str; items must be tensors"):
        indexable(["a"]).tensor(np.array([0]))
