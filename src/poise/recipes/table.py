"""Every recipe by its name."""

from collections.abc import Mapping
from types import MappingProxyType

from poise.recipes.auto import auto
from poise.recipes.recipes import (
    Recipe,
    adaptive_critic,
    balanced,
    feature_matching,
    hinge_sn,
    lsgan,
    minimax,
    points,
    progressive,
    r1,
    r3gan,
    ragan,
    relativistic,
    sngan,
    thumbnails,
    ttur,
    vanilla,
    wgan,
    wgan_gp,
)

__all__ = ["RECIPES"]

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "auto": auto,
        "r3gan": r3gan,
        "points": points,
        "thumbnails": thumbnails,
        "relativistic": relativistic,
        "vanilla": vanilla,
        "minimax": minimax,
        "wgan": wgan,
        "wgan-gp": wgan_gp,
        "hinge-sn": hinge_sn,
        "sngan": sngan,
        "lsgan": lsgan,
        "feature-matching": feature_matching,
        "ttur": ttur,
        "r1": r1,
        "ragan": ragan,
        "balanced": balanced,
        "adaptive-critic": adaptive_critic,
        "progressive": progressive,
    }
)
"""Every recipe by its name."""
