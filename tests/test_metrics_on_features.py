"""Metrics on features against closed forms and hand counts."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import linalg
from scipy.stats import mannwhitneyu

from poise.data import load
from poise.errors import MetricError, ShapeError
from poise.metrics import (
    classes,
    coverage,
    density,
    fid,
    kid,
    memorization,
    modes,
    per_class,
    prdc,
    precision,
    recall,
    statistics,
)
from poise.metrics import nearest as nearest_module
from poise.metrics.kernel import squared_discrepancy
from poise.metrics.nearest import nearest, radii

Measure = Callable[[torch.Tensor, torch.Tensor], object]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def correlated(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, dtype=torch.float64) @ torch.randn(d, d, dtype=torch.float64) + torch.randn(d)


# FID.


def test_fid_of_a_set_against_itself_is_zero() -> None:
    x = correlated(200, 16)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)
    assert fid(x, x[torch.randperm(200)]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("d", [1, 5, 64])
def test_fid_is_that_of_scipys_matrix_root(d: int) -> None:
    x, y = correlated(300, d), correlated(500, d)
    (mean_x, s_x, _), (mean_y, s_y, _) = statistics(x), statistics(y)
    root = linalg.sqrtm(s_x.numpy() @ s_y.numpy()).real
    expected = (mean_x - mean_y).square().sum() + s_x.trace() + s_y.trace() - 2 * np.trace(root)
    assert fid(x, y) == pytest.approx(float(expected), rel=1e-9)


def test_fid_of_two_gaussians_is_the_closed_form() -> None:
    """Of N(m, a^2) and N(0, b^2) in d dimensions: |m|^2 + d (a - b)^2."""
    m = torch.tensor([3.0, -1.0, 0.5])
    x, y = 2 * torch.randn(200_000, 3) + m, 0.5 * torch.randn(200_000, 3)
    assert fid(x, y) == pytest.approx(float(m.square().sum()) + 3 * 1.5**2, rel=0.01)


def test_fid_does_not_depend_on_the_side_and_takes_statistics() -> None:
    x, y = correlated(100, 8), correlated(120, 8)
    assert fid(x, y) == pytest.approx(fid(y, x), rel=1e-9)
    assert fid(statistics(x), y) == fid(x, y)
    assert fid(x.float(), statistics(y)) == pytest.approx(fid(x, y), rel=1e-4)


def test_fid_warns_of_fewer_samples_than_dimensions() -> None:
    x = torch.randn(20, 32)
    with pytest.warns(UserWarning, match="FID of 20 samples in 32 dimensions is mostly bias"):
        value = fid(torch.randn(100, 32), x)
    assert math.isfinite(value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fid(torch.randn(33, 32), torch.randn(33, 32))


# KID.


def test_the_discrepancy_of_one_block_is_the_formula() -> None:
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)

    def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(a @ b / 3 + 1) ** 3

    inside = [
        sum(kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j) / (len(s) * (len(s) - 1))
        for s in (x, y)
    ]
    between = sum(kernel(a, b) for a in x for b in y) / 30
    ones = torch.ones(1, 6, dtype=torch.float64), torch.ones(1, 5, dtype=torch.float64)
    assert squared_discrepancy(x, y, *ones).item() == pytest.approx(sum(inside) - 2 * between, rel=1e-12)


def test_kid_is_the_mean_over_blocks_in_any_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.randn(90, 4), torch.randn(80, 4) + 0.5
    at_once = kid(x, y, block=20, blocks=7, seed=3)
    monkeypatch.setattr("poise.metrics.kernel._ROWS", 13)
    assert kid(x, y, block=20, blocks=7, seed=3) == pytest.approx(at_once, rel=1e-9)
    assert at_once.std > 0
    assert kid(x, y, block=20, blocks=7, seed=4) != at_once


def test_kid_is_unbiased_on_equal_distributions() -> None:
    """Over 200 independent pairs of samples its mean is 0 within 4 standard errors; that of the biased form is not."""
    values = torch.tensor([kid(torch.randn(40, 8), torch.randn(40, 8), blocks=4, seed=i).mean for i in range(200)])
    error = values.std() / math.sqrt(len(values))
    assert abs(values.mean()) < 4 * error
    assert (values < 0).float().mean() > 0.2


def test_kid_sees_a_shift() -> None:
    x = torch.randn(1000, 8)
    near, far = (kid(x, torch.randn(1000, 8) + shift, blocks=10) for shift in (0.1, 0.5))
    assert near.mean < far.mean
    assert far.mean > 10 * far.std


@pytest.mark.parametrize("wrong", [{"block": 1}, {"blocks": 0}])
def test_kid_refuses_no_blocks(wrong: dict[str, int]) -> None:
    with pytest.raises(MetricError, match="at least 1 block of 2"):
        kid(torch.randn(9, 2), torch.randn(9, 2), **wrong)


# Precision, recall, density, coverage.


def line(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def test_prdc_of_a_set_against_itself() -> None:
    x = torch.randn(300, 5)
    same = prdc(x, x)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    assert same.density == pytest.approx(6 / 5, rel=0.25)  # each point itself, and about 5 whose balls hold it


def test_prdc_by_hand() -> None:
    """Real points 0, 1, 3; their nearest neighbours are 1, 1 and 2 away. Fakes -2, 1.5, 100: 3.5, 3.5 and 98.5."""
    real, fake = line(0, 1, 3), line(-2, 1.5, 100)
    assert precision(real, fake, k=1) == pytest.approx(1 / 3)  # 1.5 only
    assert recall(real, fake, k=1) == 1  # -2 and 1.5 reach over all of them
    assert density(real, fake, k=1) == pytest.approx(2 / 3)  # 1.5 is in the balls of 1 and of 3
    assert coverage(real, fake, k=1) == pytest.approx(2 / 3)


def test_fakes_on_one_spot_are_precise_and_cover_nothing() -> None:
    real = torch.randn(200, 2)
    fake = real[:1] + 1e-3 * torch.randn(200, 2)
    found = prdc(real, fake)
    assert found.precision == 1
    assert found.recall < 0.05
    assert found.coverage < 0.1


def test_fakes_far_away() -> None:
    assert prdc(torch.randn(50, 3), torch.randn(60, 3) + 100) == (0, 0, 0, 0)


def test_equal_distributions_have_density_one() -> None:
    found = prdc(torch.randn(2000, 4), torch.randn(2000, 4))
    assert found.density == pytest.approx(1, rel=0.05)
    assert found.coverage == pytest.approx(1 - 2.0**-5, rel=0.02)  # Naeem et al. 2020, equation 9


def test_prdc_in_blocks_is_prdc_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = torch.randn(70, 3), torch.randn(50, 3)
    at_once = prdc(real, fake)
    monkeypatch.setattr(nearest_module, "_BLOCK_VALUES", 200)
    assert prdc(real, fake) == at_once


def test_neighbours_are_those_of_all_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_module, "_BLOCK_VALUES", 500)
    x, y = torch.randn(60, 3).double() + 1000, torch.randn(45, 3).double() + 1000
    apart = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    found, indices = nearest(x, y)
    torch.testing.assert_close(found, apart.min(dim=1).values)
    assert indices.equal(apart.argmin(dim=1))
    alone = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    torch.testing.assert_close(radii(x, 4), alone.sort(dim=1).values[:, :4])
    torch.testing.assert_close(nearest(x[10:], x, torch.arange(10, 60))[0], alone[10:].min(dim=1).values)


def test_a_neighbour_is_at_least_the_first() -> None:
    with pytest.raises(MetricError, match="k is 0"):
        prdc(torch.randn(9, 2), torch.randn(9, 2), k=0)


# Modes.


@pytest.mark.parametrize("name", ["ring8", "grid25"])
def test_perfect_samples_capture_all_modes_and_98_9_percent_are_good(name: str) -> None:
    density_ = load(name).density
    assert density_ is not None
    means = torch.from_numpy(density_.means)
    points = torch.from_numpy(density_.sample(100_000, np.random.default_rng(1)))
    found = modes(points, means, density_.sigma)
    assert found.captured == len(means)
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.001)
    assert found.kl == pytest.approx((len(means) - 1) / 200_000, rel=0.8)
    assert found.mixture_kl == pytest.approx(len(means) / 200_000, rel=0.8)


def test_modes_by_hand() -> None:
    """Centres 0 and 10, sigma 1: four samples near 0, one of them too far; one nearer to 10 and of low quality."""
    found = modes(line(0, 1, -2.9, 4, 6.5), line(0, 10), 1.0)
    assert (found.captured, found.high_quality) == (1, 3 / 5)
    assert found.kl == pytest.approx(0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5))
    assert modes(line(0, 1, -2.9, 4, 6.5), line(0, 10), 1.0, torch.tensor([8.0, 2.0])).kl == pytest.approx(0)
    inside = math.erf(3 / math.sqrt(2))
    by_hand = 0.6 * math.log(0.6 / (inside / 2)) + 0.4 * math.log(0.4 / (1 - inside))
    assert found.mixture_kl == pytest.approx(by_hand)


def test_the_mixtures_divergence_is_that_of_quality_and_that_of_evenness() -> None:
    """By the chain rule; what lacks in either makes it greater."""
    density_ = load("ring8").density
    assert density_ is not None
    means, sigma = torch.from_numpy(density_.means), density_.sigma
    points = means[torch.tensor([0] * 30 + [3] * 50 + [5] * 10)]
    far = torch.zeros(10, 2)
    found = modes(torch.cat([points, far]), means, sigma)
    h, inside = found.high_quality, 1 - math.exp(-4.5)
    assert h == 0.9
    quality = h * math.log(h / inside) + (1 - h) * math.log((1 - h) / (1 - inside))
    assert found.mixture_kl == pytest.approx(quality + h * modes(points, means, sigma).kl)
    even = modes(means.repeat(12, 1), means, sigma)
    blurred = modes(torch.cat([means.repeat(12, 1), far]), means, sigma)
    half = modes(means[:4].repeat(24, 1), means, sigma)
    assert even.mixture_kl < blurred.mixture_kl < half.mixture_kl


def test_all_on_one_mode() -> None:
    assert modes(torch.zeros(100, 2), torch.arange(16.0).reshape(8, 2) - torch.tensor([0.0, 1.0]), 0.1) == (
        1,
        1.0,
        pytest.approx(math.log(8)),
        pytest.approx(math.log(8) - math.log(1 - math.exp(-4.5))),
    )


def test_modes_are_refused() -> None:
    with pytest.raises(MetricError, match="sigma is 0"):
        modes(torch.zeros(3, 2), torch.zeros(2, 2), 0.0)
    with pytest.raises(ShapeError, match="3 dimensions and the modes' centres 2"):
        modes(torch.zeros(3, 3), torch.zeros(2, 2), 1.0)
    with pytest.raises(MetricError, match="3 weights for 2 classes"):
        modes(torch.zeros(3, 2), torch.zeros(2, 2), 1.0, torch.ones(3))


# Classes.


def test_classes_by_hand() -> None:
    found = classes(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 2, 1, 0, 2]), 3)
    assert found.captured == 2
    assert found.shares.tolist() == [0.75, 0.25, 0]
    assert found.kl == pytest.approx(0.75 * math.log(0.75 * 3) + 0.25 * math.log(0.25 * 3))  # fake against real


def test_equal_classes() -> None:
    labels = torch.randint(10, (500,))
    assert classes(labels, labels, 10).kl == pytest.approx(0, abs=1e-12)


def test_a_class_that_the_data_has_not_is_infinitely_far() -> None:
    assert classes(torch.tensor([1]), torch.tensor([0]), 2).kl == math.inf


@pytest.mark.parametrize(
    ("fake", "error", "words"),
    [
        (torch.zeros(3), ShapeError, "they are integers"),
        (torch.zeros(0, dtype=torch.int64), MetricError, "no fake labels"),
        (torch.tensor([0, 3]), MetricError, "fake labels reach from 0 to 3; of 3 classes they are 0 to 2"),
    ],
)
def test_labels_are_refused(fake: torch.Tensor, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        classes(fake, torch.tensor([0, 1, 2]), 3)


def test_a_metric_class_by_class() -> None:
    real, labels = torch.cat([torch.randn(200, 2), torch.randn(100, 2) + 9]), torch.tensor([0] * 200 + [5] * 100)
    swapped = per_class(fid, real, labels, real, labels.flip(0))
    assert swapped.keys() == {0, 5}
    assert per_class(fid, real, labels, real, labels) == {0: pytest.approx(0, abs=1e-9), 5: pytest.approx(0, abs=1e-9)}
    assert swapped[0] > 1
    with pytest.raises(MetricError, match="class 5: there are 0 fake samples"):
        per_class(fid, real, labels, real[:9], labels[:9])
    with pytest.raises(ShapeError, match="300 fake samples and labels of shape"):
        per_class(fid, real, labels, real, labels[:9])


# Memorization.


def test_copies_are_found_and_named() -> None:
    train, held_out = torch.randn(500, 4), torch.randn(300, 4)
    order = torch.randperm(500)[:200]
    found = memorization(train[order] + 1e-4 * torch.randn(200, 4), train, held_out)
    assert found.neighbours.equal(order)
    assert found.z < -10
    assert found.nearer > 0.99
    assert found.distances.max() < 0.01


@pytest.mark.parametrize("held_out", [torch.randn(400, 4), None])
def test_new_samples_of_the_same_distribution_are_no_copies(held_out: torch.Tensor | None) -> None:
    """On average; the z-score of one data set depends on its draw."""
    found = [memorization(torch.randn(400, 4), torch.randn(400, 4), held_out) for _ in range(10)]
    assert sum(it.nearer for it in found) / 10 == pytest.approx(0.5, abs=0.03)
    assert abs(sum(it.z for it in found) / 10) < 1.5


def test_samples_far_from_all_data() -> None:
    found = memorization(torch.randn(100, 3) + 20, torch.randn(100, 3))
    assert found.z > 10
    assert found.nearer == 0


def test_the_test_is_that_of_mann_and_whitney() -> None:
    train, held_out, fake = torch.randn(50, 2), torch.randn(40, 2), torch.randn(30, 2)
    apart = [torch.cdist(x.double(), train.double()).min(dim=1).values.numpy() for x in (fake, held_out)]
    u = mannwhitneyu(*apart).statistic
    found = memorization(fake, train, held_out)
    assert found.nearer == pytest.approx(1 - u / 1200)
    assert found.z == pytest.approx((u - 600) / math.sqrt(1200 * 71 / 12))


# What all refuse.

PAIRS: dict[str, tuple[Measure, int]] = {
    "fid": (fid, 2),
    "kid": (kid, 4),
    "prdc": (prdc, 6),
    "precision": (precision, 4),
    "recall": (recall, 4),
    "density": (density, 6),
    "coverage": (coverage, 6),
}


@pytest.mark.filterwarnings("ignore:FID of")
@pytest.mark.parametrize("name", PAIRS)
def test_too_few_samples(name: str) -> None:
    measure, least = PAIRS[name]
    measure(torch.randn(least, 2), torch.randn(least, 2))
    for counts in ((least, least - 1), (least - 1, least)):
        with pytest.raises(
            MetricError, match=rf"there are {least - 1} (real|fake) samples.* at least {least}: give more"
        ):
            measure(*(torch.randn(n, 2) for n in counts))


@pytest.mark.parametrize("name", [*PAIRS, "memorization"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_samples_that_are_not_finite(name: str, value: float) -> None:
    measure = PAIRS[name][0] if name in PAIRS else memorization
    fake = torch.randn(20, 2)
    fake[3, 1] = fake[5, 0] = value
    with pytest.raises(MetricError, match=r"2 of 20 fake samples hold NaN or infinite values.*has diverged"):
        measure(torch.randn(20, 2), fake) if name != "memorization" else memorization(fake, torch.randn(20, 2))


@pytest.mark.parametrize("name", PAIRS)
def test_features_of_other_dimensions(name: str) -> None:
    with pytest.raises(ShapeError, match="real features have 2 dimensions and fake ones 3"):
        PAIRS[name][0](torch.randn(20, 2), torch.randn(20, 3))
    with pytest.raises(ShapeError, match=r"needs \(n, d\): flatten them"):
        PAIRS[name][0](torch.randn(20, 2, 2), torch.randn(20, 2))


@pytest.mark.slow
def test_ten_thousand_samples_fit_in_memory() -> None:
    found = prdc(torch.randn(10_000, 64), torch.randn(10_000, 64))
    assert found.density == pytest.approx(1, rel=0.1)
