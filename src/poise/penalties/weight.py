"""Penalties on a player's weights."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from poise.errors import ConfigError
from poise.penalties.penalty import Penalty
from poise.penalties.scene import Scene

__all__ = ["orthogonal"]


@dataclass(frozen=True)
class _Orthogonal:
    diagonal: bool

    def __call__(self, scene: Scene) -> Tensor:
        values = [self._distance(matrix) for matrix in _matrices(scene.network)]
        if not values:
            raise ConfigError("orthogonal needs weights of two or more dimensions, and the network has none")
        return torch.stack(values).sum()

    def _distance(self, matrix: Tensor) -> Tensor:
        rows, columns = matrix.shape
        if rows <= columns:
            gram = matrix @ matrix.T
            diagonal = gram.diagonal()
            wanted = torch.ones_like(diagonal) if self.diagonal else diagonal
            return (gram - torch.diag_embed(wanted)).square().sum()
        # Of more rows than columns the small matrix W^T W has the same norm: |W W^T|^2 = |W^T W|^2. The rows cannot all
        # be orthogonal then, so the difference is far from 0 and no digits are lost.
        lengths = matrix.square().sum(1)
        excess = 2 * lengths.sum() - rows if self.diagonal else lengths.square().sum()
        return (matrix.T @ matrix).square().sum() - excess


def _matrices(network: nn.Module) -> Iterator[Tensor]:
    """Every weight as a matrix with a row for each output."""
    turned: set[nn.Parameter] = set()
    tables: set[nn.Parameter] = set()
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            turned.update(module.parameters())
        elif isinstance(module, nn.Embedding):
            tables.update(module.parameters())
    for weight in network.parameters():
        if weight.ndim >= 2 and weight not in tables:
            yield (weight.transpose(0, 1) if weight in turned else weight).flatten(1)


def orthogonal(diagonal: bool = True) -> Penalty:
    r"""How far a player's weights are from having orthogonal rows, summed over its weights.

    .. math:: \sum_W \|W W^T - I\|_F^2 \qquad \text{or, with diagonal=False,} \qquad
        \sum_W \|W W^T \odot (1 - I)\|_F^2

    W is every weight of two or more dimensions as a matrix of a row for each output unit or channel; biases, gains
    and embedding tables are left alone. The second form leaves the lengths of the rows free. Of a parametrized
    weight, such as one with spectral norm, W is what is trained. For the discriminator, or whomever it is given to.

    Args:
        diagonal: draw the rows' lengths to 1 as well.

    Returns:
        A penalty that is one number for the network, whatever the samples.

    Raises:
        ConfigError: in use, when the network has no such weight.

    Source: Brock et al. 2018, Large Scale GAN Training for High Fidelity Natural Image Synthesis, arXiv 1809.11096,
    equations 2 and 3 (their W has a column for each output), with a weight of 1e-4; the idea is from Brock et al.
    2016, Neural Photo Editing with Introspective Adversarial Networks, arXiv 1609.07093.
    """
    return _Orthogonal(diagonal)
