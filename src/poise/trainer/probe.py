"""What networks allow, found out by trying copies of them: the networks themselves and all randomness stay as they are.

Networks that cannot be copied, or fail on what they are given, allow nothing special; training will say what is wrong
with them.
"""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

__all__ = ["judges_alone", "to_channels_last"]

_SAMPLES = 4
_TOLERANCE = 1e-3


def judges_alone(
    generator: nn.Module, discriminator: nn.Module, z_dim: int, classes: int, device: torch.device
) -> bool:
    """Whether D's verdict on a sample is the same whatever else is in the batch, and whenever it is asked.

    Batch norm and other statistics of the batch, dropout and noise make it another one.

    Args:
        generator: latents ``(n, z_dim)`` to samples.
        discriminator: samples to whatever it puts out, in the mode in which it trains.
        z_dim: the latent dimension.
        classes: how many the networks take.
        device: where the networks are.
    """

    def is_same() -> bool:
        z, *labels = _deal(z_dim, classes, device)
        given = torch.randn_like(deepcopy(generator)(z, *labels)), *labels
        together = _outputs(discriminator, *given)
        apart = [_outputs(discriminator, *part) for part in zip(*(it.tensor_split(2) for it in given), strict=True)]
        return all(
            torch.allclose(whole, torch.cat(parts), rtol=0, atol=_TOLERANCE * float(whole.abs().max()))
            for whole, *parts in zip(together, *apart, strict=True)
        )

    return _succeeds(is_same)


def to_channels_last(
    generator: nn.Module, discriminator: nn.Module, z_dim: int, classes: int, device: torch.device
) -> bool:
    """Let the channels of images lie next to each other in memory, which convolutions are faster with.

    Networks of vectors, and those that take a ``view`` across channels, stay as they are.

    Returns:
        Whether it was done. Arguments are those of :func:`judges_alone`.
    """
    networks = (generator, discriminator)
    if not all(any(isinstance(it, nn.Conv2d | nn.ConvTranspose2d) for it in network.modules()) for network in networks):
        return False

    def works() -> bool:
        make, judge = (_in_channels_last(deepcopy(network)) for network in networks)
        z, *labels = _deal(z_dim, classes, device)
        judge(make(z, *labels).contiguous(memory_format=torch.channels_last), *labels)
        return True

    if not _succeeds(works):
        return False
    for network in networks:
        _in_channels_last(network)
    return True


def _in_channels_last(network: nn.Module) -> nn.Module:
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _deal(z_dim: int, classes: int, device: torch.device) -> list[Tensor]:
    """Latents, and labels for networks that take classes."""
    z = torch.randn(_SAMPLES, z_dim, device=device)
    return [z, torch.arange(_SAMPLES, device=device) % classes] if classes else [z]


def _outputs(network: nn.Module, *given: Tensor) -> list[Tensor]:
    """All tensors that a fresh copy puts out: each begins with the same power iteration of a spectral norm."""
    return [it for it in tree_leaves(deepcopy(network)(*given)) if isinstance(it, Tensor)]


@torch.no_grad()
def _succeeds(trial: Callable[[], bool]) -> bool:
    with torch.random.fork_rng():
        try:
            return trial()
        except Exception:
            return False
