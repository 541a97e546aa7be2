"""Features of the Inception network that FID was defined with, from the package torch-fidelity."""

from typing import Any

from torch import Tensor, nn

from poise.metrics.features.extractor import (
    Examples,
    Extractor,
    Workplace,
    fetched,
    package_for,
    rgb,
)

__all__ = ["Inception", "inception", "require"]


class Inception(Extractor):
    """The last pooling layer, 2,048 numbers an image; the network enlarges images to 299 x 299 itself.

    Source: Szegedy et al. 2015, arXiv 1512.00567, with the weights of Heusel et al. 2017, arXiv 1706.08500, converted
    by torch-fidelity (Obukhov et al. 2020).
    """

    name = "inception"
    identity = "2015-12-05"
    batch = 50

    def __init__(self, network: nn.Module, workplace: Workplace) -> None:
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
    package = require(examples)
    network = fetched("inception", lambda: package.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"]))
    return Inception(network, workplace)


def require(examples: Examples) -> Any:
    """Refuse what :func:`inception` would refuse, without fetching weights; return the package's module."""
    return package_for(examples, "inception", "torch-fidelity", "torch_fidelity.feature_extractor_inceptionv3")
