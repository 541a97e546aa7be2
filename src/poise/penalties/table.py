"""The tables of penalties and of measurements."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

from poise.penalties.anchor import lecam
from poise.penalties.consistency import bcr, zcr, zcr_g
from poise.penalties.distance import adversarial_norm, gradient_norm
from poise.penalties.feature import feature_matching
from poise.penalties.gradient import dragan, input_gradient_norm, max_gp, r1, r2, roth, wgan_gp, zero_gp
from poise.penalties.penalty import Penalty
from poise.penalties.scene import Scene
from poise.penalties.weight import orthogonal

__all__ = ["MEASURES", "PENALTIES"]

PENALTIES: Mapping[str, Penalty] = MappingProxyType(
    {
        "wgan_gp": wgan_gp(),
        "r1": r1(),
        "r2": r2(),
        "zero_gp": zero_gp(),
        "dragan": dragan(),
        "max_gp": max_gp(),
        "roth": roth(),
        "gradient_norm": gradient_norm(),
        "adversarial_norm": adversarial_norm(),
        "lecam": lecam(),
        "bcr": bcr(),
        "zcr": zcr(),
        "zcr_g": zcr_g(),
        "feature_matching": feature_matching(),
        "orthogonal": orthogonal(),
    }
)
"""Every penalty by its name, with its default options. The function of the same name builds it with others."""

MEASURES: Mapping[str, Callable[[Scene], Tensor]] = MappingProxyType({"d_input_grad_norm": input_gradient_norm})
"""Every measurement of a scene that a balance policy may ask for, by its log name; each gives one number, ``()``."""
