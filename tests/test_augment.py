"""Augmentations against closed forms, their chances, derivatives, compiled programs, and the adaptive rule."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from poise.augment import AUGMENTS, Adaptive, Augment, Augmented, ada, diffaugment, flip
from poise.errors import ConfigError, ShapeError
from poise.schedules import Linear

# Each with all transformations of one group, and the share of samples that p = 1 changes.
PARTS: dict[str, Callable[[], Augment]] = {
    "flip": flip,
    "diffaugment": diffaugment,
    "diffaugment, color": lambda: diffaugment(translation=0, cutout=0),
    "diffaugment, translation": lambda: diffaugment(color=False, cutout=0),
    "diffaugment, cutout": lambda: diffaugment(color=False, translation=0),
    "ada": ada,
    "ada, blit": lambda: ada(geometry=False, color=False),
    "ada, geometry": lambda: ada(blit=False, color=False),
    "ada, color": lambda: ada(blit=False, geometry=False),
}

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def images(n: int = 4, channels: int = 3, height: int = 8, width: int = 8, **options: Any) -> Tensor:
    return 2 * torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(5)).to(**options) - 1


def seeded(augment: Augment, x: Tensor, p: Tensor | float, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return augment(x, p)


def changed(augment: Augment, x: Tensor, p: float) -> float:
    """The share of samples that come out changed."""
    return (seeded(augment, x, p) != x).flatten(1).any(1).double().mean().item()


# Contracts of all.


def test_every_augmentation_is_here() -> None:
    assert {part.partition(",")[0] for part in PARTS} == set(AUGMENTS)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("layout", "dtype"),
    [
        (torch.contiguous_format, torch.float32),
        (torch.channels_last, torch.float32),
        (torch.channels_last, torch.bfloat16),
        (torch.contiguous_format, torch.float64),
    ],
)
def test_without_chance_nothing_changes(
    part: str, channels: int, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    x = images(5, channels, 6, 10, dtype=dtype).contiguous(memory_format=layout)
    augment = PARTS[part]()
    for p in (0.0, torch.tensor(0.0)):
        assert torch.equal(augment(x, p), x)
    y = augment(x, torch.tensor(1.0))
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=layout)
    assert y.isfinite().all()


@pytest.mark.parametrize("part", PARTS)
def test_samples_change_by_themselves(part: str) -> None:
    """With p = 1 all, but for draws that leave an image where it is: each way, half of a blit's on 8 x 8 do."""
    augment = PARTS[part]()
    always = {"flip": 1 / 2, "ada, blit": 1 - (1 / 2) * (1 / 4) * (1 / 2) ** 2, "diffaugment, translation": 1 - 1 / 9}
    x = images(1, 3, 8, 8).expand(4000, -1, -1, -1)
    expected = always.get(part, 1.0)
    assert changed(augment, x, 1.0) == pytest.approx(expected, abs=0.03 if expected < 1 else 0.001)
    y = seeded(augment, x, 1.0)
    assert len(y.flatten(1).unique(dim=0)) > (1 if part == "flip" else 8)


SINGLE: dict[str, tuple[Callable[[], Augment], int, float]] = {
    # A single transformation, the channels that leave no other, and the share of its draws that change something.
    "flip": (flip, 3, 1 / 2),
    "cutout": (lambda: diffaugment(color=False, translation=0), 3, 1.0),
    "translation": (lambda: diffaugment(color=False, cutout=0, translation=0.3), 3, 24 / 25),
}


@pytest.mark.parametrize("name", SINGLE)
def test_the_chance_of_a_transformation_is_p(name: str) -> None:
    make, channels, share = SINGLE[name]
    n, p = 4000, 0.3
    x = images(1, channels, 8, 8).expand(n, -1, -1, -1)
    expected = p * share
    assert changed(make(), x, p) == pytest.approx(expected, abs=4 * (expected * (1 - expected) / n) ** 0.5)


def test_transformations_are_drawn_by_themselves() -> None:
    """Brightness and contrast of gray images, and none of them, at 0.3: 1 - 0.7 ** 2 of the samples change."""
    n, expected = 4000, 1 - 0.7**2
    x = images(1, 1).expand(n, -1, -1, -1)
    share = changed(diffaugment(translation=0, cutout=0), x, 0.3)
    assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / n) ** 0.5)


def test_one_of_two_rotations_happens_with_p() -> None:
    """Of geometry: two scalings, a translation and the pair of rotations, each at 0.3."""
    n, expected = 4000, 1 - 0.7**4
    x = images(1, 1).expand(n, -1, -1, -1)
    share = changed(ada(blit=False, color=False), x, 0.3)
    assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / n) ** 0.5)


@pytest.mark.parametrize("part", PARTS)
def test_the_seed_says_all(part: str) -> None:
    augment, x = PARTS[part](), images(16)
    assert torch.equal(seeded(augment, x, 0.7), seeded(augment, x, torch.tensor(0.7)))
    assert not torch.equal(seeded(augment, x, 0.7), seeded(augment, x, 0.7, seed=2))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_derivatives(part: str, layout: torch.memory_format) -> None:
    augment = PARTS[part]()
    x = images(3, 3, 4, 5, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()

    def curved(x: Tensor) -> Tensor:
        return seeded(augment, x, 0.7).sin()

    assert torch.autograd.gradcheck(curved, x)
    assert torch.autograd.gradgradcheck(curved, x)


@pytest.mark.parametrize("part", AUGMENTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_compiled_as_one_program(part: str, channels: int) -> None:
    augment, x, p = AUGMENTS[part](), images(6, channels), torch.tensor(0.7)

    def gradient(x: Tensor, p: Tensor) -> Tensor:
        return torch.func.grad(lambda x: augment(x, p).sin().sum())(x)

    torch.manual_seed(3)
    eager = gradient(x, p)
    torch.manual_seed(3)
    compiled = torch.compile(gradient, backend="aot_eager", fullgraph=True)(x, p)
    torch.testing.assert_close(compiled, eager)


@pytest.mark.parametrize("part", AUGMENTS)
def test_autocast_changes_nothing(part: str) -> None:
    augment, x = AUGMENTS[part](), images(8)
    expected = seeded(augment, x, 0.7)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(seeded(augment, x, 0.7), expected)


@pytest.mark.parametrize("part", AUGMENTS)
def test_only_images_are_augmented(part: str) -> None:
    with pytest.raises(ShapeError, match=r"are of images \(n, c, h, w\), and the samples' shape is \(3, 2\); leave"):
        AUGMENTS[part]()(torch.zeros(3, 2), 1.0)


def test_speed() -> None:
    """DiffAugment of 64 images of 32 x 32 takes a few ms; the bound leaves room for machines that do other work."""
    x, augment, seconds = images(64, 3, 32, 32), diffaugment(), []
    for _ in range(20):
        t0 = time.perf_counter()
        augment(x, 1.0)
        seconds.append(time.perf_counter() - t0)
    assert min(seconds) < 0.05


# Mirror images.


def test_a_flip_is_the_image_or_its_mirror_image() -> None:
    x = images(64)
    y = seeded(flip(), x, 1.0)
    is_kept, is_mirrored = ((y == it).flatten(1).all(1) for it in (x, x.flip(3)))
    assert (is_kept ^ is_mirrored).all()
    assert 16 < int(is_mirrored.sum()) < 48


# DiffAugment.


def test_translations_by_hand() -> None:
    """Each sample is one of the 5 x 5 translations of an image of 16 x 16 in a frame of zeros; all of them occur."""
    x = images(1, 2, 16, 16)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2))
    translated = [padded[0, :, 2 - down :, 2 - right :][:, :16, :16] for down in range(-2, 3) for right in range(-2, 3)]
    y = seeded(diffaugment(color=False, cutout=0), x.expand(1000, -1, -1, -1), 1.0)
    counts = torch.stack([(y == it).flatten(1).all(1) for it in translated]).sum(1)
    assert counts.sum() == 1000
    assert counts.min() > 10


@pytest.mark.parametrize(("height", "width"), [(8, 12), (7, 5)])
def test_holes_by_hand(height: int, width: int) -> None:
    """Each hole is a rectangle of half of the sides, cut off where it leaves the image; every center occurs."""
    x = torch.ones(3000, 1, height, width)
    y = seeded(diffaugment(color=False, translation=0), x, 1.0)
    sides = []
    for size in (height, width):
        length = int(size / 2 + 0.5)
        starts = range(-(length // 2), size - length // 2 + 1 - length % 2)
        sides.append([[start <= place < start + length for place in range(size)] for start in starts])
    rows, columns = (torch.tensor(side) for side in sides)
    holes = rows[:, None, :, None] & columns[None, :, None, :]
    expected = 1 - holes.flatten(0, 1).float()
    counts = (y[:, 0].flatten(1)[:, None] == expected.flatten(1)[None]).all(2).sum(0)
    assert counts.sum() == 3000
    assert counts.min() > 0


def test_brightness_is_uniform() -> None:
    """Of gray images of one value only brightness is seen: + U[-0.5, 0.5)."""
    x = torch.full((4000, 1, 4, 4), 0.25)
    shift = (seeded(diffaugment(translation=0, cutout=0), x, 1.0) - x).mean((1, 2, 3)).sort().values
    torch.testing.assert_close(shift, torch.linspace(-0.5, 0.5, 4000), atol=0.04, rtol=0)
    assert shift.abs().max() <= 0.5


def test_contrast_and_saturation_by_hand() -> None:
    """Contrast scales what differs between the pixels' means; saturation, before it, what differs within a pixel."""
    x = images(500, 3)
    y = seeded(diffaugment(translation=0, cutout=0), x, 1.0)

    def within(x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)

    def between(x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True) - x.mean((1, 2, 3), keepdim=True)

    def factor(of: Callable[[Tensor], Tensor]) -> Tensor:
        factors = (of(y) * of(x)).sum((1, 2, 3)) / of(x).square().sum((1, 2, 3))
        torch.testing.assert_close(of(y), factors[:, None, None, None] * of(x))
        return factors

    contrast = factor(between)
    saturation = factor(within) / contrast
    for factors, low, high in ((contrast, 0.5, 1.5), (saturation, 0.0, 2.0)):
        assert low <= factors.min() + 1e-5 < low + 0.05
        assert high - 0.05 < factors.max() - 1e-5 <= high


@pytest.mark.parametrize("part", ["diffaugment, color", "ada, color"])
def test_opacity_keeps_its_color(part: str) -> None:
    x = images(8, 4)
    y = seeded(PARTS[part](), x, 1.0)
    assert torch.equal(y[:, 3], x[:, 3])
    assert torch.equal(y[:, :3], seeded(PARTS[part](), x[:, :3], 1.0))


# ADA.


def test_blits_by_hand() -> None:
    """Without translations, which images of 3 x 3 have none of, each is one of the 8 symmetries of the square."""
    x = images(1, 3, 3, 3)
    symmetries = [it.rot90(k, (2, 3)) for it in (x, x.flip(3)) for k in range(4)]
    y = seeded(ada(geometry=False, color=False), x.expand(800, -1, -1, -1), 1.0)
    counts = torch.stack([(y == it).flatten(1).all(1) for it in symmetries]).sum(1)
    assert counts.sum() == 800
    assert counts.min() > 60


def test_whole_translations_are_reflected() -> None:
    """A gradient from left to right, moved up to a pixel, comes back from the border."""
    x = torch.arange(8.0).expand(1, 1, 8, 8)
    y = seeded(ada(geometry=False, color=False), x.expand(2000, -1, -1, -1), 1.0)[:, 0]
    lines = {tuple(line.tolist()) for line in torch.cat((y[:, 0], y[:, :, 0]))}
    moving = {line for line in lines if len(set(line)) > 1}
    ways = [(0, 1, 2, 3, 4, 5, 6, 7), (1, 0, 1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 5, 6, 7, 6)]
    assert moving == {way[::step] for way in ways for step in (1, -1)}


def test_geometry_keeps_constants_and_what_is_between() -> None:
    x = torch.full((64, 1, 8, 8), 0.3)
    torch.testing.assert_close(seeded(ada(color=False), x, 1.0), x)
    y = seeded(ada(color=False), images(64), 1.0)
    assert y.abs().max() <= images(64).abs().max()


def test_rotations_turn() -> None:
    """The direction in which a plane rises, in its middle, is everywhere on the circle."""
    x = torch.linspace(-0.5, 0.5, 33).expand(500, 1, 33, 33)
    y = seeded(ada(blit=False, color=False), x, 1.0)[:, 0]
    right, down = y[:, 16, 17] - y[:, 16, 15], y[:, 17, 16] - y[:, 15, 16]
    counts = torch.histc(torch.atan2(down, right), 8, -torch.pi, torch.pi)
    assert counts.min() > 25


def test_colors_are_affine_in_each_pixel() -> None:
    """Grays stay grays, in the order of contrast times lightness or its mirror, plus brightness."""
    gray = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4).expand(400, 3, 4, 4)
    y = seeded(ada(blit=False, geometry=False), gray, 1.0)
    torch.testing.assert_close(y, y.mean(1, keepdim=True).expand_as(y), atol=1e-5, rtol=1e-5)
    slope = (y[:, 0, 3, 3] - y[:, 0, 0, 0]) / 2
    offset = (y[:, 0, 3, 3] + y[:, 0, 0, 0]) / 2
    assert 140 < int((slope < 0).sum()) < 260
    assert slope.abs().log2().std().item() == pytest.approx(0.5, rel=0.15)
    assert (offset / slope.abs()).std().item() == pytest.approx(0.2, rel=0.15)


def test_hue_and_saturation_turn_and_scale_around_the_grays() -> None:
    """The distance from the axis of the grays is that of before, times contrast and 2 ** N(0, 1)."""
    x = images(2000, 3, 1, 1)
    y = seeded(ada(blit=False, geometry=False), x, 1.0)
    before, after = (it - it.mean(1, keepdim=True) for it in (x, y))
    ratio = after.norm(dim=1).flatten() / before.norm(dim=1).flatten()
    assert ratio.log2().std().item() == pytest.approx(1.25**0.5, rel=0.1)
    cosine = (after * before).sum(1).flatten() / (after.norm(dim=1) * before.norm(dim=1)).flatten()
    assert torch.histc(cosine.clamp(-1, 1).acos(), 6, 0, torch.pi).min() > 230


# Refusals.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"translation": 1.0}, "translation is 1.0; it is a share of the sides, at least 0 and below 1"),
        ({"translation": -0.1}, "translation is -0.1; it is a share"),
        ({"cutout": 1.5}, "cutout is 1.5; it is a share of the sides, at least 0 and at most 1"),
        ({"color": False, "translation": 0, "cutout": 0}, "are all off, so nothing is left; leave augmentation out"),
    ],
)
def test_diffaugment_refuses(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        diffaugment(**options)


def test_ada_refuses_nothing_to_do() -> None:
    with pytest.raises(ConfigError, match="blit, geometry and color are all off, so nothing is left"):
        ada(blit=False, geometry=False, color=False)


# The adaptive rule.


def test_adaptive_by_hand() -> None:
    rule = Adaptive(target=0.6, kimg=500.0, most=0.8)
    p, high, low = torch.tensor(0.5), torch.tensor(0.7), torch.tensor(0.5)
    step = 256 / 500_000
    torch.testing.assert_close(rule(p, high, 256), p + step)
    torch.testing.assert_close(rule(p, low, 256), p - step)
    torch.testing.assert_close(rule(p, torch.tensor(0.6), 256), p - step)
    assert rule(torch.tensor(0.8), high, 256) == 0.8
    assert rule(torch.tensor(0.0), low, 256) == 0.0
    assert rule(p, high, 256).shape == ()


def test_adaptive_goes_from_0_to_1_in_kimg() -> None:
    p = torch.zeros(())
    for _ in range(100):
        p = Adaptive(kimg=50, most=1.0)(p, torch.ones(()), 500)
    assert p.item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": 2.0}, "target is 2.0; a mean of signs is at least -1 and at most 1"),
        ({"kimg": 0.0}, "kimg is 0.0; it must be above 0, and finite"),
        ({"kimg": float("nan")}, "kimg is nan"),
        ({"most": 1.1}, "most is 1.1; a probability is at least 0 and at most 1"),
    ],
)
def test_adaptive_refuses(options: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Adaptive(**options)


def test_augmented() -> None:
    augment = flip()
    assert Augmented(augment) == (augment, 1.0, None)
    schedule = Linear(0.3, 0.0, end=100)
    assert Augmented(augment, schedule).p is schedule
