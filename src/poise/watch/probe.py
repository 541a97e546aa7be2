"""What the watch measures itself: samples of fixed latents beside real ones, and what D makes of both."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from poise.data import Data
from poise.losses import opposes, pushes_real_up
from poise.metrics import sliced_wasserstein
from poise.trainer import Trainer, latents

__all__ = ["Probe", "about_data", "about_loss"]

# Of latents, directions and all that networks draw: one seed in all runs, so that their numbers can be compared.
_SEED = 0
_PROJECTIONS = 64
_WEIGHTS = 8
_AT_BOUND = 0.99
_LOOKED_THROUGH = 20_000

Numbers = dict[str, float]


class Probe:
    r"""Measures a trainer's networks as they are now. Neither they nor any randomness is touched.

    A measurement has, of n real samples and as many fakes of the generator that trains (not the average):

    - ``d_auc``: the share of all n * n pairs in which D takes the real one for more real, ties counting half; the area
      under its ROC curve. ``held_out_auc``: the same with real samples that it is not trained on.
    - ``d_gap``: the mean scores' distance in standard deviations, :math:`(\bar r - \bar f) / \sqrt{(s_r^2 + s_f^2)/2}`,
      above 0 where D is right; of one sample there is none.
    - ``overfit``: :math:`(\bar r - \bar h) / (\bar r - \bar f)` with mean scores of reals, held-out reals and fakes; 0
      where D takes the held-out ones as it takes those that it knows, 1 where it takes them for fakes (Karras et al.
      2020, Training Generative Adversarial Networks with Limited Data, arXiv 2006.06676, equation 1).
    - ``diversity``: the mean distance between two fakes over that between two reals. ``nearest``: the same of the mean
      distance to the nearest other one. ``copies``: the median distance of a fake to its nearest training sample over
      that of a training sample, where the probe has been given all of them.
    - ``moved``: how far fakes of the same latents are from where they were at the last measurement, over the mean
      distance between two reals.
    - ``swd``: the sliced Wasserstein distance from fakes to reals, and ``swd_floor`` between two sets of reals;
      ``swd_augmented``: to reals as D sees them, where they are augmented.
    - ``real_min``, ``real_max``, ``fake_min``, ``fake_max``; ``at_bound`` and ``real_at_bound``: the share of values
      within 1 % of the bounds -1 and 1; ``at_edge``: of those of fakes within 1 % of their own extremes.
    - ``checkerboard``, of images: the energy at the highest frequency along either side over that of the reals.
    - ``d_dead``, ``g_dead``: the largest share of units of one ReLU layer that are 0 for all samples.
    - ``d_step``, ``g_step``: by how much the last step changed a network's weights, over their own size;
      ``d_first_step``, ``g_first_step``: the same of the very first one.

    Args:
        reals: real samples as the networks see them, ``(2 * n, ...)``: those that are compared, and n more for the
            distance between reals.
        held_out: more that are not trained on, ``(m, ...)``; None where there are none.
        everything: all training samples, where they are few.
        labels: the classes of ``reals`` and of ``held_out``, where the networks take classes.
    """

    def __init__(
        self,
        reals: Tensor,
        held_out: Tensor | None = None,
        everything: Tensor | None = None,
        labels: tuple[Tensor, Tensor | None] | None = None,
    ) -> None:
        self._real, self._other = reals.chunk(2)
        self._held_out = held_out
        self._labels = None if labels is None else labels[0].chunk(2)[0]
        self._held_out_labels = None if labels is None else labels[1]
        self._real_distance, self._real_nearest = _distances(self._real)
        self._floor = sliced_wasserstein(self._real, self._other, _PROJECTIONS, _SEED)
        self._ripple = _ripple(self._real)
        self._everything = everything
        if everything is not None:
            self._apart = _nearest(everything, everything, others=True).median().item()
        self._fakes: Tensor | None = None
        self._weights: dict[str, list[Tensor]] = {}
        self._first: Numbers = {}

    def remember(self, trainer: Trainer) -> None:
        """Take down weights before the step whose size the next measurement tells."""
        self._weights = {name: [it.clone() for it in _some_weights(net)] for name, net in _networks(trainer).items()}

    @torch.no_grad()
    def measure(self, trainer: Trainer) -> Numbers:
        """The numbers of now."""
        with torch.random.fork_rng(devices=[trainer.device] if trainer.device.type == "cuda" else []):
            torch.manual_seed(_SEED)
            with trainer.fabric.autocast():
                return self._measure(trainer)

    def _measure(self, trainer: Trainer) -> Numbers:
        n = len(self._real)
        assert trainer.z_dim is not None
        z = latents(n, trainer.z_dim, _SEED).to(trainer.device)
        given = [] if self._labels is None else [self._labels]
        with _dead_units(trainer.generator) as g_dead, _dead_units(trainer.discriminator) as d_dead:
            fake = _called(trainer.generator, z, *given).float()
            real_scores, fake_scores = (_scores(trainer, it, given) for it in (self._real, fake))
        numbers = self._verdicts(trainer, real_scores, fake_scores) | self._spread(fake)
        numbers |= {"swd": sliced_wasserstein(self._real, fake, _PROJECTIONS, _SEED), "swd_floor": self._floor}
        strength = trainer.augment_strength
        if trainer.augment is not None and strength is not None and float(strength) > 0:
            seen = trainer.augment.augment(self._real, strength)
            numbers["swd_augmented"] = sliced_wasserstein(seen, fake, _PROJECTIONS, _SEED)
        numbers |= self._range(fake) | _named(g_dead=max(g_dead, default=None), d_dead=max(d_dead, default=None))
        if self._ripple:
            numbers["checkerboard"] = _ripple(fake) / self._ripple
        numbers |= {f"{name}_step": size for name, size in self._sizes(trainer).items()}
        first, self._first = self._first, {}
        return numbers | first

    def look_at_first_step(self, trainer: Trainer) -> None:
        """Measure how large it was; the next measurement tells."""
        self._first = {f"{name}_first_step": size for name, size in self._sizes(trainer).items()}

    def _verdicts(self, trainer: Trainer, real: Tensor, fake: Tensor) -> Numbers:
        """What D makes of them; its scores are turned so that more is more real."""
        up = 1.0 if pushes_real_up(trainer.loss) else -1.0
        real, fake = up * real, up * fake
        lead = real.mean() - fake.mean()
        numbers = {"d_auc": _auc(real, fake)}
        if len(real) > 1:
            spread = ((real.var() + fake.var()) / 2).sqrt()
            numbers["d_gap"] = float(lead / spread.clamp_min(1e-12))
        if self._held_out is not None:
            labels = [] if self._held_out_labels is None else [self._held_out_labels]
            held_out = up * _scores(trainer, self._held_out, labels)
            numbers["held_out_auc"] = _auc(held_out, fake)
            if float(lead) > 0:
                numbers["overfit"] = float((real.mean() - held_out.mean()) / lead)
        return numbers

    def _spread(self, fake: Tensor) -> Numbers:
        distance, nearest = _distances(fake)
        numbers = _named(
            diversity=_ratio(distance, self._real_distance),
            nearest=_ratio(nearest, self._real_nearest),
            moved=None if self._fakes is None else _ratio(_apart(fake, self._fakes), self._real_distance),
        )
        if self._everything is not None:
            near = _nearest(fake, self._everything, others=False).median().item()
            numbers |= _named(copies=_ratio(near, self._apart))
        self._fakes = fake.clone()  # not a part of a network's own
        return numbers

    def _range(self, fake: Tensor) -> Numbers:
        found: Numbers = {}
        for name, samples in (("real", self._real), ("fake", fake)):
            low, high = samples.aminmax()
            found |= {f"{name}_min": float(low), f"{name}_max": float(high)}
        at_bound = {
            name: float((it.abs() - 1).abs().le(1 - _AT_BOUND).float().mean())
            for name, it in (("at_bound", fake), ("real_at_bound", self._real))
        }
        least, most = found["fake_min"], found["fake_max"]
        margin = (1 - _AT_BOUND) * (most - least)
        at_edge = float(((fake <= least + margin) | (fake >= most - margin)).float().mean())
        return found | at_bound | {"at_edge": at_edge}

    def _sizes(self, trainer: Trainer) -> Numbers:
        """How large the step was that came after :meth:`remember`, by network."""
        before, self._weights = self._weights, {}
        found = {}
        for name, old in before.items():
            new = _some_weights(_networks(trainer)[name])
            if [it.shape for it in old] == [it.shape for it in new]:  # a network that grows has others
                change = sum(float((a - b).square().sum()) for a, b in zip(old, new, strict=True))
                size = sum(float(it.square().sum()) for it in old)
                found[name] = sqrt(change / size) if size > 0 else 0.0
        return found


def about_data(data: Data) -> Numbers:
    """What stands out in data, of 20,000 samples at most.

    ``data_count``; ``data_constant``, the share of images of one value all over; ``data_repeated``, the share of
    samples that were there before.
    """
    rows = np.asarray(data.array[:_LOOKED_THROUGH])
    images = data.kind == "images"
    seen: set[bytes] = set()
    constant = 0
    for row in rows:  # one at a time: those in a file are more than the memory may hold
        flat = np.ascontiguousarray(row).reshape(-1)
        seen.add(blake2b(flat.data, digest_size=16).digest())
        constant += images and bool((flat == flat[0]).all())
    numbers = {"data_count": float(len(data)), "data_repeated": 1 - len(seen) / len(rows)}
    if images:
        numbers["data_constant"] = constant / len(rows)
    return numbers


def about_loss(trainer: Trainer) -> Numbers:
    """Whether the players play against each other: ``opposes`` is 1 or 0; see :func:`~poise.losses.opposes`."""
    verdict = opposes(trainer.loss)
    return {} if verdict is None else {"opposes": float(verdict)}


def _networks(trainer: Trainer) -> Mapping[str, nn.Module]:
    return {"d": trainer.discriminator, "g": trainer.generator}


def _some_weights(network: nn.Module) -> list[Tensor]:
    """A few weights from all of its depth: enough to tell how large a step is, and no second copy of the network."""
    weights = [it.detach() for it in network.parameters() if it.requires_grad and it.ndim > 1]
    return weights[:: max(1, len(weights) // _WEIGHTS)]


def _called(network: nn.Module, *given: Tensor) -> Any:
    """What a network puts out as it trains, on copies of its buffers: running statistics stay as they are."""
    return functional_call(network, {name: it.clone() for name, it in network.named_buffers()}, given)


def _scores(trainer: Trainer, samples: Tensor, labels: list[Tensor]) -> Tensor:
    """D's mean score of each sample, ``(n,)``."""
    output = _called(trainer.discriminator, samples, *labels)
    if isinstance(output, Mapping):
        output = output["logits"]
    elif not isinstance(output, Tensor):
        output = output[0]
    return trainer.loss.scores(output.float()).flatten(1).mean(1) if output.ndim > 1 else output.float()


def _auc(real: Tensor, fake: Tensor) -> float:
    difference = real[:, None] - fake[None, :]
    return float((difference > 0).float().mean() + (difference == 0).float().mean() / 2)


def _distances(samples: Tensor) -> tuple[float, float]:
    """The mean distance between two samples, and to the nearest other one; 0 where there is no other."""
    n = len(samples)
    if n < 2:
        return 0.0, 0.0
    apart = torch.cdist(samples.flatten(1), samples.flatten(1))
    mean = float(apart.sum() / (n * (n - 1)))
    return mean, float((apart + torch.diag(apart.new_full((n,), torch.inf))).amin(1).mean())


def _nearest(samples: Tensor, among: Tensor, others: bool) -> Tensor:
    """The distance of each sample to the nearest of ``among``; with ``others``, to the nearest that is not itself."""
    apart = torch.cdist(samples.flatten(1), among.flatten(1))
    return (apart + torch.diag(apart.new_full((len(samples),), torch.inf)) if others else apart).amin(1)


def _apart(left: Tensor, right: Tensor) -> float:
    return float((left - right).flatten(1).norm(dim=1).mean())


def _ripple(samples: Tensor) -> float:
    """The mean energy of images where neighbours alternate, along the rows, the columns or both; 0 for vectors."""
    if samples.ndim != 4 or min(samples.shape[2:]) < 4:
        return 0.0
    even = samples[..., : samples.shape[2] // 2 * 2, : samples.shape[3] // 2 * 2]
    rows, columns = (torch.tensor([1.0, -1.0], device=samples.device).repeat(size // 2) for size in even.shape[2:])
    waves = (rows[:, None].expand(even.shape[2:]), columns.expand(even.shape[2:]), rows[:, None] * columns)
    return sum(float((even * wave).mean((2, 3)).square().mean()) for wave in waves)


@contextmanager
def _dead_units(network: nn.Module) -> Iterator[list[float]]:
    """For a while, collect the share of units that are 0 for all samples, of each pass of each ReLU layer."""
    shares: list[float] = []

    def look(module: nn.Module, inputs: Any, output: Tensor) -> None:
        if output.ndim > 1:
            shares.append(float((output.transpose(0, 1).flatten(1) == 0).all(1).float().mean()))

    layers = [it for it in network.modules() if isinstance(it, nn.ReLU | nn.ReLU6)]
    handles = [layer.register_forward_hook(look) for layer in layers]
    try:
        yield shares
    finally:
        for handle in handles:
            handle.remove()


def _ratio(value: float, to: float) -> float | None:
    return value / to if to > 0 else None


def _named(**numbers: float | None) -> Numbers:
    """Those that are known."""
    return {name: it for name, it in numbers.items() if it is not None}
