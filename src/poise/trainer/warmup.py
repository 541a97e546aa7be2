"""Warm-ups: how the generator begins before the game."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from poise.errors import ShapeError
from poise.penalties import Scene
from poise.trainer.player import OptimizerFactory

__all__ = ["Autoencoder", "WarmUp"]


class WarmUp(ABC):
    """Trains the generator alone in the first steps, with an optimizer of its own.

    These steps show D nothing: they do not count in ``nimg``, and the balance policy counts its steps after them.

    Args:
        steps: how many, at least 1.
        optimizer: gives the optimizer of what :meth:`begin` returns.

    Raises:
        ValueError: when ``steps`` is below 1.
    """

    def __init__(self, steps: int, optimizer: OptimizerFactory) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}; a warm-up takes at least 1")
        self.steps = steps
        self.optimizer = optimizer

    @abstractmethod
    def begin(self, generator: nn.Module) -> nn.Module:
        """The network that is trained; the generator is part of it, everything else is dropped afterwards."""

    @abstractmethod
    def objective(self, scene: Scene, update: int) -> tuple[Tensor, dict[str, Tensor]]:
        """What is minimized in a scene, after ``update`` updates, and its parts by their log names."""


class Autoencoder(WarmUp):
    r"""The generator begins as the decoder of an autoencoder: it minimizes the mean of :math:`(G(E(x)) - x)^2`.

    Args:
        encoder: samples ``(n, ...)`` to latents ``(n, z_dim)``; dropped after the warm-up.
        steps: how many, at least 1.
        optimizer: gives the optimizer of the encoder's and the generator's weights together.

    Raises:
        ValueError: when ``steps`` is below 1.
    """

    def __init__(self, encoder: nn.Module, steps: int, optimizer: OptimizerFactory) -> None:
        super().__init__(steps, optimizer)
        self.encoder = encoder

    def begin(self, generator: nn.Module) -> nn.Module:
        """Encoder and generator."""
        return nn.ModuleDict({"encoder": self.encoder, "generator": generator})

    def objective(self, scene: Scene, update: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean squared error, ``warmup_loss`` in the log.

        Raises:
            ShapeError: when the encoder does not give latents, or the generator does not make samples of their shape.
        """
        with scene.autocast():
            z = self.encoder(scene.real)
            if z.shape != scene.z.shape:
                raise ShapeError(
                    f"the warm-up's encoder gives {tuple(z.shape[1:])} for each sample, and the generator takes "
                    f"{tuple(scene.z.shape[1:])}: end the encoder with as many outputs, or change z_dim"
                )
            samples = scene.samples(z)
        if samples.shape != scene.real.shape:
            raise ShapeError(
                f"the generator makes samples of shape {tuple(samples.shape[1:])}, the data has "
                f"{tuple(scene.real.shape[1:])}: build the generator for the data's shape"
            )
        loss = mse_loss(samples, scene.real)
        return loss, {"warmup_loss": loss}
