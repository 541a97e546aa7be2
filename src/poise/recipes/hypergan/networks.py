"""HyperGAN's generators, discriminators and encoders, and the latents between them."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

from poise.errors import ShapeError
from poise.recipes.hypergan.draft import Draft
from poise.recipes.hypergan.fields import Fields, shown
from poise.recipes.hypergan.layers import Layers, read_layers
from poise.recipes.hypergan.names import key, last_name

__all__ = ["LATENTS", "NETWORKS", "Networks", "is_layered", "read_latent", "read_network"]

NETWORKS = frozenset({"configurablediscriminator", "configurablegenerator", "configurablecomponent"})
"""The classes whose networks are lists of layers."""

_DCGAN = frozenset({"dcgandiscriminator", "dcgangenerator"})


def is_layered(name: Any) -> bool:
    """Whether networks of this class are lists of layers."""
    return key(name) in NETWORKS


def read_network(fields: Fields | None, draft: Draft) -> "Layers | dict[str, Any] | None":
    """The layers of a network, or the preset that takes its place; None where there is neither."""
    if fields is None:
        return None
    given = fields.take("class")
    if is_layered(given) or (given is None and "layers" in fields):
        layers = read_layers(fields.take("layers"), fields.path_of("layers"), draft.origin, draft.notes)
        fields.close()
        return layers
    if key(given) in _DCGAN:
        draft.notes.warn(fields.path, f"{last_name(given)} is the DCGAN of here, whose filters are 4 x 4")
        fields.close()
        return {"class": "dcgan"}
    draft.notes.warn(fields.path, f"there is no network '{last_name(given)}' here; the recipe's own is taken")
    fields.ignore()
    return None


# Latents.

LATENTS: Mapping[str, str] = MappingProxyType(
    {
        "normal": "",
        "uniform": "latents are uniform there, and drawn from N(0, 1) here",
        "truncatednormal": "latents are cut off at 2 there, and drawn from all of N(0, 1) here",
        "optimize": "latents are optimized there, and not here",
    }
)
"""HyperGAN's distributions of latents, and in what they differ from N(0, 1), of which latents are drawn here."""


def read_latent(fields: Fields | None, draft: Draft) -> int | None:
    """The number of entries of a latent, if the file says it."""
    if fields is None:
        return None
    given = fields.take("class")
    name = key(given, "distribution")
    if name not in LATENTS:
        draft.notes.warn(fields.path, f"there are no latents of '{last_name(given)}' here; they are drawn from N(0, 1)")
    elif LATENTS[name]:
        draft.notes.warn(fields.path, LATENTS[name])
    source = fields.peek("source")
    if isinstance(source, dict):
        inside = read_latent(fields.object("source"), draft)
        fields.close()
        return inside
    if isinstance(source, str):
        fields.take("source")
        if LATENTS.get(key(source, "distribution")):
            draft.notes.warn(fields.path_of("source"), LATENTS[key(source, "distribution")])
    size = fields.count("z", default=0, least=1)
    projections = fields.words("projections")
    for projection in projections:
        if last_name(projection) != "identity":
            draft.notes.warn(fields.path_of("projections"), f"there is no projection '{last_name(projection)}' here")
    fields.drop("min", "max", says="has no meaning for N(0, 1)")
    fields.close()
    return size * max(len(projections), 1) or None


# Networks that must fit each other.

# Sides that are tried where the file names none, the most common one first.
_SIDES = (64, 32, 128, 256, 16, 8, 512, 1024)


class Networks(NamedTuple):
    """What the file has of networks, and what of samples.

    Attributes:
        generator: its layers, a preset, or None.
        discriminator: the same.
        encoder: the layers of the warm-up's encoder, or None.
        z: the entries of a latent, or None.
        side: the side of the images, or None.
        channels: their channels, or None.
    """

    generator: Layers | dict[str, Any] | None
    discriminator: Layers | dict[str, Any] | None
    encoder: Layers | None
    z: int | None
    side: int | None
    channels: int | None

    def fitted(self, draft: Draft) -> "Fit":
        """Build what is made of layers, to learn what the file does not say and to refuse what cannot be.

        Raises:
            ConfigError: when a layer is none.
            ShapeError: when layers do not fit each other.
        """
        shape = self._shape_made()
        codes = self._tried(self.encoder, shape)
        z = self.z or (prod(codes) if codes else None)
        if self.z and codes and codes != (self.z,):
            draft.notes.warn(
                self.encoder.path if self.encoder else "",
                f"the encoder gives {_times(codes)} values, and a latent has {self.z}: training will refuse one of them",
            )
        if shape is None and isinstance(self.generator, Layers):
            shape = self.generator.built((z or _DEFAULT_Z,)).output_shape
        return Fit(z, shape, self._tried(self.discriminator, shape))

    def _shape_made(self) -> tuple[int, ...] | None:
        """The shape of what the generator makes, where that can be told without the encoder."""
        if isinstance(self.generator, Layers) and (self.z or self.encoder is None):
            return self.generator.built((self.z or _DEFAULT_Z,)).output_shape
        return None

    def _tried(self, layers: Any, shape: Sequence[int] | None) -> tuple[int, ...] | None:
        """What layers give of samples of this shape, or of the first shape that they take."""
        if not isinstance(layers, Layers):
            return None
        shapes = [tuple(shape)] if shape else list(self._shapes())
        first: ShapeError | None = None
        for it in shapes:
            try:
                return layers.built(it).output_shape
            except ShapeError as error:
                first = first or error
        assert first is not None
        raise first

    def _shapes(self) -> Iterator[tuple[int, ...]]:
        for side in (self.side,) if self.side else _SIDES:
            yield (self.channels or 3, side, side)


_DEFAULT_Z = 64  # the recipe's


class Fit(NamedTuple):
    """What the networks say together.

    Attributes:
        z: the entries of a latent, or None.
        shape: the shape of a sample, or None.
        outputs: the shape of what the discriminator gives of a sample, or None.
    """

    z: int | None
    shape: tuple[int, ...] | None
    outputs: tuple[int, ...] | None


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def as_shown(value: Any) -> str:
    """A value of the file, for messages."""
    return shown(value)
