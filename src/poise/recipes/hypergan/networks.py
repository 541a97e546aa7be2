"""HyperGAN's generators, discriminators and encoders, and the latents between them."""

from collections.abc import Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple

from poise.errors import ShapeError
from poise.recipes.hypergan.draft import Draft, Network
from poise.recipes.hypergan.fields import Fields
from poise.recipes.hypergan.layers import Layers, read_layers
from poise.recipes.hypergan.names import key, last_name
from poise.recipes.hypergan.stack import DEFAULT_CHANNELS, DEFAULT_SIDE

__all__ = ["Fit", "fit", "is_layered", "read_latent", "read_network"]

_LAYERED = frozenset({"configurablediscriminator", "configurablegenerator", "configurablecomponent"})
_DCGAN = frozenset({"dcgandiscriminator", "dcgangenerator"})
_OF_DCGAN = MappingProxyType({"activation": "lrelu", "initializer": "random_normal", "random_stddev": 0.02})


def is_layered(fields: Fields) -> bool:
    """Whether a network is a list of layers."""
    return "layers" in fields or key(fields.peek("class")) in _LAYERED


def read_network(fields: Fields | None, draft: Draft) -> Network:
    """The layers of a network, or the preset that takes its place.

    Raises:
        ConfigError: when its layers are none.
    """
    if fields is None:
        return None
    layered, name = is_layered(fields), fields.take("class")
    if layered:
        if name is not None and key(name) not in _LAYERED:
            draft.notes.warn(fields.path, f"there is no network '{last_name(name)}' here; its layers are taken")
        layers = read_layers(fields.take("layers"), fields.path_of("layers"), draft.origin, draft.notes)
        fields.close()
        return layers
    if key(name) in _DCGAN:
        for option, value in _OF_DCGAN.items():
            if fields.peek(option) == value:
                fields.take(option)
        draft.notes.warn(fields.path, "DCGAN's filters are 4 x 4 here, as in the paper")
        fields.close()
        return {"class": "dcgan"}
    draft.notes.warn(fields.path, f"there is no network '{last_name(name)}' here; the recipe's own is taken")
    fields.ignore()
    return None


# Latents.

_LATENTS: Mapping[str, str] = MappingProxyType(
    {
        "normal": "",
        "uniform": "latents are uniform there, and drawn from N(0, 1) here",
        "truncatednormal": "latents are N(0, 1) cut off at 2 there, and all of N(0, 1) here",
        "optimize": "latents are optimized there, and not here",
    }
)


def read_latent(fields: Fields | None, draft: Draft) -> None:
    """Find how many entries a latent has; they are drawn from N(0, 1) here, whatever the distribution there."""
    if fields is None:
        return
    name = fields.take("class")
    _compare(name, fields.path, draft)
    if isinstance(fields.peek("source"), dict):
        read_latent(fields.object("source"), draft)
        fields.close()
        return
    if "source" in fields:
        _compare(fields.take("source"), fields.path_of("source"), draft)
    size = fields.count("z", default=None, least=1)
    projections = fields.words("projections")
    for projection in projections:
        if last_name(projection) != "identity":
            draft.notes.warn(fields.path_of("projections"), f"there is no projection '{last_name(projection)}' here")
    fields.drop("min", "max", says="has no meaning for N(0, 1)")
    fields.close()
    draft.z = None if size is None else size * max(len(projections), 1)


def _compare(name: Any, path: str, draft: Draft) -> None:
    kind = key(name, "distribution")
    if kind not in _LATENTS:
        draft.notes.warn(path, f"there are no latents '{last_name(name)}' here; they are drawn from N(0, 1)")
    elif _LATENTS[kind]:
        draft.notes.warn(path, _LATENTS[kind])


# What networks say together.

# Sides of images that are tried where the file names none, the most common one first.
_SIDES = (DEFAULT_SIDE, 32, 128, 256, 16, 8, 512, 1024)
_DEFAULT_Z = 64  # the recipe's


class Fit(NamedTuple):
    """What the networks say of what passes between them.

    Attributes:
        z: the entries of a latent, or None.
        shape: the shape of the samples that the generator makes, or None.
        outputs: the shape of what the discriminator gives of a sample, or None.
    """

    z: int | None
    shape: tuple[int, ...] | None
    outputs: tuple[int, ...] | None


def fit(draft: Draft) -> Fit:
    """Build what is made of layers, to learn what the file does not say and to refuse what cannot be trained.

    Raises:
        ConfigError: when a layer is none.
        ShapeError: when layers do not fit each other.
    """
    z, encoder = draft.z, draft.encoder
    shape = _made(draft, z) if z or encoder is None else None
    codes = None if encoder is None else _given(encoder, _shapes(draft, shape))
    if z is None and codes is not None:
        z = prod(codes)
        shape = _made(draft, z)
    if encoder is not None and codes != (z,):
        found = " x ".join(map(str, codes or ()))
        draft.notes.warn(
            encoder.path, f"the encoder gives {found} values, and latents have {z}: training will refuse it"
        )
    discriminator = draft.discriminator
    outputs = _given(discriminator, _shapes(draft, shape)) if isinstance(discriminator, Layers) else None
    return Fit(z, shape, outputs)


def _made(draft: Draft, z: int | None) -> tuple[int, ...] | None:
    """The shape of the samples that the generator's layers make; those that depend on the images' size are unfolded."""
    if not isinstance(draft.generator, Layers):
        return None
    shape = (z or _DEFAULT_Z,)
    draft.generator = draft.generator.unfolded(shape, draft.side, draft.channels, draft.notes)
    return draft.generator.built(shape).output_shape


def _given(layers: Layers, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of what layers give of the first samples that they can take."""
    first: ShapeError | None = None
    for shape in shapes:
        try:
            return layers.built(shape).output_shape
        except ShapeError as error:
            first = first or error
    assert first is not None
    raise first


def _shapes(draft: Draft, made: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    """The shapes that samples may have."""
    if made is not None:
        return [made]
    return [(draft.channels or DEFAULT_CHANNELS, side, side) for side in ([draft.side] if draft.side else _SIDES)]
