"""Networks that take a class label beside each sample or latent, and the layers that read it.

There is one way for labels: a network keeps them under the name :data:`LABELS`, as it keeps what named layers give, and
each layer that wants them is :class:`~poise.models.layers.Wired` to that name. Without classes there is nothing of
this: :func:`sequence`, :func:`joined` and :func:`projected` then give what an unconditional network is made of.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from poise.errors import ConfigError, ShapeError
from poise.models.layers import Chain, Wired, run

__all__ = [
    "LABELS",
    "ClassJoined",
    "Conditional",
    "ConditionalBatchNorm2d",
    "Projection",
    "chain",
    "classes_of",
    "joined",
    "projected",
    "require_classes",
    "require_labels",
    "require_unconditional",
    "sequence",
]

LABELS = "#labels"
"""The name under which a network keeps its labels; no layer of a list can have it."""


def classes_of(network: nn.Module) -> int:
    """How many classes a network's labels are of: its attribute ``classes``, or 0 where it takes no labels."""
    return int(getattr(network, "classes", 0))


def require_classes(classes: int) -> None:
    """Refuse a number of classes below 0.

    Raises:
        ConfigError: when it is.
    """
    if classes < 0:
        raise ConfigError(f"classes is {classes}; it must be at least 0, and is 0 for a network without labels")


def require_unconditional(preset: str, classes: int) -> None:
    """Refuse classes where a preset cannot use them.

    Raises:
        ConfigError: when there are some.
    """
    if classes:
        raise ConfigError(
            f"classes is {classes}, and {preset} takes no labels: leave classes (in a recipe: conditional) out, or "
            "take mlp, dcgan, resnet, r3gan or layers"
        )


def require_labels(labels: Tensor | None, classes: int, samples: Tensor) -> Tensor:
    """Labels that fit.

    Their range is looked at on the CPU only, outside programs: elsewhere the look would be waited for at each pass, and
    the lookup asserts it on the device itself.

    Args:
        labels: ``(n,)``, int64.
        classes: labels are from 0 to ``classes - 1``.
        samples: what they are the labels of, ``(n, ...)``.

    Raises:
        ShapeError: when they have another shape or type.
        ConfigError: when one is outside the range.
    """
    if labels is None:
        raise ShapeError(f"no labels were given, and the network is of {classes} classes; give int64 labels (n,)")
    count = samples.shape[0]  # which a program keeps open; len() would make it a number
    if labels.shape != (count,) or labels.dtype != torch.int64:
        raise ShapeError(
            f"labels are {str(labels.dtype).removeprefix('torch.')} {tuple(labels.shape)}; for {count} samples they "
            f"must be int64 ({count},)"
        )
    if labels.device.type == "cpu" and count and not torch.compiler.is_compiling():
        low, high = (int(label) for label in labels.aminmax())
        if low < 0 or high >= classes:
            raise ConfigError(
                f"labels go from {low} to {high}, and the network is of {classes} classes, 0 to {classes - 1}; build "
                "it with as many classes as the data has"
            )
    return labels


class Conditional(nn.Sequential):
    """Layers one after another, of which the wired ones read labels.

    Args:
        layers: the layers.
        classes: labels are from 0 to ``classes - 1``.

    Attributes:
        classes: likewise.
    """

    def __init__(self, *layers: nn.Module, classes: int) -> None:
        super().__init__(*layers)
        self.classes = classes

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """``(n, ...)`` and labels ``(n,)``, int64, to what the last layer gives.

        Raises:
            ShapeError: when labels are missing, or of another shape or type.
            ConfigError: when a label is outside the range.
        """
        return run(self.named_children(), x, {LABELS: require_labels(labels, self.classes, x)})


def sequence(layers: Sequence[nn.Module], classes: int) -> nn.Sequential:
    """A network of these layers: with classes, one that takes labels."""
    return Conditional(*layers, classes=classes) if classes else nn.Sequential(*layers)


def chain(layers: Sequence[nn.Module], classes: int) -> nn.Module:
    """A part of a network of these layers: with classes, one that hands on what is kept."""
    return Chain({str(place): layer for place, layer in enumerate(layers)}) if classes else nn.Sequential(*layers)


# In generators.


class ClassJoined(Wired):
    """Latents joined with a learned vector of their class: ``(n, z_dim)`` to ``(n, z_dim + features)``.

    Args:
        classes: how many.
        features: the size of a class's vector, which begins as a latent does, from N(0, 1).
    """

    def __init__(self, classes: int, features: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(classes, features)

    def forward(self, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """``(n, z_dim)`` to ``(n, z_dim + features)``."""
        return torch.cat((x, self.vectors(kept[LABELS]).to(x.dtype)), 1)


def joined(z_dim: int, classes: int) -> tuple[list[nn.Module], int]:
    """The layers with which a generator begins, and the features that they give: with classes, twice as many."""
    require_classes(classes)
    return ([ClassJoined(classes, z_dim)], 2 * z_dim) if classes else ([], z_dim)


class ConditionalBatchNorm2d(Wired):
    r"""Batch norm whose gain and bias are those of each image's class.

    .. math:: y = \gamma_{c} \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta_{c}

    Args:
        classes: how many.
        channels: of the images.

    Source: Dumoulin et al. 2017, A Learned Representation for Artistic Style, arXiv 1610.07629, section 2.2; de Vries
    et al. 2017, Modulating early visual processing by language, arXiv 1707.00683.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Parameter(torch.ones(classes, channels))
        self.bias = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """``(n, c, h, w)`` to the same shape."""
        normal: Tensor = self.norm(x)
        gain, bias = (
            embedding(kept[LABELS], table)[:, :, None, None].to(normal.dtype) for table in (self.gain, self.bias)
        )
        return gain * normal + bias


# In discriminators.


class Projection(Wired):
    r"""Logits of features, and how far these point towards their class.

    .. math:: \psi(h) + \langle v_y, h \rangle

    Args:
        head: :math:`\psi`, from features to logits ``(n, ...)``.
        features: values of a sample that come in.
        outputs: logits of a sample; each has its own vectors.
        classes: how many.

    Source: Miyato and Koyama 2018, cGANs with Projection Discriminator, arXiv 1802.05637, equation 3.
    """

    def __init__(self, head: nn.Module, features: int, outputs: int, classes: int) -> None:
        super().__init__()
        self.head = head
        self.vectors = nn.Embedding(classes, outputs * features)
        nn.init.normal_(self.vectors.weight, 0.0, features**-0.5)

    def forward(self, x: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """``(n, ...)`` to what the head gives."""
        logits: Tensor = self.head(x)
        vectors = self.vectors(kept[LABELS]).reshape(x.shape[0], -1, prod(x.shape[1:]))
        towards: Tensor = (vectors * x.reshape(x.shape[0], 1, -1)).sum(2)
        return logits + towards.reshape(logits.shape)


def projected(head: nn.Module, features: int, outputs: int, classes: int) -> nn.Module:
    """The layers with which a discriminator ends; see :class:`Projection`."""
    require_classes(classes)
    return Projection(head, features, outputs, classes) if classes else head
