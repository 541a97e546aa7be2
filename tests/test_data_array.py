"""Arrays: every shape, type and range that is accepted, and the words for those that are not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from poise.data import load
from poise.data.array import as_pictures, levels
from poise.errors import DataError

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
BYTES[0, 0, 0] = [0, 255, 128]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 8, 9), (4, 8, 9, 1)),
        ((4, 8, 9, 3), (4, 8, 9, 3)),
        ((4, 3, 8, 9), (4, 8, 9, 3)),
        ((4, 1, 8, 9), (4, 8, 9, 1)),
        ((4, 4, 8, 4), (4, 4, 8, 4)),
        ((4, 3, 8, 1), (4, 3, 8, 1)),
    ],
)
def test_channels_are_found(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert as_pictures(np.zeros(shape), "a").shape == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (BYTES, BYTES),
        (BYTES.astype(np.int64), BYTES),
        (BYTES.astype(np.float32), BYTES),
        (BYTES / 255, BYTES),
        (BYTES / 255 + 2e-4, BYTES),
        ((BYTES / 255).astype(np.float16), BYTES),
        (BYTES / 127.5 - 1, BYTES),
        ((BYTES / 127.5 - 1).astype(np.float32) * np.float32(1.0002), BYTES),
        (BYTES.astype(np.uint16) * 257, BYTES),
        ((BYTES.astype(np.uint16) * 257).astype(">u2"), BYTES),
        (BYTES > 100, np.where(BYTES > 100, 255, 0)),
        (BYTES + np.float32(0.3), BYTES),
    ],
)
def test_every_range_becomes_bytes(values: NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_array_equal(load(np.minimum(values, 255) if values.dtype.kind == "f" else values).array, expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (BYTES * 2.0, r"float64 from 0 to 510; allowed are .* \[0, 1\], \[-1, 1\] or \[0, 255\]"),
        (BYTES.astype(np.int32) - 1, "int32 from -1 to 254"),
        (BYTES.astype(np.float32) - 128, "float32 from -128 to 127"),
        (BYTES / 200, "float64 from 0 to 1.275"),
        (
            BYTES.astype(np.uint16),
            "uint16 and none is above 255; taken as 16 bits, all would be nearly black: give them",
        ),
        (BYTES + 0j, "complex128; they must be integers, floats or bool"),
        (np.where(np.arange(4)[:, None, None, None] == 2, np.nan, BYTES / 255), "picture 2 holds NaN or infinity"),
    ],
)
def test_other_ranges_are_refused(values: NDArray[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(values)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((7,), r"rank 1, shape \(7,\); allowed are rank 2, vectors .* rank 3, gray .* rank 4"),
        ((2, 3, 4, 5, 6), "rank 5"),
        ((4, 8, 9, 2), r"neither its last nor its second axis holds channels; .* 1, 3 or 4"),
        ((4, 0, 9, 3), "no pixels"),
        ((1, 8, 8), "at least 2 samples"),
        ((0, 5), "at least 2 samples"),
        ((5, 0), "must have columns"),
    ],
)
def test_other_shapes_are_refused(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(np.zeros(shape))


def test_uint8_is_never_rescaled() -> None:
    assert levels(np.array([[0, 1]], np.uint8), "a") == (1, 0)


def test_a_gray_tensor_and_a_gray_array_agree() -> None:
    array = load(BYTES[..., 0])
    tensor = load(torch.from_numpy(BYTES[..., 0].copy())[:, None])
    assert array.shape == tensor.shape == (1, 16, 16)
    assert array.fingerprint == tensor.fingerprint
    assert array.source == "array (4, 16, 16) of uint8"
    assert len(load(torch.zeros(3, 5, dtype=torch.bfloat16, requires_grad=True))) == 3


def test_the_result_shares_no_memory() -> None:
    mine = BYTES.copy()
    data = load(mine)
    mine[:] = 0
    np.testing.assert_array_equal(data.array, BYTES)
    assert not data.array.flags.writeable


def test_arrays_are_cropped_and_resized_like_files() -> None:
    wide = np.zeros((3, 20, 60, 3), np.uint8)
    wide[:, :, 20:40] = [10, 200, 30]
    assert load(wide).shape == (3, 16, 16)
    large = load(wide, size=32)
    assert large.shape == (3, 32, 32)
    np.testing.assert_array_equal(np.unique(large.array.reshape(-1, 3), axis=0), [[10, 200, 30]])
    with pytest.raises(DataError, match="nearest is 16"):
        load(wide, size=20)


def test_large_arrays_are_resized_by_threads_in_order() -> None:
    pictures = np.repeat(np.arange(12, dtype=np.uint8) * 20, 200 * 200).reshape(12, 200, 200)
    assert load(pictures, size=8).array[:, 4, 4, 0].tolist() == [level * 20 for level in range(12)]


def test_vectors_are_standardized() -> None:
    values = RNG.normal([5, -1, 0.1], [2, 0.01, 1], (1000, 3))
    values[:, 2] = 0.1
    data = load(values)
    assert (data.kind, data.shape) == ("vectors", (3,))
    assert data.array.dtype == np.float32
    assert data.center is not None
    assert data.scale is not None
    np.testing.assert_allclose(data.center, values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(data.scale[:2], values.std(axis=0)[:2], rtol=1e-5)
    assert data.scale[2] == 1
    seen = data.tensor(np.arange(1000))
    torch.testing.assert_close(seen.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4, rtol=0)
    np.testing.assert_allclose(data.restore(seen), data.array, atol=1e-5)


def test_vectors_may_be_integers() -> None:
    assert load(np.arange(12).reshape(6, 2)).array.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_vectors_must_be_finite(bad: float) -> None:
    values = np.zeros((5, 3))
    values[3, 1] = bad
    with pytest.raises(DataError, match="row 3 holds NaN, infinity or a number too large"):
        load(values)


def test_vectors_beyond_the_precision_of_float32_are_refused() -> None:
    values = np.zeros((5, 3))
    values[:, 2] = 1_700_000_000 + np.arange(5)
    said = r"cannot tell apart what column 2 holds, values from 1700000000\.0 to 1700000004\.0: subtract 1700000000\.0"
    for kind in (np.float64, np.int64):
        with pytest.raises(DataError, match=said):
            load(values.astype(kind))


@pytest.mark.parametrize(
    "column", [1e6 + np.arange(2), np.full(2, 1e9 + 1), np.array([1e9, 2e9]), np.array([0.1, 0.3])]
)
def test_vectors_within_the_precision_of_float32_are_taken(column: NDArray[Any]) -> None:
    data = load(column[:, None])
    np.testing.assert_allclose(data.restore(data.tensor(np.arange(2)))[:, 0], column, rtol=1e-6)


def test_vectors_have_no_size() -> None:
    with pytest.raises(DataError, match=r"size is 32, and the data is vectors"):
        load(np.zeros((5, 3)), size=32)


def test_a_npy_file_equals_its_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", BYTES / 255)
    first = load(tmp_path / "a.npy", cache=tmp_path / "cache")
    again = load(str(tmp_path / "a.npy"), cache=tmp_path / "cache")
    assert isinstance(first.array, np.memmap)
    assert first.fingerprint == again.fingerprint
    np.testing.assert_array_equal(again.array, BYTES)
    resized = load(tmp_path / "a.npy", size=8, cache=tmp_path / "cache")
    assert resized.shape == (3, 8, 8)
    assert resized.fingerprint != first.fingerprint


def test_a_file_of_vectors_comes_back_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = RNG.normal(3, 2, (50, 4))
    np.savez(tmp_path / "a.npz", x=values, y=np.repeat(["b", "a"], 25))
    first = load(tmp_path / "a.npz", cache=tmp_path / "cache")
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda *_: pytest.fail("the file was read again"))
    for data in (first, load(tmp_path / "a.npz", cache=tmp_path / "cache")):
        np.testing.assert_array_equal(data.array, values.astype(np.float32))
        np.testing.assert_allclose(data.center, values.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(data.scale, values.std(axis=0), rtol=1e-6)
        assert data.classes == ("a", "b")
        assert data.labels is not None
        assert data.labels.tolist() == [1] * 25 + [0] * 25


def test_a_file_of_vectors_has_no_size(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 3)))
    with pytest.raises(DataError, match="size is 8, and the data is vectors"):
        load(tmp_path / "a.npy", size=8, cache=tmp_path / "cache")


def npz(path: Path, **arrays: NDArray[Any]) -> Path:
    np.savez(path / "a.npz", **arrays)
    return path / "a.npz"


@pytest.mark.parametrize("name", ["images", "data", "x", "arr_0", "anything"])
def test_the_samples_of_an_npz(name: str, tmp_path: Path) -> None:
    path = npz(tmp_path, **{name: BYTES}, labels=np.array([[1], [0], [1], [7]]))
    data = load(path, cache=tmp_path)
    np.testing.assert_array_equal(data.array, BYTES)
    assert data.classes == ("0", "1", "7")
    assert data.labels is not None
    assert data.labels.tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"first": BYTES, "second": BYTES}, r"holds the arrays first, second, and which are the samples is open"),
        ({"labels": np.zeros(4)}, "which are the samples is open"),
        ({}, r"holds the arrays \(none\)"),
        ({"x": BYTES, "y": np.arange(3)}, r"labels have shape \(3,\) for 4 samples"),
        ({"x": BYTES, "y": np.eye(4)}, r"labels have shape \(4, 4\) for 4 samples"),
        ({"x": BYTES, "y": np.zeros(4)}, "labels have type float64; they must be integers or strings"),
        ({"x": np.array([{}, []], dtype=object)}, "without Python objects"),
        ({"x": np.zeros((3, 2), "U1")}, "integers or floats"),
    ],
)
def test_other_npz_are_refused(arrays: dict[str, NDArray[Any]], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        load(npz(tmp_path, **arrays), cache=tmp_path / "cache")


@pytest.mark.parametrize("content", ["empty", "text", "truncated", "objects"])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_broken_files_are_named(suffix: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    array = np.array([[1], ["x"]], dtype=object) if content == "objects" else BYTES
    with path.open("wb") as file:
        np.save(file, array) if suffix == ".npy" else np.savez(file, array)
    if content in {"empty", "text"}:
        path.write_bytes(b"" if content == "empty" else b"no array, whatever the name says")
    if content == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=rf"{path}: cannot be read as a NumPy file .* np.save"):
        load(path, cache=tmp_path / "cache")
