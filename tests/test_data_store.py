"""Where samples lie: whichever way they take to the device, a batch holds the same bits, and no thread stays behind."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

import poise.data.batches
from poise import Trainer
from poise.data import Batches, Data, Scaling, load
from poise.data.ahead import Ahead
from poise.data.indexable import Rows, indexable
from poise.data.scaling import centered, standardized
from poise.data.store import RESIDENT_SHARE, Asked, Resident, Store, Streamed, send, store
from poise.trainer import make_fabric

CPU, CUDA = torch.device("cpu"), torch.device("cuda")

WAYS: dict[str, Callable[[Data], Store]] = {
    "resident": lambda data: Resident(data, CPU),
    "streamed": lambda data: Streamed(data, CPU, ahead=0),
    "ahead": lambda data: Streamed(data, CPU, ahead=3),
}


def images(tmp_path: Path) -> Data:
    """Pictures in a memory map, as the cache gives them."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8))
    return load(tmp_path / "x.npy", cache=tmp_path / "cache")


def vectors(tmp_path: Path) -> Data:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(3, 2, (50, 3)))
    return load(tmp_path / "x.npy", cache=tmp_path / "cache")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("poise-ahead")]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch takes this way, with the CPU as the device."""
    chosen = WAYS[request.param]
    monkeypatch.setattr(
        poise.data.batches,
        "store",
        lambda data, device, labelled: chosen(data) if isinstance(data, Data) else store(data, device),
    )


@pytest.mark.parametrize(("make", "flip"), [(images, False), (images, True), (vectors, False)])
def test_every_way_gives_the_same_bits(way: object, make: Callable[[Path], Data], flip: bool, tmp_path: Path) -> None:
    data = make(tmp_path)
    batches = Batches(data, 16, seed=3, flip=flip)
    plain = Batches(Only(data), 16, seed=3, flip=flip)
    with batches.reading() as batch:
        for index in (0, 1, 2, 3, 9, 2, 100):  # in sequence over the end of an epoch, and not
            got = batch(index)
            assert torch.equal(got, plain.batch(index))
            assert torch.equal(got, batches.batch(index))
            assert got.dtype == torch.float32
            assert got.ndim == 2 or got.is_contiguous(memory_format=torch.channels_last)
            got.zero_()  # the caller may write to it
    assert threads() == []


def test_scaling_on_a_device_gives_the_same_bits(tmp_path: Path) -> None:
    data = images(tmp_path)
    on_device = centered(torch.from_numpy(data.array.copy()), torch.tensor(127.5))
    assert torch.equal(on_device, data.tensor(np.arange(len(data))))
    assert on_device.is_contiguous(memory_format=torch.channels_last)
    points = vectors(tmp_path)
    columns = torch.from_numpy(points.center), torch.from_numpy(points.scale)
    assert torch.equal(standardized(torch.from_numpy(points.array.copy()), *columns), points.tensor(np.arange(50)))
    meta = torch.device("meta")  # what it takes is put where it will be needed
    assert points.scaling.on(meta).keywords["center"].device == meta
    assert data.scaling.on(meta).keywords["half"].device == meta


class Only:
    """Samples of which nothing is known but what they are."""

    def __init__(self, data: Data) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def tensor(self, indices: Any) -> torch.Tensor:
        return self.data.tensor(indices)


def test_flipping_leaves_the_samples_of_others_alone() -> None:
    pictures = torch.randn(4, 1, 2, 2)
    before = pictures.clone()

    class Same:
        def __len__(self) -> int:
            return 4

        def tensor(self, indices: Any) -> torch.Tensor:
            return pictures

    batches = Batches(Same(), 4, flip=True)
    assert any(not torch.equal(batches.batch(index), before) for index in range(4))
    assert torch.equal(pictures, before)


# Which way is taken.


def pretend_free(monkeypatch: pytest.MonkeyPatch, nbytes: float) -> None:
    """A GPU with so much free memory, which is really the CPU's."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(nbytes), 10**12))
    monkeypatch.setattr("poise.data.store.Resident", lambda data, device: Resident(data, CPU))


def test_what_fits_is_kept_on_the_device_as_it_is_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = images(tmp_path)
    pretend_free(monkeypatch, data.array.nbytes / RESIDENT_SHARE)
    kept = store(data, CUDA)
    assert isinstance(kept, Resident)
    assert (kept.rows.dtype, kept.rows.shape, kept.ahead) == (torch.uint8, (50, 8, 8, 3), 0)
    tensor = Rows(torch.randn(5, 3))
    assert isinstance(store(tensor, CUDA), Resident)


def test_what_does_not_fit_is_streamed_and_read_ahead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = images(tmp_path)
    pretend_free(monkeypatch, data.array.nbytes / RESIDENT_SHARE - 8)
    monkeypatch.setattr(Scaling, "on", lambda scaling, device: None)
    streamed = store(data, CUDA)
    assert isinstance(streamed, Streamed)
    assert streamed.ahead > 1
    assert isinstance(store(Rows(torch.randn(5000, 3)), CUDA), Asked)


def test_on_the_cpu_the_memory_map_is_used_as_it_lies(tmp_path: Path) -> None:
    data = images(tmp_path)
    for kept in (store(data), store(data, CPU)):
        assert isinstance(kept, Streamed)
        assert kept.ahead == 0
        assert np.shares_memory(kept.array, data.array)
    rows = torch.randn(5, 3)
    kept = store(indexable(rows), CPU)
    assert isinstance(kept, Resident)
    assert kept.rows.data_ptr() == rows.data_ptr()


def test_a_gpu_copies_from_pinned_memory_without_a_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pinned, sent = [], []
    empty = torch.empty
    monkeypatch.setattr(
        torch, "empty", lambda *a, pin_memory=False, **k: (pinned.append(pin_memory), empty(*a, **k))[1]
    )
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: (pinned.append("copy"), tensor)[1])
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, non_blocking: sent.append((device, non_blocking)))
    data = images(tmp_path)
    monkeypatch.setattr(Scaling, "on", lambda scaling, device: lambda rows: rows)
    streamed = Streamed(data, CUDA, ahead=1)
    begun = streamed.begin(np.array([3, 1]), None)
    assert pinned == [True]
    assert np.array_equal(begun.samples.numpy(), data.array[[3, 1]])
    streamed.end(begun)
    send(torch.zeros(2), CUDA)
    assert pinned == [True, "copy", "copy"]
    assert sent == [(CUDA, True)] * 2


def test_large_data_is_copied_in_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = images(tmp_path)
    monkeypatch.setattr("poise.data.store._BLOCK_BYTES", 3 * data.array[0].nbytes)
    assert np.array_equal(Resident(data, CPU).rows.numpy(), data.array)


# Reading ahead.


def test_what_follows_is_made_meanwhile_in_order_and_once() -> None:
    made: list[int] = []
    third = threading.Event()

    def make(index: int) -> int:
        made.append(index)
        if index == 2:
            third.set()
        return 10 * index

    ahead = Ahead(make, 2)
    try:
        assert ahead(0) == 0
        assert third.wait(10)  # without being asked for
        assert [ahead(index) for index in range(1, 6)] == [10, 20, 30, 40, 50]
        assert ahead(100) == 1000
        assert ahead(5) == 50
    finally:
        ahead.close()
    assert [index for index in made if index < 6][:6] == [0, 1, 2, 3, 4, 5]
    assert threads() == []


def test_what_fails_ahead_is_raised_when_it_is_asked_for() -> None:
    def make(index: int) -> int:
        if index == 2:
            raise OSError("the disk is gone")
        return index

    ahead = Ahead(make, 3)
    try:
        assert [ahead(0), ahead(1)] == [0, 1]
        with pytest.raises(OSError, match="the disk is gone"):
            ahead(2)
        assert ahead(3) == 3
    finally:
        ahead.close()


def test_closing_waits_only_for_what_is_under_way() -> None:
    begun, go_on, made = threading.Event(), threading.Event(), []

    def make(index: int) -> int:
        if index == 1:
            begun.set()
            go_on.wait(10)
        made.append(index)
        return index

    ahead = Ahead(make, 4)
    ahead(0)
    assert begun.wait(10)
    closing = threading.Thread(target=ahead.close)
    closing.start()
    go_on.set()
    closing.join(10)
    assert not closing.is_alive()
    assert set(made) <= {0, 1, 2}
    assert threads() == []


# Through the trainer.


def trainer() -> Trainer:
    torch.manual_seed(0)
    networks = nn.Linear(2, 3), nn.Linear(3, 1)
    return Trainer(*networks, z_dim=2, fabric=make_fabric("cpu"))


@pytest.mark.parametrize("error", [None, OSError, KeyboardInterrupt])
def test_no_thread_outlives_fit(error: type[BaseException] | None, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(poise.data.batches, "store", lambda data, device, labelled: WAYS["ahead"](data))
    seen: list[int] = []

    class Watching:
        def start(self, it: Trainer) -> None: ...
        def end(self, it: Trainer) -> None: ...
        def after_step(self, it: Trainer) -> None:
            seen.append(len(threads()))
            if error is not None and it.steps == 3:
                raise error

    it = trainer()
    if error is None:
        it.fit(vectors(tmp_path), steps=5, batch=8, hooks=[Watching()])
    else:
        with pytest.raises(error) as raised:  # whose traceback keeps what fit had
            it.fit(vectors(tmp_path), steps=5, batch=8, hooks=[Watching()])
        assert raised.value is not None
    assert set(seen) == {1}
    assert threads() == []


def test_every_way_trains_the_same_and_resumes_exactly(
    way: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = vectors(tmp_path)
    straight, first, second = trainer(), trainer(), trainer()
    straight.fit(data, steps=9, batch=16)
    first.fit(data, steps=4, batch=16)
    second.load_state_dict(first.state_dict())
    second.fit(data, steps=9, batch=16)
    monkeypatch.undo()
    plain = trainer()
    plain.fit(data, steps=9, batch=16)
    for one, other, third in zip(
        straight.generator.parameters(), second.generator.parameters(), plain.generator.parameters(), strict=True
    ):
        assert torch.equal(one, other)
        assert torch.equal(one, third)


def test_data_sets_that_draw_are_read_in_the_thread_that_trains() -> None:
    class Drawing(Dataset):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> torch.Tensor:
            assert threading.current_thread() is threading.main_thread()
            return torch.randn(3)

    assert store(indexable(Drawing()), CUDA).ahead == 0
    trainer().fit(Drawing(), steps=2, batch=4)
