"""The recipes. Each gives the settings of its source; networks and length follow from the data.

On vectors all of them train multilayer perceptrons, those whose source has networks of its own too.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from poise.config import (
    AugmentConfig,
    Config,
    ConstraintConfig,
    EmaConfig,
    EvaluateConfig,
    OptimizerConfig,
    Part,
    PenaltyConfig,
)
from poise.data import Data, held_out
from poise.models import PRESETS

__all__ = [
    "DEFAULTS",
    "Recipe",
    "adaptive_critic",
    "balanced",
    "default_for",
    "feature_matching",
    "hinge_sn",
    "lsgan",
    "minimax",
    "points",
    "progressive",
    "r1",
    "r3gan",
    "ragan",
    "relativistic",
    "safe_for",
    "sngan",
    "thumbnails",
    "ttur",
    "vanilla",
    "wgan",
    "wgan_gp",
]

Recipe = Callable[[Data], Config]


# Images are shown so often, within limits.
_EPOCHS = 100

_POINTS_KIMG = 7680.0


def _config(data: Data, *, norm: str = "batch", optimizer: OptimizerConfig | None = None, **settings: Any) -> Config:
    """What all recipes share: networks and length as fit the data, one optimizer for both, then ``settings``."""
    if data.kind == "vectors":
        networks = {"generator": Part(class_="mlp"), "discriminator": Part(class_="mlp")}
        fitting: dict[str, Any] = {"z_dim": 8, "batch": 256, "evaluate": EvaluateConfig(every_kimg=100.0)}
    else:
        networks = {"generator": Part(class_="dcgan"), "discriminator": Part(class_="dcgan", norm=norm)}
        fitting = {"z_dim": 64, "batch": 64}
    fitting["kimg"] = _kimg(data)
    fitting["batch"] = min(fitting["batch"], len(data) - len(held_out(len(data))))
    if optimizer is not None:
        fitting |= {"g_optimizer": optimizer, "d_optimizer": optimizer}
    size = data.shape[-1] if data.kind == "images" else None
    return Config(data=data.source, size=size, **(networks | fitting | settings))


def _kimg(data: Data) -> float:
    return 2500.0 if data.kind == "vectors" else float(min(max(_EPOCHS * len(data) // 1000, 150), 5000))


def _adam(lr: float, beta1: float, beta2: float) -> OptimizerConfig:
    return OptimizerConfig(class_="Adam", lr=lr, betas=(beta1, beta2))


def vanilla(data: Data) -> Config:
    """DCGAN: the non-saturating loss, alternating, Adam 2e-4 (0.5, 0.999). Radford et al. 2015, arXiv 1511.06434."""
    return _config(data, loss=Part(class_="vanilla"), optimizer=_adam(2e-4, 0.5, 0.999))


def minimax(data: Data) -> Config:
    """The original saturating loss, with DCGAN's settings. Goodfellow et al. 2014, arXiv 1406.2661."""
    return _config(data, loss=Part(class_="minimax"), optimizer=_adam(2e-4, 0.5, 0.999))


def wgan(data: Data) -> Config:
    """WGAN: weights clipped to 0.01, 5 critic steps, RMSprop 5e-5. Arjovsky et al. 2017, arXiv 1701.07875."""
    return _config(
        data,
        loss=Part(class_="wasserstein"),
        constraints={"clip": ConstraintConfig(limit=0.01)},
        balance=Part(class_="alternating", d_steps=5),
        optimizer=OptimizerConfig(class_="RMSprop", lr=5e-5),
    )


def wgan_gp(data: Data) -> Config:
    """WGAN-GP: weight 10, 5 critic steps, Adam 1e-4 (0, 0.9). Gulrajani et al. 2017, arXiv 1704.00028."""
    return _config(
        data,
        norm="none",
        loss=Part(class_="wasserstein"),
        penalties={"wgan_gp": PenaltyConfig(weight=10.0)},
        balance=Part(class_="alternating", d_steps=5),
        optimizer=_adam(1e-4, 0.0, 0.9),
    )


def hinge_sn(data: Data) -> Config:
    """SNGAN: hinge loss, spectral norm on D, 5 steps of D, Adam 2e-4 (0, 0.9). Miyato et al. 2018, arXiv 1802.05957."""
    return _config(
        data,
        norm="none",
        loss=Part(class_="hinge"),
        constraints={"spectral_norm": ConstraintConfig()},
        balance=Part(class_="alternating", d_steps=5),
        optimizer=_adam(2e-4, 0.0, 0.9),
    )


def lsgan(data: Data) -> Config:
    """Least squares with targets 0, 1, 1, and DCGAN's settings. Mao et al. 2017, arXiv 1611.04076."""
    return _config(data, loss=Part(class_="lsgan", a=0.0, b=1.0, c=1.0), optimizer=_adam(2e-4, 0.5, 0.999))


def feature_matching(data: Data) -> Config:
    """G also matches the mean of D's last hidden layer; DCGAN's settings. Salimans et al. 2016, arXiv 1606.03498."""
    config = _config(data, loss=Part(class_="vanilla"), optimizer=_adam(2e-4, 0.5, 0.999))
    layer = _last_hidden(config.discriminator, data)
    return config.model_copy(
        update={"penalties": {"feature_matching": PenaltyConfig(class_="feature_matching", weight=1.0, layers=[layer])}}
    )


def _last_hidden(part: Part, data: Data) -> str:
    """The name of the last activation of a preset's discriminator."""
    with torch.device("meta"):
        network: nn.Module = PRESETS[part.class_].discriminator(shape=data.shape, **part.options)
    names: list[str] = [name for name, layer in network.named_modules() if isinstance(layer, nn.LeakyReLU)]
    return names[-1]


def ttur(data: Data) -> Config:
    """Two time scales: G at 1e-4, D at 4e-4; hinge loss, spectral norm on both. Zhang et al. 2018, arXiv 1805.08318."""
    return _config(
        data,
        norm="none",
        loss=Part(class_="hinge"),
        constraints={
            "spectral_norm": ConstraintConfig(),
            "g_spectral_norm": ConstraintConfig(class_="spectral_norm", to="G"),
        },
        g_optimizer=_adam(1e-4, 0.0, 0.9),
        d_optimizer=_adam(4e-4, 0.0, 0.9),
    )


def r1(data: Data) -> Config:
    """The non-saturating loss with R1, gamma 10, and RMSprop 1e-4. Mescheder et al. 2018, arXiv 1801.04406."""
    return _config(
        data,
        norm="none",
        loss=Part(class_="vanilla"),
        penalties={"r1": PenaltyConfig(weight=10.0)},
        optimizer=OptimizerConfig(class_="RMSprop", lr=1e-4),
    )


def relativistic(data: Data) -> Config:
    """Relativistic pairing loss with R1 and R2, as in R3GAN. Huang et al. 2024, arXiv 2501.05441."""
    vectors = data.kind == "vectors"
    gamma = 0.01 if vectors else 0.2
    penalty = PenaltyConfig(weight=gamma, every=1 if vectors else 4)
    return _config(
        data,
        norm="none",
        loss=Part(class_="relativistic"),
        penalties={"r1": penalty, "r2": penalty},
        ema=EmaConfig(half_life_kimg=20.0),
        optimizer=_adam(1e-3 if vectors else 5e-4, 0.0, 0.9 if vectors else 0.95),
    )


def points(data: Data) -> Config:
    """For vectors: relativistic pairs, R1 and R2; gamma and learning rates fall by cosine, so that modes get sharp."""
    # Below 3e-4 modes get no sharper, and what each of them gets drifts.
    gamma = PenaltyConfig(weight=_cosine(0.01, 3e-4))
    of_vectors: dict[str, Any] = {
        # A plain ReLU: where its units are off, a generator is flat. It needs that to put all latents of a region on
        # one mode, and few on the way to the next one.
        "generator": Part(class_="mlp", slope=0.0),
        # The share of each mode goes up and down over hundreds of steps.
        "ema": EmaConfig(half_life_kimg=200.0),
        "kimg": _POINTS_KIMG,
    }
    return _config(
        data,
        norm="none",
        loss=Part(class_="relativistic"),
        penalties={"r1": gamma, "r2": gamma},
        g_optimizer=OptimizerConfig(class_="Adam", lr=_cosine(3e-3, 3e-5), betas=(0.0, 0.9)),
        d_optimizer=OptimizerConfig(class_="Adam", lr=_cosine(1e-3, 1e-5), betas=(0.0, 0.9)),
        **(of_vectors if data.kind == "vectors" else {}),
    )


def thumbnails(data: Data) -> Config:
    """For small images: relativistic pairs with R1 and R2, as `relativistic`; learning rates fall by cosine."""
    if data.kind == "vectors":
        return points(data)
    optimizer = OptimizerConfig(class_="Adam", lr=_cosine(2e-3, 2e-5), betas=(0.0, 0.99))
    return relativistic(data).model_copy(update={"g_optimizer": optimizer, "d_optimizer": optimizer})


def r3gan(data: Data) -> Config:
    """R3GAN: its networks, relativistic pairs, R1 and R2, all by cosine. Huang et al. 2024, arXiv 2501.05441."""
    if data.kind == "vectors":
        return points(data)
    size = "small" if torch.cuda.is_available() else "nano"
    gamma = _paper_gamma(data.shape[-1])
    # The paper's networks see 512 images at a time, and noise in a mean over fewer asks for a stronger penalty.
    penalty = PenaltyConfig(weight=_cosine(8 * gamma, 0.8 * gamma))
    burn_in = _kimg(data) / 2
    # The smallest networks, which are for short trainings, take the rates of `thumbnails`.
    rate = _cosine(2e-3, 2e-5) if size == "nano" else _cosine(4e-4, 1e-4, burn_in)
    optimizer = OptimizerConfig(class_="Adam", lr=rate, betas=(0.0, _cosine(0.9, 0.99, burn_in)))
    part = Part(class_="r3gan", size=size)
    return _config(
        data,
        generator=part,
        discriminator=part,
        loss=Part(class_="relativistic"),
        penalties={"r1": penalty, "r2": penalty},
        augment=AugmentConfig(class_="ada", p=_cosine(0.0, 0.3, burn_in)),
        ema=EmaConfig(half_life_kimg=_cosine(0.0, burn_in / 10, burn_in)),
        optimizer=optimizer,
    )


def _paper_gamma(side: int) -> float:
    """Where R3GAN's gamma begins, for batches of 512: CIFAR-10's 0.05 at 32, times the fourth power of the side.

    The paper's own choices at other sides grow about as fast, and differ by the data.
    """
    return float(0.05 * (side / 32) ** 4)


def _cosine(start: float, end: float, until: float | None = None) -> Part:
    """From one value to another within so many kimg; to the end of the run where it is not said."""
    options = {"from": start, "to": end} | ({} if until is None else {"end": until})
    return Part(class_="cosine", **options)


def sngan(data: Data) -> Config:
    """SNGAN on its residual networks: hinge loss, spectral norm, 5 steps of D. Miyato et al. 2018, arXiv 1802.05957."""
    config = hinge_sn(data)
    if data.kind == "vectors":
        return config
    resnet = Part(class_="resnet")
    return config.model_copy(update={"generator": resnet, "discriminator": resnet, "z_dim": 128})


def balanced(data: Data) -> Config:
    """The player who is behind moves, by mean logits of each batch; the non-saturating loss, Adam 2e-4 (0.5, 0.999)."""
    return _config(
        data,
        loss=Part(class_="vanilla"),
        balance=Part(class_="balanced", imbalance=0.1),
        optimizer=_adam(2e-4, 0.5, 0.999),
    )


def adaptive_critic(data: Data) -> Config:
    """WGAN-GP whose critic steps follow the norm of the critic's input gradient."""
    return _config(
        data,
        norm="none",
        loss=Part(class_="wasserstein"),
        penalties={"wgan_gp": PenaltyConfig(weight=10.0)},
        balance=Part(class_="adaptive_critic"),
        optimizer=_adam(1e-4, 0.0, 0.9),
    )


def progressive(data: Data) -> Config:
    """Networks that grow from 4 x 4, WGAN-GP, Adam 1e-3 (0, 0.99). Karras et al. 2017, arXiv 1710.10196."""
    networks: dict[str, Any] = {}
    if data.kind == "images":
        # As in the paper, every stage but the last is half fading in and half staying; the last has half of the run.
        growths = (data.shape[-1] // 4).bit_length() - 1
        spacing = _kimg(data) / (2 * max(growths, 1))
        width = 64 if data.shape[-1] <= 32 else 128
        part = Part(class_="progressive", width=width, grow_kimg=spacing, fade_kimg=spacing / 2)
        networks = {"generator": part, "discriminator": part}
    return _config(
        data,
        loss=Part(class_="wasserstein"),
        penalties={"wgan_gp": PenaltyConfig(weight=10.0)},
        **networks,
        optimizer=_adam(1e-3, 0.0, 0.99),
    )


def ragan(data: Data) -> Config:
    """The relativistic average loss, with DCGAN's settings. Jolicoeur-Martineau 2018, arXiv 1807.00734."""
    return _config(data, loss=Part(class_="relativistic_average"), optimizer=_adam(2e-4, 0.5, 0.999))


DEFAULTS: Mapping[str, str] = MappingProxyType(
    {"r3gan": "images of 32 x 32 and more", "thumbnails": "smaller images", "points": "vectors"}
)
"""What each recipe is the default for."""


def default_for(data: Data) -> str:
    """The recipe that is taken where none is named."""
    if data.kind == "vectors":
        return "points"
    return "r3gan" if data.shape[-1] >= 32 else "thumbnails"


def safe_for(data: Data) -> str:
    """The recipe whose game the watch falls back on: its loss, penalties and optimizers suit any networks."""
    return "points" if data.kind == "vectors" else "relativistic"
