"""Networks that grow: continuity, what runs and what does not, the schedule, the state, and the paper's layers."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu

from poise.ema import Ema
from poise.errors import ConfigError
from poise.losses import LOSSES
from poise.models import Growing, ProgressiveDiscriminator, ProgressiveGenerator
from poise.models import progressive_discriminator as make_discriminator
from poise.models import progressive_generator as make_generator
from poise.models.layers import EqualConv2d, EqualLinear
from poise.penalties import PENALTIES, Weighted
from poise.trainer import Trainer, make_fabric, pack, unpack

SHAPE = (3, 16, 16)
STAGES = (0, 1, 2)


def generator(**options: Any) -> ProgressiveGenerator:
    torch.manual_seed(0)
    return make_generator(6, SHAPE, width=8, **options)


def discriminator(**options: Any) -> ProgressiveDiscriminator:
    torch.manual_seed(1)
    return make_discriminator(SHAPE, width=8, **options)


def at(network: Any, stage: int, alpha: float = 1.0) -> Any:
    while network.stage < stage:
        network.grow()
    network.alpha = alpha
    return network


def latents() -> Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(2))


def pictures() -> Tensor:
    return torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(3))


def coarse(images: Tensor, resolution: int) -> Tensor:
    """Images without their detail beyond a resolution, at full size."""
    return interpolate(avg_pool2d(images, images.shape[-1] // resolution), images.shape[-2:])


# Growing.


@pytest.mark.parametrize("stage", STAGES[:-1])
def test_growing_changes_nothing_at_first(stage: int) -> None:
    g, d = at(generator(), stage), at(discriminator(), stage)
    images, logits = g(latents()), d(pictures())
    g.grow()
    d.grow()
    assert (g.stage, g.alpha, g.resolution) == (d.stage, d.alpha, d.resolution) == (stage + 1, 0.0, 8 << stage)
    assert torch.equal(g(latents()), images)
    assert torch.equal(d(pictures()), logits)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_shows_and_sees_its_own_detail_only(stage: int) -> None:
    g, d = at(generator(), stage), at(discriminator(), stage)
    images = g(latents())
    assert images.shape == (4, *SHAPE)
    torch.testing.assert_close(images, coarse(images, g.resolution))
    torch.testing.assert_close(d(pictures()), d(coarse(pictures(), d.resolution)))
    if stage:
        assert (images - coarse(images, g.resolution // 2)).abs().max() > 0.1
        assert (d(pictures()) - d(coarse(pictures(), d.resolution // 2))).abs().max() > 1e-3


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_images_fade_in_linearly(alpha: float) -> None:
    g = at(generator(), 2)
    new = g(latents())
    g.alpha = 0.0
    old = g(latents())
    g.alpha = alpha
    assert (new - old).abs().max() > 0.1
    torch.testing.assert_close(g(latents()), (1 - alpha) * old + alpha * new)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_logits_fade_in(alpha: float) -> None:
    """Against the formula, layer by layer: reals are a blend of two resolutions, and so are the features of both."""
    d = at(discriminator(), 2, alpha)
    images, coarser = pictures(), avg_pool2d(pictures(), 2)
    blend = alpha * images + (1 - alpha) * interpolate(coarser, scale_factor=2)
    features = alpha * d.blocks[2](d.from_rgb[2](blend)) + (1 - alpha) * d.from_rgb[1](coarser)
    torch.testing.assert_close(d(images), d.blocks[0](d.blocks[1](features)))


@pytest.mark.parametrize("make", [generator, discriminator])
def test_a_faded_stage_is_continuous_and_has_left_the_last_way_in_or_out(make: Any) -> None:
    network, given = make(), latents() if make is generator else pictures()
    last = network.to_rgb if make is generator else network.from_rgb
    done = at(network, 2)(given)
    nearly = at(network, 2, 1 - 1e-6)(given)
    torch.testing.assert_close(nearly, done, rtol=1e-4, atol=1e-5)
    for weight in last[1].parameters():
        nn.init.constant_(weight, 100.0)
    assert not torch.equal(at(network, 2, 0.5)(given), done)
    assert torch.equal(at(network, 2)(given), done)


# What runs.


def ran(network: nn.Module, given: Tensor) -> set[str]:
    seen: set[str] = set()
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output, name=name: seen.add(name))
        for name, layer in network.named_modules()
        if name.count(".") == 1
    ]
    network(given).sum().backward()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(("stage", "alpha"), [(0, 1.0), (1, 0.5), (1, 1.0), (2, 0.5), (2, 1.0)])
@pytest.mark.parametrize("make", [generator, discriminator])
def test_only_the_stages_layers_run_and_get_gradients(make: Any, stage: int, alpha: float) -> None:
    network, given = make(), latents() if make is generator else pictures()
    way = "to_rgb" if make is generator else "from_rgb"
    ways = {stage} if alpha == 1 else {stage, stage - 1}
    expected = {f"blocks.{index}" for index in range(stage + 1)} | {f"{way}.{index}" for index in ways}
    assert ran(at(network, stage, alpha), given) == expected
    for name, weight in network.named_parameters():
        assert (weight.grad is not None) == any(name.startswith(f"{part}.") for part in expected), name


# The schedule.


@pytest.mark.parametrize(
    ("options", "grown_at", "moments"),
    [
        # at 4 x 4 for 600 kimg; then every 600, each over half that time
        (
            {},
            1500.0,
            [(0, 0, 1), (599, 0, 1), (600, 1, 0), (675, 1, 0.25), (900, 1, 1), (1199, 1, 1), (1200, 2, 0), (9e9, 2, 1)],
        ),
        # the paper's
        (
            {"grow_kimg": [800, 2400], "fade_kimg": 800},
            3200.0,
            [(799, 0, 1), (800, 1, 0), (1600, 1, 1), (2399, 1, 1), (2600, 2, 0.25), (3200, 2, 1)],
        ),
        ({"grow_kimg": [10, 30]}, 40.0, [(10, 1, 0), (15, 1, 0.5), (20, 1, 1), (35, 2, 0.5)]),
        ({"grow_kimg": 2, "fade_kimg": 0}, 4.0, [(1.9, 0, 1), (2, 1, 1), (4, 2, 1)]),
        ({"grow_kimg": [0, 4]}, 6.0, [(0, 1, 0), (1, 1, 0.5), (4, 2, 0)]),
        ({"grow_kimg": [7], "first": 8}, 10.5, [(0, 0, 1), (7, 1, 0), (10.5, 1, 1)]),
        ({"first": 16}, 0.0, [(0, 0, 1), (9e9, 0, 1)]),
        # multiples of 0.7 are not exactly 0.7 apart
        ({"grow_kimg": 0.7, "fade_kimg": 0.7}, 2.1, [(0.7, 1, 0), (1.05, 1, 0.5), (2.1, 2, 1)]),
    ],
)
def test_schedule(options: dict[str, Any], grown_at: float, moments: list[tuple[float, int, float]]) -> None:
    for network in (generator(**options), discriminator(**options)):
        assert network.grown_at_kimg == pytest.approx(grown_at)
        for kimg, stage, alpha in [*moments, *reversed(moments)]:
            network.progress(kimg)
            assert network.stage == stage
            assert network.alpha == pytest.approx(alpha)
            assert network.resolution == network.first << stage


def test_a_schedule_of_equal_steps_may_fade_without_a_pause() -> None:
    network = make_discriminator((1, 64, 64), width=2, grow_kimg=0.7, fade_kimg=0.7)
    assert network.grown_at_kimg == pytest.approx(0.7 * 5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grow_kimg": [1, 2]}, "grow_kimg has 2 growths, which reach 16 x 16; the data is 32 x 32: give 3$"),
        ({"grow_kimg": [1, 2, 3, 4]}, "grow_kimg has 4 growths, which reach 64 x 64; the data is 32 x 32: give 3$"),
        ({"grow_kimg": [1], "first": 32}, "grow_kimg has 1 growth, which reaches 64 x 64; .*: give 0$"),
        ({"grow_kimg": [1, 3, 2]}, r"grow_kimg is \[1, 3, 2\]: give the kimg .* finite, at least 0 and increasing"),
        ({"grow_kimg": [1, 2, 2]}, "increasing"),
        ({"grow_kimg": [-1, 2, 3]}, "at least 0"),
        ({"grow_kimg": [1, 2, float("inf")]}, "finite"),
        ({"grow_kimg": 0}, "grow_kimg is 0; as a single number, the kimg between growths, it must be above 0"),
        ({"grow_kimg": float("nan")}, "grow_kimg is nan"),
        (
            {"fade_kimg": 601},
            "fade_kimg is 601, longer than the 600 kimg from one growth to the next: give at most 600",
        ),
        ({"grow_kimg": [1, 5, 7], "fade_kimg": 3}, "fade_kimg is 3, longer than the 2 kimg"),
        ({"fade_kimg": -1}, "fade_kimg is -1; it must be finite and at least 0"),
        ({"first": 6}, "first is 6; it must be a power of two from 4 to the data's side, 32"),
        ({"first": 2}, "first is 2"),
        ({"first": 64}, "first is 64"),
    ],
)
def test_wrong_schedules(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_generator(4, (3, 32, 32), width=2, **options)
    with pytest.raises(ConfigError, match=words):
        make_discriminator((3, 32, 32), width=2, **options)


def test_wrong_moments() -> None:
    network = discriminator()
    with pytest.raises(ConfigError, match=r"alpha is 0.5; at stage 0 nothing fades in, and it must be 1"):
        network.alpha = 0.5
    with pytest.raises(ConfigError, match="kimg is -1; it must be at least 0"):
        network.progress(-1)
    at(network, 2)
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match=rf"alpha is {alpha}; it must be in \[0, 1\]"):
            network.alpha = alpha
    with pytest.raises(ConfigError, match="this network is fully grown: it works at 16 x 16, the data's side"):
        network.grow()
    assert (network.stage, network.alpha) == (2, 1.0)


# The state.


@pytest.mark.parametrize("make", [generator, discriminator])
def test_state_survives_files_copies_and_conversions(make: Any) -> None:
    network: Growing = at(make(), 1, 1 / 3)
    other = make()
    other.load_state_dict(load(save(network.state_dict())))
    for found in (
        other,
        deepcopy(network),
        deepcopy(network).double(),
        deepcopy(network).bfloat16(),
        network.to("meta"),
    ):
        assert (found.stage, found.alpha, found.resolution) == (1, 1 / 3, 8)


def test_a_state_without_the_stage_is_refused() -> None:
    network = generator()
    state = {name: value for name, value in network.state_dict().items() if "extra_state" not in name}
    with pytest.raises(RuntimeError, match="_extra_state"):
        network.load_state_dict(state)


def test_an_average_grows_as_it_is_told_and_stays_exact() -> None:
    g = generator(grow_kimg=1, fade_kimg=1)
    ema = Ema(half_life_kimg=1, ramp_up=None)
    average = ema.follow(g)
    for nimg in range(0, 2200, 300):
        for network in (g, average):
            network.progress(nimg / 1000)
        with torch.no_grad():
            for weight in g.parameters():
                weight += 0.1
        ema.update(300, nimg)
        assert (average.stage, average.alpha) == (g.stage, g.alpha)
    assert g.alpha not in (0.0, 1.0)
    assert not torch.equal(average(latents()), g(latents()))
    assert not list(g.buffers())


def test_a_resume_in_the_middle_of_a_fade_in_is_exact() -> None:
    """Also: weights that come into play late are trained, and stages that are over keep what they learned."""

    def trainer() -> Trainer:
        options: dict[str, Any] = {"grow_kimg": [0.016, 0.048], "fade_kimg": 0.032}
        return Trainer(
            generator(**options),
            discriminator(**options),
            z_dim=6,
            loss=LOSSES["relativistic"],
            penalties={"r1": Weighted(PENALTIES["r1"], 1.0)},
            fabric=make_fabric("cpu"),
        )

    def train(it: Trainer, steps: int) -> list[tuple[int, float]]:
        seen = []
        for _ in range(steps):
            for network in (it.generator, it.discriminator, it.average):
                network.progress(it.nimg / 1000)
            seen.append((it.generator.stage, it.generator.alpha))
            it.step(pictures())
        return seen

    straight, stopped, resumed = trainer(), trainer(), trainer()
    initial = {name: value.clone() for name, value in straight.generator.named_parameters()}
    moments = train(straight, 20)
    assert (0, 1.0) in moments
    assert (1, 0.5) in moments
    assert moments[-1] == (2, pytest.approx(0.875))
    train(stopped, 9)
    assert (stopped.generator.stage, stopped.generator.alpha) == (1, 0.5)
    resumed.load_state_dict(unpack(pack(stopped.state_dict())))
    z = latents()
    for role in ("generator", "average"):
        network = getattr(resumed, role)
        assert (network.stage, network.alpha) == (1, 0.5)
        assert torch.equal(network(z), getattr(stopped, role)(z))
    assert train(resumed, 11) == moments[9:]
    for role in ("generator", "discriminator", "average"):
        for name, value in getattr(straight, role).state_dict().items():
            assert torch.equal(value, getattr(resumed, role).state_dict()[name]), name
    assert all(not torch.equal(value, initial[name]) for name, value in straight.generator.named_parameters())


# The paper's layers.


def test_the_papers_size_at_1024() -> None:
    """Table 2: the channels at each resolution, and 23.1 million trainable weights in each network."""
    with torch.device("meta"):
        g, d = make_generator(512, (3, 1024, 1024), width=512), make_discriminator((3, 1024, 1024), width=512)

    def widths(network: Any) -> list[list[int]]:
        return [[len(it.weight) for it in block if isinstance(it, EqualConv2d)] for block in network.blocks]

    assert widths(g) == [[512], *([width, width] for width in (512, 512, 512, 256, 128, 64, 32, 16))]
    halves = [(512, 512), (512, 512), (512, 512), (256, 512), (128, 256), (64, 128), (32, 64), (16, 32)]
    assert widths(d) == [[512, 512], *map(list, halves)]
    assert d.blocks[0][1].weight.shape[1] == 513
    for network, ways in ((g, g.to_rgb), (d, d.from_rgb)):
        left = sum(weight.numel() for way in ways[:-1] for weight in way.parameters())
        assert round((sum(weight.numel() for weight in network.parameters()) - left) / 1e6, 1) == 23.1


def test_width_scales_the_channels_and_leaves_one() -> None:
    with torch.device("meta"):
        g = make_generator(4, (1, 256, 256), width=4)
    assert [way.weight.shape[1] for way in g.to_rgb] == [4, 4, 4, 4, 2, 1, 1]


def test_equalized_learning_rate() -> None:
    """Weights are drawn from N(0, 1), and scaled at run time by He's constant, or 1 / sqrt(fan in) at the ends."""
    torch.manual_seed(0)
    g, d = make_generator(64, (3, 8, 8), width=64), make_discriminator((3, 8, 8), width=64)
    layers = [
        layer for network in (g, d) for layer in network.modules() if isinstance(layer, EqualConv2d | EqualLinear)
    ]
    ends = {*g.to_rgb, d.blocks[0][-1]}
    assert len(layers) == 6 + 7
    for layer in layers:
        assert layer.bias is not None
        assert layer.bias.abs().max() == 0
        if layer.weight.numel() > 1000:
            assert layer.weight.std().item() == pytest.approx(1, rel=0.1)
        fan_in = layer.weight[0].numel()
        effective = layer.weight * ((1 if layer in ends else 2) / fan_in) ** 0.5
        if isinstance(layer, EqualConv2d):
            given = torch.randn(2, layer.weight.shape[1], 8, 8)
            expected = conv2d(given, effective, padding=layer.padding)
        else:
            given = torch.randn(2, fan_in)
            expected = (given @ effective.T).reshape(2, *layer.shape)
        torch.testing.assert_close(layer(given), expected, rtol=1e-4, atol=1e-5)


def test_signals_keep_their_size() -> None:
    """What the scaling is for: logits and images of order 1 in every network, however wide."""
    for width in (16, 256):
        torch.manual_seed(0)
        g, d = make_generator(32, (3, 8, 8), width=width), make_discriminator((3, 8, 8), width=width)
        images = at(g, 1)(torch.randn(64, 32))
        assert 0.5 < images.std().item() < 2
        features = d.blocks[1](d.from_rgb[1](torch.randn(64, 3, 8, 8)))
        assert 0.3 < features.square().mean().sqrt().item() < 2


def test_pixel_norm() -> None:
    g = at(generator(), 2)
    normalize = g.blocks[0][0]
    torch.testing.assert_close(normalize(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0]]) / 12.5**0.5)
    assert normalize(torch.zeros(1, 3, 2, 2)).abs().max() == 0
    features = g.blocks[2](g.blocks[1](g.blocks[0](latents())))
    torch.testing.assert_close(features.square().mean(1), torch.ones(4, 16, 16), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(g(7 * latents()), g(latents()))  # of latents only the direction counts


def test_minibatch_standard_deviation() -> None:
    """One value for all: the population's standard deviation over the batch, averaged over channels and pixels."""
    deviation = discriminator().blocks[0][0]
    features = torch.zeros(2, 2, 1, 2)
    features[1] = torch.tensor([[[2.0, 4.0]], [[0.0, 6.0]]])  # deviations 1, 2, 0 and 3
    seen = deviation(features)
    assert seen.shape == (2, 3, 1, 2)
    assert torch.equal(seen[:, :2], features)
    torch.testing.assert_close(seen[:, 2], torch.full((2, 1, 2), 1.5), rtol=1e-4, atol=0)


def test_equal_samples_have_finite_gradients_of_both_orders() -> None:
    """Where the deviation over the batch is 0, its root has no slope of its own."""
    d = at(discriminator(), 2, 0.5)
    images = pictures()[:1].expand(3, -1, -1, -1).clone().requires_grad_()
    (gradients,) = torch.autograd.grad(d(images).sum(), images, create_graph=True)
    gradients.square().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in d.parameters() if weight.grad is not None)
    assert d(images[:1]).isfinite().all()


def test_the_discriminators_activations() -> None:
    d = discriminator()
    images = torch.randn(2, 3, 4, 4)
    layer = d.from_rgb[0][0]
    torch.testing.assert_close(d.from_rgb[0](images), leaky_relu(layer(images), 0.2))
