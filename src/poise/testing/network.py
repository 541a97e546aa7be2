"""The contract of networks."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from poise.penalties import Scene
from poise.testing.surroundings import seeded
from poise.testing.verdict import attempt, broken, require_kind
from poise.trainer import pack, unpack
from poise.trainer.checks import warn_of_probabilities

__all__ = ["check_discriminator", "check_generator"]

_N = 5

# Finite differences: over all weights together so short a step that it hardly ever switches a unit on or off, where
# gradients jump; and at several points, one of which will do.
_STEP, _POINTS = 1e-6, 3

# So many names are told at once.
_SHOWN = 8


@seeded()
def check_generator(
    network: nn.Module,
    z_dim: int,
    shape: Sequence[int],
    *,
    independent: bool = True,
    double_backward: bool = True,
    bf16: bool = True,
    idle: Collection[str] = (),
) -> None:
    """Check that a network can be the generator of a trainer. The network itself stays as it is.

    - It makes samples ``(n, *shape)`` in float32 of latents ``(n, z_dim)``; in evaluation mode of a single one, too.
    - Its weights are float32, and each that is trainable gets a gradient, which is not 0 wherever one looks.
    - It can be copied, the same seed of torch's default generator gives the same samples, and its ``state_dict`` is all
      that it is.
    - Gradients can be differentiated once more, which some penalties do.
    - It runs, forward and backward, with operations in bfloat16.
    - In evaluation mode a sample depends on its own latent alone.

    Args:
        network: the generator, on any device.
        z_dim: the latent dimension.
        shape: of a sample.
        independent: whether samples may not depend on the others of their batch in evaluation mode. In training mode
            they may, as with batch norm.
        double_backward: whether gradients can be differentiated.
        bf16: whether the network is for the precision ``bf16-mixed``.
        idle: the beginnings of the names of weights that get no gradient now, such as those of a growing network above
            its stage.

    Raises:
        AssertionError: saying what was expected, what was seen and what to change.
    """
    subject = _Generator(network, "generator", (z_dim,), tuple(shape))
    _check(subject, double_backward=double_backward, bf16=bf16, idle=idle)
    if independent:
        subject.check_independence(training=False)


@seeded()
def check_discriminator(
    network: nn.Module,
    shape: Sequence[int],
    *,
    independent: bool = True,
    double_backward: bool = True,
    bf16: bool = True,
    idle: Collection[str] = (),
) -> None:
    """Check that a network can be the discriminator of a trainer. The network itself stays as it is.

    - It gives logits ``(n,)`` or ``(n, ...)`` of samples ``(n, *shape)``; in evaluation mode of a single one, too. It
      may return features beside them, as :class:`~poise.penalties.Scene` says.
    - They are logits, and not probabilities, in float32.
    - Its weights are float32, and each that is trainable gets a gradient, through logits or features, which is not 0
      wherever one looks.
    - A gradient reaches the samples, from which the generator learns, and can be differentiated once more, which
      gradient penalties do.
    - It can be copied, the same seed of torch's default generator gives the same logits, and its ``state_dict`` is all
      that it is.
    - It runs, forward and backward, with operations in bfloat16.
    - In training mode a sample's logits depend on that sample alone, as gradient penalties take for granted.

    Args:
        network: the discriminator, on any device.
        shape: of a sample.
        independent: whether logits may not depend on the other samples of their batch; False is for batch norm,
            minibatch statistics and the like, with which penalties on input gradients do not mean what they say.
        double_backward: whether gradients can be differentiated.
        bf16: whether the network is for the precision ``bf16-mixed``.
        idle: the beginnings of the names of weights that get no gradient now, such as those of a growing network above
            its stage.

    Raises:
        AssertionError: saying what was expected, what was seen and what to change.
    """
    subject = _Discriminator(network, "discriminator", tuple(shape), ())
    _check(subject, double_backward=double_backward, bf16=bf16, idle=idle)
    subject.check_logits()
    if independent:
        subject.check_independence(training=True)


def _check(subject: "_Subject", *, double_backward: bool, bf16: bool, idle: Collection[str]) -> None:
    subject.check_module()
    subject.check_weights()
    subject.check_copy()
    subject.check_output()
    subject.check_seed()
    subject.check_gradients(idle)
    if double_backward:
        subject.check_double_backward()
    if bf16:
        subject.check_bf16()
    subject.check_state()


@dataclass(frozen=True)
class _Subject(ABC):
    """A network in a role.

    Attributes:
        network: which is never called itself, only its copies are.
        name: of the role.
        takes: the shape of what goes in.
        gives: the shape of what comes out, where it is known.
    """

    network: nn.Module
    name: str
    takes: tuple[int, ...]
    gives: tuple[int, ...]

    @abstractmethod
    def outputs(self, network: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        """What the network makes of inputs: what counts, then whatever gradients may come from besides."""

    @property
    def device(self) -> torch.device:
        return next((weight.device for weight in self.network.parameters()), torch.device("cpu"))

    def copy(self, training: bool = True) -> nn.Module:
        return deepcopy(self.network).train(training)

    def inputs(self, n: int = _N, seed: int = 0) -> Tensor:
        with seeded(seed):
            return torch.randn(n, *self.takes).to(self.device)

    def seeded_outputs(self, network: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        with seeded(0, self.device):
            return self.outputs(network, x)

    def run(self, network: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        with attempt(self.what(network.training, x), f"it takes (n, {', '.join(map(str, self.takes))}), for any n"):
            return self.seeded_outputs(network, x)

    def what(self, training: bool, x: Tensor) -> str:
        return f"the {self.name} in {'training' if training else 'evaluation'} mode, given {tuple(x.shape)}"

    # The promises.

    def check_module(self) -> None:
        advice = "give the network itself, and not the class or function that makes it"
        require_kind(self.network, nn.Module, f"the {self.name}", "a torch.nn.Module", advice)

    def check_weights(self) -> None:
        if not any(weight.requires_grad for weight in self.network.parameters()):
            raise broken(
                f"the {self.name}'s weights",
                "some that are trainable",
                "none that requires_grad",
                "make them nn.Parameter, and register layers as attributes or in an nn.ModuleList",
            )
        for name, weight in self.network.named_parameters():
            if weight.dtype != torch.float32:
                raise broken(
                    f"the {self.name}'s weight '{name}'",
                    "float32, which is also what bf16-mixed trains",
                    str(weight.dtype).removeprefix("torch."),
                    f"call {self.name}.float()",
                )

    def check_copy(self) -> None:
        """A copy has weights of its own, so that what follows does not change the network."""
        own = {weight.data_ptr() for weight in self.network.parameters()}
        with attempt(
            f"deepcopy of the {self.name}",
            "keep nothing in the network that cannot be copied, such as tensors with a graph, files or generators",
        ):
            copied = deepcopy(self.network)
        if any(weight.data_ptr() in own for weight in copied.parameters()):
            raise broken(
                f"deepcopy of the {self.name}",
                "weights of its own",
                "those of the original",
                "leave out __deepcopy__: the average of a generator is a copy of it",
            )

    def check_output(self) -> None:
        for n, training in ((_N, True), (_N, False), (1, False)):
            x = self.inputs(n)
            output = self.run(self.copy(training), x)[0]
            what = self.what(training, x)
            wanted = (n, *self.gives) if self.gives else (n, *output.shape[1:])
            if tuple(output.shape) != wanted:
                raise broken(
                    what,
                    f"shape {wanted}" if self.gives else f"logits ({n},) or ({n}, ...)",
                    f"shape {tuple(output.shape)}",
                    "keep the first dimension, also where it is 1 (no squeeze() without a dimension)",
                )
            if output.dtype != torch.float32:
                raise broken(what, "float32", str(output.dtype).removeprefix("torch."), "leave out casts")
            if not output.isfinite().all():
                raise broken(what, "finite numbers", "NaN or infinity", "look at how its weights begin")

    def check_seed(self) -> None:
        x = self.inputs()
        if not _is_same(self.run(self.copy(), x)[0], self.run(self.copy(), x)[0]):
            raise broken(
                f"two copies of the {self.name}, given the same from one seed",
                "the same from both",
                "two results",
                "draw random numbers from torch's default generator, so that training can be resumed",
            )

    def check_gradients(self, idle: Collection[str]) -> None:
        network, x = self.copy(), self.inputs().requires_grad_()
        outputs = self.run(network, x)
        with attempt(
            f"the gradient of the {self.name}", "use differentiable functions of torch, none of them in place"
        ):
            torch.autograd.backward(self.mixed(outputs))
        weights = {
            name: weight
            for name, weight in network.named_parameters()
            if weight.requires_grad and not name.startswith(tuple(idle))
        }
        advice = (
            "use it in forward() without detach() or no_grad(), freeze it with requires_grad_(False), or name it in "
            "idle=[...] if it gets none for now"
        )
        for name, weight in weights.items():
            self.require_gradient(f"the {self.name}'s weight '{name}'", weight, advice)
        self.require_gradient(f"what the {self.name} is given", x, "leave out detach() and no_grad() on the input")
        self.require_slopes(weights.keys())

    def require_slopes(self, weights: Collection[str]) -> None:
        """Gradients that are not 0: at one of several points, as a gate that begins at 0 lets nothing through yet."""
        still = dict.fromkeys((*weights, ""))
        for seed in range(_POINTS):
            network, x = self.copy(), self.inputs(seed=seed).requires_grad_()
            if seed:
                _move(network, seed)
            torch.autograd.backward(self.mixed(self.run(network, x)))
            leaves = dict(network.named_parameters()) | {"": x}
            for name in list(still):
                gradient = leaves[name].grad
                if gradient is not None and gradient.count_nonzero():
                    del still[name]
        what = [f"weight '{name}'" if name else "the input" for name in still]
        if what:
            raise broken(
                f"the gradient of the {self.name} by {', '.join(what[:_SHOWN])}"
                + (f" and {len(what) - _SHOWN} more" if len(what) > _SHOWN else ""),
                "some number that is not 0",
                f"zeros only, at {_POINTS} points",
                "look at what it is multiplied by or clipped to on its way to the output",
            )

    @staticmethod
    def require_gradient(what: str, of: Tensor, change: str) -> None:
        if of.grad is None or not of.grad.isfinite().all():
            seen = "none" if of.grad is None else "NaN or infinity"
            raise broken(f"the gradient by {what}", "finite numbers", seen, change)

    def mixed(self, outputs: Sequence[Tensor]) -> Tensor:
        """One number that depends on all outputs, on each entry in a way of its own; in float32 at least."""
        with seeded(1, self.device):
            factors = [torch.randn(it.shape, device=it.device) for it in outputs]
        return torch.stack([(it * factor).sum() for it, factor in zip(outputs, factors, strict=True)]).sum()

    def level(self, network: nn.Module, x: Tensor) -> Tensor:
        """One number of what the network makes of ``x``."""
        return self.mixed(self.seeded_outputs(network, x)[:1])

    def slope(self, network: nn.Module, x: Tensor) -> Tensor:
        """The square of that number's gradient by ``x``, as penalties have it."""
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.level(network, x), x, create_graph=True)
        return slope.square().sum()

    def check_double_backward(self) -> None:
        what = f"the gradient of a gradient of the {self.name}"
        advice = (
            "use operations that can be differentiated twice; where no penalty is on this network's gradients, give "
            "double_backward=False"
        )
        network = self.copy()
        with attempt(what, advice):
            # By all that it depends on: by the weights alone, what refuses to be differentiated would be passed over.
            torch.autograd.backward(self.slope(network, self.inputs()))
        if not all(weight.grad.isfinite().all() for weight in network.parameters() if weight.grad is not None):
            raise broken(what, "finite numbers", "NaN or infinity", advice)
        if not self.has_right_slopes():
            raise broken(what, "that of finite differences", "another", advice)

    def has_right_slopes(self) -> bool:
        """Whether finite differences, in float64, bear out the gradient of a gradient, as far as they can tell.

        They cannot where they do not even bear out the gradient itself: something is held constant, or in float32. It
        is in evaluation mode, because in training a spectral norm's vectors follow the weights, and count as constants.
        """
        for seed in range(_POINTS):
            x = self.inputs(seed=seed).double()
            try:
                first, second = self.derivatives(self.level, x), self.derivatives(self.slope, x)
            except Exception:  # Whatever this network cannot do in float64, nobody asks of it.
                return True
            if _agree(*second, share=1e-4) or not _agree(*first, share=1e-4):
                return True
        return False

    def derivatives(self, of: Callable[[nn.Module, Tensor], Tensor], x: Tensor) -> tuple[float, float, float]:
        """The derivative of a number by the weights in some direction: its own and by differences; and the number."""
        network = self.copy(training=False).double()
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        with seeded(8, self.device):
            drawn = [torch.randn_like(weight) for weight in weights]
        length = torch.stack([way.norm() for way in drawn]).norm()
        direction = [way / length for way in drawn]

        def moved(distance: float) -> Tensor:
            there = deepcopy(network)
            trained = [weight for weight in there.parameters() if weight.requires_grad]
            with torch.no_grad():
                for weight, way in zip(trained, direction, strict=True):
                    weight.add_(distance * way)
            return of(there, x)

        difference = (moved(_STEP) - moved(-_STEP)).item() / (2 * _STEP)
        at = of(network, x)
        gradients = torch.autograd.grad(at, weights, allow_unused=True)
        pairs = [(gradient, way) for gradient, way in zip(gradients, direction, strict=True) if gradient is not None]
        return sum((gradient * way).sum().item() for gradient, way in pairs), difference, at.item()

    def check_bf16(self) -> None:
        network, x = self.copy(), self.inputs()
        what = f"the {self.name} with operations in bfloat16"
        advice = "put what cannot do so under torch.autocast(..., enabled=False), or give bf16=False for 32-true only"
        with attempt(what, advice):
            with torch.autocast(self.device.type, torch.bfloat16):
                outputs = self.outputs(network, x)
            torch.autograd.backward(self.mixed(outputs))
        gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
        if not all(tensor.isfinite().all() for tensor in (*outputs, *gradients)):
            raise broken(what, "finite outputs and gradients", "NaN or infinity", advice)

    def check_state(self) -> None:
        """What another copy is given by a state is all that a trained network is."""
        trained, fresh = self.copy(), self.copy()
        _move(trained, seed=2)
        for seed in (3, 4):
            self.run(trained, 1 + 2 * self.inputs(seed=seed))
        advice = (
            "keep state in parameters and buffers (register_buffer), or give it as tensors from get_extra_state() and "
            "take it back in set_extra_state()"
        )
        with attempt(f"state_dict of the {self.name}, saved and loaded", advice):
            fresh.load_state_dict(unpack(pack(trained.state_dict())))
        x = self.inputs(seed=5)
        for training in (False, True):
            one, other = self.run(trained.train(training), x)[0], self.run(fresh.train(training), x)[0]
            if not _is_same(one, other):
                raise broken(
                    f"a copy of the {self.name}, into which the state of a trained one was loaded",
                    "the same outputs",
                    f"others in {'training' if training else 'evaluation'} mode, by up to "
                    f"{(one - other).abs().max().item():.3g}",
                    advice,
                )

    def check_independence(self, training: bool) -> None:
        """Each sample keeps its output where the others of its batch are exchanged."""
        x = self.inputs(seed=6)
        expected = self.run(self.copy(training), x)[0]
        for place in range(_N):
            others = 1 + 3 * self.inputs(seed=7)
            others[place] = x[place]
            seen = self.run(self.copy(training), others)[0]
            if not _is_same(expected[place], seen[place]):
                raise broken(
                    f"the {self.name} in {'training' if training else 'evaluation'} mode, where the other samples of "
                    "the batch are exchanged",
                    "that a sample's output stays",
                    f"a change by {(expected[place] - seen[place]).abs().max().item():.3g}",
                    f"{self.mixing()}; if it is meant so, give independent=False",
                )

    def mixing(self) -> str:
        """What to change where samples are mixed."""
        norms = [name for name, it in self.network.named_modules() if isinstance(it, nn.modules.batchnorm._BatchNorm)]
        if norms:
            return f"leave out batch norm (layer '{norms[0]}'), or take group or layer norm"
        return "do nothing over the first dimension"


class _Generator(_Subject):
    def outputs(self, network: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        samples: Any = network(x)
        if not isinstance(samples, Tensor):
            raise TypeError(f"a {type(samples).__name__} in place of a tensor of samples")
        return (samples,)


class _Discriminator(_Subject):
    def outputs(self, network: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        logits, features = Scene(network, real=x).real_view
        return (logits, *features.values())

    def check_logits(self) -> None:
        logits = self.run(self.copy(), self.inputs())[0]
        with warnings.catch_warnings(), attempt("the discriminator", "leave out the last activation"):
            warnings.simplefilter("error")
            warn_of_probabilities(logits)


def _move(network: nn.Module, seed: int) -> None:
    """Change all weights a little, as a training does."""
    weights = list(network.parameters())
    with seeded(seed, weights[0].device), torch.no_grad():
        for weight in weights:
            weight.add_(0.1 * torch.randn_like(weight))


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Finite and equal, but for the last digits, which some kernels leave to chance."""
    scale = max(one.abs().max().item(), other.abs().max().item())
    return one.shape == other.shape and (one - other).abs().max().item() <= 1e-5 * scale


def _agree(one: float, other: float, value: float, share: float) -> bool:
    """Whether two derivatives of a value are the same, but for a share of them and what rounding does to a value."""
    return abs(one - other) <= share * max(abs(one), abs(other)) + 1e-7 * abs(value)
