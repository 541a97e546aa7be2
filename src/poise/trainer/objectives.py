"""What each player minimizes."""

from collections.abc import Mapping

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from poise.errors import ConfigError
from poise.losses import AdversarialLoss
from poise.penalties import Weighted, gradient_penalty, log_name
from poise.trainer.checks import require_shape

__all__ = ["Objectives"]

Numbers = dict[str, Tensor]


class Objectives:
    """The two players' objectives on one batch: networks times loss times penalties.

    Networks run in the fabric's precision; logits, losses and penalties are float32.

    Args:
        generator: latents to samples.
        discriminator: samples to logits.
        loss: the adversarial loss.
        penalties: terms of the discriminator's objective by name.
        fabric: the precision.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: AdversarialLoss,
        penalties: Mapping[str, Weighted],
        fabric: Fabric,
    ) -> None:
        self._generator = generator
        self._discriminator = discriminator
        self._loss = loss
        self._penalties = penalties
        self._autocast = fabric.autocast

    def discriminator(self, real: Tensor, z: Tensor, update: int) -> tuple[Tensor, Numbers]:
        """The discriminator's objective, and its parts by their log names.

        Args:
            real: real samples ``(n, ...)``.
            z: latents ``(n, z_dim)``.
            update: updates of the discriminator before this one, which decide the penalties whose turn it is.
        """
        with torch.no_grad():
            fake = self._samples(z)
        require_shape(fake, real)
        real_logits, fake_logits = self._logits(real), self._logits(fake)
        d_loss = self._loss.d(real_logits, fake_logits).mean()
        total, terms = d_loss, {}
        for name, (penalty, weight, every) in self._penalties.items():
            if update % every == 0:
                # Outside autocast: a gradient's norm squares small numbers, which bfloat16 loses.
                term = weight * gradient_penalty(penalty, self._discriminator, real, fake).mean()
                total, terms[log_name(name)] = total + every * term, term
        return total, {
            "d_loss": d_loss,
            "d_loss_total": total,
            **terms,
            "d_real": real_logits.mean(),
            "d_fake": fake_logits.mean(),
            "d_accuracy": (real_logits > fake_logits).float().mean(),
        }

    def generator(self, real: Tensor | None, z: Tensor) -> tuple[Tensor, Numbers]:
        """The generator's objective, and its parts by their log names.

        Args:
            real: real samples ``(n, ...)``, for losses whose generator looks at them.
            z: latents ``(n, z_dim)``.

        Raises:
            ConfigError: when the loss looks at real samples and there are none.
        """
        fake_logits = self._logits(self._samples(z))
        real_logits = fake_logits
        if self._loss.g_uses_real:
            if real is None:
                raise ConfigError(
                    "this loss compares fakes with reals in the generator's step too: give it real samples"
                )
            with torch.no_grad():
                real_logits = self._logits(real)
        g_loss = self._loss.g(real_logits, fake_logits).mean()
        return g_loss, {"g_loss": g_loss, "d_fake_g": fake_logits.mean()}

    def _samples(self, z: Tensor) -> Tensor:
        with self._autocast():
            samples: Tensor = self._generator(z)
        return samples.float()

    def _logits(self, samples: Tensor) -> Tensor:
        with self._autocast():
            logits: Tensor = self._discriminator(samples)
        return logits.float()
