"""Features of DINOv2, from the package timm."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from poise.metrics.features.extractor import (
    Examples,
    Extractor,
    Workplace,
    fetched,
    package_for,
    rgb,
)

__all__ = ["Dinov2", "dinov2", "require"]

_MODEL = "vit_small_patch14_dinov2.lvd142m"
_SIDE = 224


class Dinov2(Extractor):
    """The class token of the small vision transformer, 384 numbers an image, which is resized to 224 x 224.

    Source: Oquab et al. 2023, DINOv2, arXiv 2304.07193; Stein et al. 2023, Exposing Flaws of Generative Model
    Evaluation Metrics, arXiv 2306.04675, who found it to agree with people better than Inception does.
    """

    name = "dinov2"
    identity = f"{_MODEL} at {_SIDE}"
    batch = 50

    def __init__(self, network: Any, workplace: Workplace) -> None:
        super().__init__(workplace)
        self._network = network.to(workplace.device).eval()
        settings = network.pretrained_cfg
        self._mean, self._std = (
            torch.tensor(settings[name], device=workplace.device).reshape(1, 3, 1, 1) for name in ("mean", "std")
        )

    def features(self, rows: Tensor) -> Tensor:
        """The features of one batch."""
        images = functional.interpolate(
            rgb(rows).float() / 255, (_SIDE, _SIDE), mode="bicubic", antialias=True, align_corners=False
        )
        features: Tensor = self._network((images.clamp(0, 1) - self._mean) / self._std)
        return features


def dinov2(examples: Examples, workplace: Workplace) -> Dinov2:
    """DINOv2; its weights are fetched at the first use and kept by the Hugging Face hub's cache.

    Args:
        examples: images.
        workplace: where it computes.

    Raises:
        MissingExtraError: when timm is not installed.
        MetricError: when the data is not of images, or the weights cannot be fetched.
    """
    package = require(examples)
    options = {"pretrained": True, "num_classes": 0, "img_size": _SIDE}
    return Dinov2(fetched("dinov2", lambda: package.create_model(_MODEL, **options)), workplace)


def require(examples: Examples) -> Any:
    """Refuse what :func:`dinov2` would refuse, without fetching weights; return the package's module."""
    return package_for(examples, "dinov2", "timm", "timm")
