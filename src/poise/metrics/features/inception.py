"""Features of the Inception network that FID was defined with, from the package torch-fidelity."""

from typing import Any

import torch
from torch import Tensor

from poise.errors import MetricError, MissingExtraError
from poise.metrics.features.extractor import Examples, Extractor, Workplace, rgb

__all__ = ["Inception", "inception", "require"]


class Inception(Extractor):
    """The last pooling layer, 2,048 numbers an image; the network enlarges images to 299 x 299 itself.

    Source: Szegedy et al. 2015, arXiv 1512.00567, with the weights of Heusel et al. 2017, arXiv 1706.08500, converted
    by torch-fidelity (Obukhov et al. 2020).
    """

    name = "inception"
    identity = "2015-12-05"
    batch = 50

    def __init__(self, network: Any, workplace: Workplace) -> None:
        super().__init__(workplace)
        self._network = network.to(workplace.device).eval()

    def features(self, rows: Tensor) -> Tensor:
        """The features of one batch."""
        features: Tensor = self._network(rgb(rows).contiguous())[0]
        return features


def inception(examples: Examples, workplace: Workplace) -> Inception:
    """The Inception network; its weights are fetched at the first use and kept by torch.

    Args:
        examples: images.
        workplace: where it computes.

    Raises:
        MissingExtraError: when torch-fidelity is not installed.
        MetricError: when the data is not of images, or the weights cannot be fetched.
    """
    require(examples)
    with torch.random.fork_rng(devices=[]):  # its layers draw weights before they are loaded
        try:
            network = _package()("inception-v3-compat", ["2048"])
        except MissingExtraError:
            raise
        except Exception as error:  # whatever the network, the file system and torch's loader raise
            raise unfetched("inception", error) from error
    return Inception(network, workplace)


def require(examples: Examples) -> None:
    """Refuse what :func:`inception` would refuse, without fetching weights."""
    require_images(examples, "inception")
    _package()


def _package() -> Any:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise MissingExtraError(
            "inception features need the 'torch-fidelity' package: pip install 'poise[inception]', or take other "
            "features"
        ) from error
    return FeatureExtractorInceptionV3


def require_images(examples: Examples, name: str) -> None:
    """Refuse vectors.

    Raises:
        MetricError: naming the features.
    """
    if not examples.are_images:
        raise MetricError(f"{name} features are of images, and this data is of vectors; take raw ones")


def unfetched(name: str, error: Exception) -> MetricError:
    """What is said where a network's weights cannot be had."""
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return MetricError(
        f"the weights for {name} features cannot be fetched ({first}); they come over the network at the first use: "
        "connect once, or take other features, such as classifier or raw"
    )
