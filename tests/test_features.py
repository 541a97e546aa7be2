"""Features: the classifier that poise trains itself, and networks of other packages by stand-ins for these."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from poise.data import load
from poise.errors import MetricError, MissingExtraError
from poise.metrics.features import FEATURES, Classifier, Examples, Workplace, classifier, dinov2, inception, raw
from poise.metrics.features import classifier as classifier_function

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)


def halves(count: int = 60, side: int = 8) -> Examples:
    """Images that are bright in the left or the right half."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    rows = rng.integers(0, 100, (count, side, side, 1), dtype=np.uint8)
    for row, label in zip(rows, labels, strict=True):
        row[:, side // 2 * label : side // 2 * (label + 1)] += 150
    return Examples(rows, labels, 2, f"halves{count}-{side}")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps are enough for so simple a task."""
    monkeypatch.setattr(sys.modules["poise.metrics.features.classifier"], "_LEAST_SHOWN", 1000)


def test_raw_features_are_the_samples() -> None:
    features = raw(Examples(IMAGES), Workplace())
    assert features.of(IMAGES).equal(torch.from_numpy(IMAGES).flatten(1).float())
    vectors = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    assert features.of(vectors).equal(torch.from_numpy(vectors))


def test_features_come_in_batches_of_any_size_and_say_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int]] = []

    def progress(what: str, items: Any, total: int) -> Any:
        told.append((what, total))
        return items

    features = raw(Examples(IMAGES), Workplace(progress=progress))
    monkeypatch.setattr(features, "batch", 7)
    assert features.of(IMAGES, "samples").shape == (60, 192)
    assert told == [("raw features of samples", 9)]


# The classifier.


def test_the_classifier_of_the_digits_is_right_in_98_of_100(tmp_path: Path) -> None:
    data = load("digits")
    examples = Examples(data.array, data.labels, 10, data.fingerprint)
    made = classifier(examples, Workplace(cache=tmp_path))
    assert made.accuracy >= 0.98
    assert made.about == f"held-out accuracy {made.accuracy:.1%}"
    features = made.of(data.array)
    assert features.shape == (1797, 128)
    right = made.classes_of(features).numpy() == data.labels
    assert right.mean() >= 0.98
    again = classifier(examples, Workplace(cache=tmp_path))
    assert (again.identity, again.accuracy) == (made.identity, made.accuracy)
    assert again.of(data.array[:50]).equal(made.of(data.array[:50]))


@pytest.mark.parametrize("side", [8, 16, 32, 128])
@pytest.mark.usefixtures("quick")
def test_images_of_any_size(side: int) -> None:
    made = classifier(halves(side=side), Workplace())
    assert made.accuracy == 1
    assert made.of(halves(side=side).rows).shape == (60, 128)


@pytest.mark.usefixtures("quick")
def test_the_same_data_gives_the_same_classifier_and_leaves_randomness_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first, second = (classifier(halves(), Workplace(cache=tmp_path / name)) for name in "ab")
    assert first.identity == second.identity
    assert torch.get_rng_state().equal(state)
    assert classifier(halves(61), Workplace()).identity != first.identity


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("content", [b"", b"no tensors", None])
def test_a_damaged_classifier_is_trained_anew(tmp_path: Path, content: bytes | None) -> None:
    made = classifier(halves(), Workplace(cache=tmp_path))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] if content is None else content)
    assert classifier(halves(), Workplace(cache=tmp_path)).identity == made.identity
    assert path.read_bytes() == whole


@pytest.mark.usefixtures("quick")
def test_a_classifier_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier(halves(), Workplace(cache=tmp_path))
    monkeypatch.setattr(sys.modules["poise.metrics.features.classifier"], "train", None)
    assert isinstance(classifier_function(halves(), Workplace(cache=tmp_path)), Classifier)


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        (Examples(np.zeros((60, 2), np.float32)), "classifier features are of images, and this data is of vectors"),
        (Examples(IMAGES), "need labels of 2 or more classes, and this data has none; give class folders"),
        (Examples(IMAGES, np.zeros(60, np.int64), 1), "need labels of 2 or more classes"),
        (Examples(IMAGES[:40], np.arange(40) % 2, 2), "at least 50 labelled images to learn from, and there are 40"),
    ],
)
def test_data_that_no_classifier_learns_from(examples: Examples, words: str) -> None:
    for refuse in (FEATURES["classifier"].require, lambda it: classifier(it, Workplace())):
        with pytest.raises(MetricError, match=words):
            refuse(examples)


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        (Examples(IMAGES), "standardized features are of vectors, and this data is of images; take raw ones"),
        (Examples(np.zeros((60, 2), np.float32)), "need the center and the scale of every column; take raw ones"),
    ],
)
def test_data_without_columns_in_units_of_their_own(examples: Examples, words: str) -> None:
    for refuse in (FEATURES["standardized"].require, lambda it: FEATURES["standardized"].make(it, Workplace())):
        with pytest.raises(MetricError, match=words):
            refuse(examples)


# Networks of other packages.


class Pooled(nn.Module):
    """Stands for a network: gives the mean of each channel, and remembers what it was given."""

    pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}  # noqa: RUF012
    seen: torch.Tensor

    def forward(self, images: torch.Tensor) -> Any:
        Pooled.seen = images
        means = images.double().mean(dim=(2, 3))
        return (means,) if images.dtype == torch.uint8 else means


@pytest.fixture
def fidelity(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    def install(make: Any) -> None:
        package, module = ModuleType("torch_fidelity"), ModuleType("torch_fidelity.feature_extractor_inceptionv3")
        module.FeatureExtractorInceptionV3 = make  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torch_fidelity", package)
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return install


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    def install(make: Any) -> None:
        package = ModuleType("timm")
        package.create_model = make  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "timm", package)

    return install


def test_inception_gets_whole_levels_of_three_channels(fidelity: Callable[[Any], None]) -> None:
    asked: list[Any] = []

    def make(*arguments: Any) -> Pooled:
        asked.extend(arguments)
        torch.rand(3)
        return Pooled()

    fidelity(make)
    state = torch.get_rng_state()
    made = inception(Examples(IMAGES), Workplace())
    assert asked == ["inception-v3-compat", ["2048"]]
    assert torch.get_rng_state().equal(state)
    torch.testing.assert_close(made.of(IMAGES), torch.from_numpy(IMAGES).float().mean(dim=(1, 2)))
    assert Pooled.seen.dtype == torch.uint8
    assert Pooled.seen.is_contiguous()
    gray = made.of(IMAGES[..., :1])
    assert gray.shape == (60, 3)
    assert gray[:, 0].equal(gray[:, 2])
    assert made.of(np.concatenate([IMAGES, IMAGES[..., :1]], axis=3)).shape == (60, 3)
    assert made.identity


def test_dinov2_gets_images_of_its_size_and_scale(timm: Callable[[Any], None]) -> None:
    asked: dict[str, Any] = {}

    def make(name: str, **options: Any) -> Pooled:
        asked.update(options, name=name)
        return Pooled()

    timm(make)
    made = dinov2(Examples(IMAGES), Workplace())
    assert asked == {"name": "vit_small_patch14_dinov2.lvd142m", "pretrained": True, "num_classes": 0, "img_size": 224}
    white = np.full((2, 16, 16, 1), 255, np.uint8)
    torch.testing.assert_close(made.of(white), torch.full((2, 3), 2.0))  # (1 - mean) / std
    assert Pooled.seen.shape == (2, 3, 224, 224)


PACKAGES = {
    "inception": ("torch_fidelity.feature_extractor_inceptionv3", r"needs? the 'torch-fidelity' package: pip install"),
    "dinov2": ("timm", r"needs? the 'timm' package: pip install"),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, words = PACKAGES[name]
    monkeypatch.setitem(sys.modules, module, None)
    for refuse in (FEATURES[name].require, lambda it: FEATURES[name].make(it, Workplace())):
        with pytest.raises(MissingExtraError, match=rf"{words} 'poise\[{name}\]', or take other features"):
            refuse(Examples(IMAGES))


def test_a_package_that_does_not_fit_the_torch_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(module: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist\nand more")

    monkeypatch.setattr(sys.modules["poise.metrics.features.extractor"], "import_module", broken)
    with pytest.raises(MissingExtraError, match=r"'timm' package \(operator torchvision::nms does not exist\): pip"):
        FEATURES["dinov2"].require(Examples(IMAGES))


@pytest.mark.parametrize("name", PACKAGES)
def test_weights_that_cannot_be_fetched(
    name: str, fidelity: Callable[[Any], None], timm: Callable[[Any], None]
) -> None:
    def make(*arguments: Any, **options: Any) -> Any:
        raise OSError("Name or service not known\nand more")

    for install in (fidelity, timm):
        install(make)
    FEATURES[name].require(Examples(IMAGES))  # which fetches nothing
    with pytest.raises(
        MetricError,
        match=rf"the weights for {name} features cannot be fetched \(Name or service not known\).*connect once",
    ):
        FEATURES[name].make(Examples(IMAGES), Workplace())


@pytest.mark.parametrize("name", PACKAGES)
def test_vectors_have_no_features_of_images(name: str) -> None:
    with pytest.raises(MetricError, match=f"{name} features are of images, and this data is of vectors; take stand"):
        FEATURES[name].require(Examples(np.zeros((5, 2), np.float32)))
