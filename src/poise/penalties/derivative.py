"""Derivatives with respect to samples, which can be differentiated again."""

from __future__ import annotations  # nested functions are traced, and their annotations would be too

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["input_gradients", "mean_logits", "pullback"]

Out = TypeVar("Out")


def pullback(
    function: Callable[[Tensor], tuple[Tensor, Out]], samples: Tensor, create_graph: bool = True
) -> tuple[Tensor, Out, Callable[[], Tensor]]:
    r"""What a function makes of samples, and how the sum of it changes with them.

    Args:
        function: samples to values, of any shape, and whatever tensors come beside them.
        samples: where. Samples without a graph are taken as constants.
        create_graph: let the gradient be differentiable in turn.

    Returns:
        The values; what came beside them; and what gives :math:`\nabla_x \sum_i f_i(x)`, in the shape of the samples.
    """
    if torch.compiler.is_compiling():
        # Autograd's own calls cannot be traced; these are, and give the same numbers.
        values, transpose, beside = torch.func.vjp(function, samples, has_aux=True)  # type: ignore[misc]

        def traced() -> Tensor:
            gradient: Tensor = transpose(torch.ones_like(values))[0]
            return gradient if create_graph else gradient.detach()

        return values, beside, traced
    samples = samples if samples.requires_grad else samples.detach().requires_grad_()
    values, beside = function(samples)

    def gradient() -> Tensor:
        (gradient,) = torch.autograd.grad(values, samples, torch.ones_like(values), create_graph=create_graph)
        return gradient

    return values, beside, gradient


def mean_logits(logits: Tensor) -> Tensor:
    """One logit a sample, ``(n,)``, of logits ``(n, ...)``: of patches, their mean."""
    return logits.reshape(len(logits), -1).mean(1)


def input_gradients(
    critic: Callable[[Tensor], Tensor], points: Tensor, create_graph: bool = True
) -> tuple[Tensor, Tensor]:
    """The critic's mean logit of each point, ``(n,)``, and the gradient of that logit there, ``(n, d)``.

    Args:
        critic: gives logits ``(n, ...)`` of samples ``(n, ...)``; several logits a sample (patches) are averaged. It
            must not mix samples of a batch.
        points: where, ``(n, ...)``; they are taken as constants.
        create_graph: let the gradient be differentiable with respect to the critic's weights.
    """
    logits, _, gradient = pullback(lambda it: (mean_logits(critic(it)), ()), points.detach(), create_graph)
    return logits, gradient().flatten(1)
