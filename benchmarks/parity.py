"""Whether two loops train the same: from the same weights, samples and random numbers they come to the same weights.

Twice: :func:`check_maths` compares in float64, where nothing but other maths can keep two loops apart; a
:class:`Reference` compares each loop as it is then timed, in its own precision and mode.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, repeat

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cases import Case
from variants import PLAIN, Loop, Variant, variants_of

__all__ = ["MATHS_TOLERANCE", "STEPS", "TOLERANCES", "DifferentTrainingError", "Reference", "check_maths"]

STEPS = 4

MATHS_TOLERANCE = 1e-6
TOLERANCES = {"fp32": 0.1, "bf16": 0.35}
"""How far two loops may come apart in :data:`STEPS` steps, as a share of the way that the weights went.

Adam's first updates are the learning rate times nearly the sign of each gradient, however small the gradient, so that
roundings show at once wherever a gradient is about 0: hence tolerances far above the precisions.
"""

# Networks with batch norm need some samples; float64 convolutions are slow.
_BATCH = 4

_DRAWS = (torch.rand, torch.randn, torch.rand_like, torch.randn_like, Tensor.normal_, Tensor.uniform_)


class DifferentTrainingError(AssertionError):
    """Two loops that are to do the same do not."""


class _Recorded(TorchFunctionMode):
    """Keeps all random numbers that are drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[Tensor] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in _DRAWS:
            self.drawn.append(result.clone())
        return result


class _Replayed(TorchFunctionMode):
    """Gives random numbers that were drawn before."""

    def __init__(self, drawn: Iterator[Tensor]) -> None:
        super().__init__()
        self._drawn = drawn

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function not in _DRAWS:
            return result
        drawn = next(self._drawn, None)
        if drawn is None or drawn.numel() != result.numel():
            there = "nothing" if drawn is None else tuple(drawn.shape)
            raise DifferentTrainingError(f"draws random numbers {tuple(result.shape)} where poise draws {there}")
        return result.copy_(drawn.reshape(result.shape))


class Reference:
    """What the plain loop comes to in a few steps on the random numbers that poise draws.

    Args:
        case: the case.
        reals: batches of real samples.
    """

    def __init__(self, case: Case, reals: list[Tensor]) -> None:
        self._peeks = case.peeks
        by_name = variants_of(case)
        eager = by_name["poise eager fp32"].start(reals)
        with _Recorded() as recorded:
            _go(eager)
        self._drawn = recorded.drawn
        loop = by_name[PLAIN].start(reals)
        self._start = _weights(loop)
        self._go_by_hand(loop)
        self._weights = _weights(loop)

    def _go_by_hand(self, loop: Loop) -> None:
        drawn = chain.from_iterable(repeat(numbers, self._peeks) for numbers in self._drawn)
        with _Replayed(drawn):
            _go(loop)
        left = sum(1 for _ in drawn)
        if left:
            raise DifferentTrainingError(f"draws random numbers {left} times less often than poise")

    def check(self, variant: Variant, loop: Loop, tolerance: float) -> dict[str, float]:
        """Take a variant's first steps; return how far its networks' weights are from the plain loop's then.

        Raises:
            DifferentTrainingError: when that is above the tolerance.
        """
        # Poise draws the same numbers as before, from the same seed.
        (self._go_by_hand if variant.is_by_hand else _go)(loop)
        weights = _weights(loop)
        distances = {}
        for name, theirs in self._weights.items():
            way = (theirs - self._start[name]).norm()
            distances[name] = float((weights[name] - theirs).norm() / way.clamp(min=1e-12))
            if not distances[name] <= tolerance:
                raise DifferentTrainingError(
                    f"trains differently: after {STEPS} steps the {name}'s weights are {distances[name]:.2g} of their "
                    f"way from the plain loop's, above {tolerance:g}"
                )
        return distances


def check_maths(case: Case, device: str) -> None:
    """In float64 and on small batches, poise and the loops by hand come to the plain loop's weights.

    Raises:
        DifferentTrainingError: when one does not.
    """
    case = replace(case, batch=_BATCH)
    with _float64():
        reals = case.reals(device)
        reference = Reference(case, reals)
        for name, variant in variants_of(case, executions=("eager",), precisions=("fp32",)).items():
            if name != PLAIN and variant.same_training:
                try:
                    reference.check(variant, variant.start(reals), MATHS_TOLERANCE)
                except DifferentTrainingError as error:
                    raise DifferentTrainingError(f"{name}, in float64: {error}") from None


@contextmanager
def _float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _go(loop: Loop) -> None:
    for _ in range(STEPS):
        loop.step()


def _weights(loop: Loop) -> dict[str, Tensor]:
    """The weights of each network, in one vector."""
    return {
        name: torch.cat([weight.detach().flatten() for weight in network.parameters()])
        for name, network in (("generator", loop.generator), ("discriminator", loop.discriminator))
    }
