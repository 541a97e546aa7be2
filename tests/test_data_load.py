"""Loading by name, what is said of names that do not exist, and data as tensors and back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from poise.data import BUILTIN, Data, Mixture, Scaling, builtin, load
from poise.errors import DataError, ShapeError


def test_digits() -> None:
    data = load("digits")
    loaded = load_digits()
    assert (len(data), data.shape, data.source) == (1797, (1, 8, 8), "digits")
    assert data.classes == tuple("0123456789")
    np.testing.assert_array_equal(data.labels, loaded.target)
    np.testing.assert_array_equal(data.array[..., 0], np.rint(loaded.images * 255 / 16))
    assert load("digits", size=32).shape == (1, 32, 32)


def test_digits_are_found_where_scikit_learn_keeps_them_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = load("digits").fingerprint
    monkeypatch.setattr(builtin, "_DIGITS", Path("moved"))
    assert load("digits").fingerprint == fingerprint


@pytest.mark.parametrize(("name", "modes", "sigma"), [("ring8", 8, 0.01), ("grid25", 25, 0.05)])
def test_points_follow_their_density(name: str, modes: int, sigma: float) -> None:
    data = load(name)
    assert (len(data), data.shape, data.kind) == (100_000, (2,), "vectors")
    assert data.density is not None
    assert data.labels is not None
    assert (data.density.means.shape, data.density.sigma) == ((modes, 2), sigma)
    assert len(data.classes) == modes
    offsets = data.array - data.density.means[data.labels]
    np.testing.assert_allclose(offsets.std(), sigma, rtol=0.01)
    np.testing.assert_allclose(np.bincount(data.labels) / len(data), 1 / modes, atol=0.005)
    assert np.mean(np.linalg.norm(offsets, axis=1) < 3 * sigma) == pytest.approx(1 - np.exp(-4.5), abs=0.002)
    assert load(name).fingerprint == data.fingerprint
    with pytest.raises(DataError, match=f"{name}: size is 32"):
        load(name, size=32)


def test_the_modes_are_where_the_paper_puts_them() -> None:
    ring, grid = load("ring8").density, load("grid25").density
    assert ring is not None
    assert grid is not None
    np.testing.assert_allclose(np.linalg.norm(ring.means, axis=1), 1)
    assert {tuple(mean) for mean in grid.means} == {(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}


def test_a_mixture_integrates_to_one_and_peaks_by_its_formula() -> None:
    mixture = Mixture(np.array([[0.0, 0.0], [3.0, 1.0]]), 0.3)
    axis = np.linspace(-3, 6, 301)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert mixture.pdf(points).sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-6)
    assert mixture.pdf(mixture.means[:1])[0] == pytest.approx(1 / (2 * 2 * np.pi * 0.09))
    one, again = (mixture.sample(7, np.random.default_rng(3)) for _ in range(2))
    assert one.shape == (7, 2)
    np.testing.assert_array_equal(one, again)


def test_every_builtin_is_loaded_by_its_name() -> None:
    assert {name: load(name).source for name in BUILTIN} == {name: name for name in BUILTIN}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digit", r"no data named 'digit' \(did you mean 'digits'\?\)"),
        (
            "nothing",
            r"no data named 'nothing' \(known: digits, grid25, ring8\).*a folder of images.*\.tar\.xz.*hf:owner",
        ),
        ("no/such/folder", r"^no/such/folder: the path does not exist \(looked for /.*no/such/folder\)"),
        ("missing.npz", "missing.npz: the path does not exist"),
        ("missing.tar.gz", "missing.tar.gz: the path does not exist"),
        (Path("missing"), "missing: the path does not exist"),
        ("", "no data named ''"),
    ],
)
def test_what_does_not_exist_is_named(name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=words):
        load(name)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"cat.png: a file of this kind is not data; .*\.zip.*\.npy"):
        load(tmp_path / "cat.png")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_come_back_exactly(channels: int) -> None:
    array = np.random.default_rng(0).integers(0, 256, (300, 8, 8, channels), dtype=np.uint8)
    data = load(array)
    indices = np.array([5, 5, 299, 0])
    tensor = data.tensor(indices)
    assert tensor.shape == (4, *data.shape)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert -1 <= tensor.min() < tensor.max() <= 1
    np.testing.assert_array_equal(data.restore(tensor), array[indices])
    tensor.zero_()  # the caller may write to it
    np.testing.assert_array_equal(data.array, array)


def test_every_level_has_its_value() -> None:
    array = np.tile(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), (2, 1, 1))
    data = load(array)
    expected = torch.arange(256).reshape(1, 1, 16, 16) / 127.5 - 1
    torch.testing.assert_close(data.tensor(np.array([1])), expected)
    np.testing.assert_array_equal(data.restore(expected)[..., 0], array[:1])


def test_restoring_clips_and_rounds() -> None:
    data = load(np.zeros((2, 8, 8), np.uint8))
    samples = torch.full((1, 1, 8, 8), 9.0, requires_grad=True)
    assert data.restore(samples).max() == 255
    assert data.restore(samples.bfloat16() * -1).max() == 0
    assert data.restore(torch.full((1, 1, 8, 8), 0.999)).min() == 255
    with pytest.raises(ShapeError, match=r"shape \(1, 3, 8, 8\).*\(n, 1, 8, 8\)"):
        data.restore(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("array", [np.zeros((2, 8, 8, 3), np.uint8), np.random.default_rng(0).normal(7, 1e-3, (9, 3))])
def test_the_scaling_survives_json(array: NDArray[Any]) -> None:
    scaling = load(array).scaling
    again = Scaling.from_json(json.loads(json.dumps(scaling.to_json())))
    assert (again.kind, again.shape) == (scaling.kind, scaling.shape)
    samples = torch.randn(5, *scaling.shape)
    np.testing.assert_array_equal(again.restore(samples), scaling.restore(samples))


def test_vectors_need_their_scaling() -> None:
    with pytest.raises(ValueError, match="vectors have a center and a scale"):
        Data("mine", "vectors", np.zeros((2, 2), np.float32), None, (), "0")


def test_importing_and_loading_digits_loads_no_optional_dependency() -> None:
    code = (
        "import sys, poise.data; poise.data.load('digits');"
        "print([name for name in ('sklearn', 'datasets', 'matplotlib') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
