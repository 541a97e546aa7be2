"""The recipe that looks at the data: what is there, how much of it, and how large it is."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from poise.config import AugmentConfig, Config, EvaluateConfig, Part
from poise.data import Data
from poise.recipes.recipes import default_for, points, r3gan, thumbnails

__all__ = ["Chosen", "auto", "chosen_by_auto"]

_BASES = {"points": points, "r3gan": r3gan, "thumbnails": thumbnails}

_FEW, _MANY = 5_000, 50_000
_EVALUATIONS = 25
_WIDE_COLUMNS = 8
_ENOUGH_OF_A_CLASS = 100


class Chosen(NamedTuple):
    """A setting, and why it is what it is.

    Attributes:
        setting: its path, such as ``batch``.
        value: what was chosen.
        why: the reason, for a person.
    """

    setting: str
    value: Any
    why: str

    def __str__(self) -> str:
        return f"{self.setting} = {_shown(self.value)}: {self.why}"


def auto(data: Data) -> Config:
    """What fits the data: networks, batch, length, augmentation and penalty by its kind, its size and its count."""
    chosen = {it.setting: it.value for it in chosen_by_auto(data) if it.setting in Config.model_fields}
    chosen["classes"] = data.classes if chosen.get("conditional") else ()
    fields = _base(data).model_copy(update=chosen).model_dump(mode="json", by_alias=True)
    return Config.model_validate(fields)


def chosen_by_auto(data: Data) -> list[Chosen]:
    """Each choice of :func:`auto`, with its reason."""
    choices = _for_vectors(data) if data.kind == "vectors" else _for_images(data)
    return [*choices, *_for_all(data)]


def _base(data: Data) -> Config:
    return _BASES[default_for(data)](data)


def _for_vectors(data: Data) -> Iterator[Chosen]:
    base, columns, count = _base(data), data.shape[0], len(data)
    yield Chosen(
        "loss", base.loss, "vectors: relativistic pairs with R1 and R2, both falling to the end, find the most modes"
    )
    batch = _batch(count, 256)
    yield Chosen("batch", batch, f"{count:,} vectors are cheap: 256 at a time, or an eighth of them if that is less")
    z_dim = min(max(columns, 8), 64)
    yield Chosen("z_dim", z_dim, f"as many as the {columns} columns, 8 at least and 64 at most")
    width = 256 if columns >= _WIDE_COLUMNS and count >= _FEW else 128
    why = f"{columns} columns and {count:,} vectors: 256 units a layer from {_WIDE_COLUMNS} columns and {_FEW:,} on"
    yield from _sized(base, why, width=width)


def _sized(base: Config, why: str, **options: Any) -> Iterator[Chosen]:
    """Both networks with these options over those that they have."""
    generator, discriminator = (
        Part(class_=part.class_, **part.options | options) for part in (base.generator, base.discriminator)
    )
    yield Chosen("generator", generator, why)
    yield Chosen("discriminator", discriminator, "as the generator, so that neither is the stronger by its size")


def _for_images(data: Data) -> Iterator[Chosen]:
    base, side, count = _base(data), data.shape[-1], len(data)
    batch = _batch(count, 64)
    yield Chosen("batch", batch, f"{count:,} images: 64 at a time, or an eighth of them if that is less")
    z_dim = 64 if side <= 64 and count < _MANY else 128
    yield Chosen(
        "z_dim", z_dim, f"{count:,} images of {side} x {side}: 128 from 128 x 128 or {_MANY:,} images on, else 64"
    )
    yield from _networks(base, side, count)
    yield Chosen(
        "penalties",
        base.penalties,
        "relativistic pairs want both" + (f", weighted for {side} x {side}" if side >= 32 else ""),
    )
    yield _augmentation(base, side, count)
    flip = "nothing tells whether a mirror image is still one of its kind; --flip if it is, which doubles the data"
    yield Chosen("flip", False, flip)


def _networks(base: Config, side: int, count: int) -> Iterator[Chosen]:
    if base.generator.class_ != "r3gan":
        why = f"{side} x {side} is below 32 x 32, where plain convolutions do"
        yield Chosen("generator", base.generator, why)
        yield Chosen(
            "discriminator", base.discriminator, "as the generator, and no batch norm beside gradient penalties"
        )
        return
    if not torch.cuda.is_available():
        size, why = "nano", "no GPU: the size that takes a step in the time of a DCGAN"
    elif count >= _MANY:
        size, why = "base", f"a GPU and {count:,} images: the size of the paper"
    else:
        size, why = (
            "small",
            f"a GPU, and {count:,} images, which are fewer than the {_MANY:,} for which the paper's size is",
        )
    yield from _sized(base, why, size=size)


def _augmentation(base: Config, side: int, count: int) -> Chosen:
    if side < 32:
        return Chosen("augment", None, f"{side} x {side} has little that could be changed and still be told apart")
    if count >= _MANY:
        return Chosen("augment", None, f"{count:,} images are too many for D to learn by heart")
    if count < _FEW:
        adaptive = AugmentConfig.model_validate({"class": "ada"})
        return Chosen("augment", adaptive, f"{count:,} images can be learned by heart: as much as D's verdicts ask for")
    return Chosen("augment", base.augment, f"{count:,} images: more and more, up to 3 in 10")


def _for_all(data: Data) -> Iterator[Chosen]:
    kimg = _base(data).kimg
    assert kimg is not None  # the recipes that it begins from end by images
    times = 1000 * kimg / len(data)
    yield Chosen("kimg", kimg, f"each of the {len(data):,} samples about {times:,.0f} times")
    every = float(f"{min(max(kimg / _EVALUATIONS, 5.0), 200.0):.3g}")
    yield Chosen("evaluate", EvaluateConfig(every_kimg=every), f"about {kimg / every:.0f} times, to keep the best")
    if data.labels is not None and data.classes:
        yield _conditional(data, int(np.bincount(data.labels, minlength=len(data.classes)).min()))


def _conditional(data: Data, least: int) -> Chosen:
    """Whether networks shall know the classes, of which the smallest has ``least`` samples."""
    classes = len(data.classes)
    if data.kind == "vectors":
        why = f"labels are there ({classes} classes); --conditional for samples of a class that is asked for"
        return Chosen("conditional", False, why)
    why = f"{classes} classes of {least:,} images or more"
    if classes == 1 or least < _ENOUGH_OF_A_CLASS:
        return Chosen("conditional", False, f"{why}: two of {_ENOUGH_OF_A_CLASS} are wanted to tell them apart")
    return Chosen("conditional", True, f"{why}: networks that know them make better samples, of one class if asked for")


def _batch(count: int, most: int) -> int:
    """The largest power of two that is at most an eighth of the data, and at most ``most``."""
    return min(most, 1 << max(count // 8, 1).bit_length() - 1)


def _shown(value: Any) -> str:
    """A value in few words."""
    if isinstance(value, dict):
        return " and ".join(value) or "none"
    if isinstance(value, Part):
        options = ", ".join(f"{name} {it}" for name, it in value.options.items() if not isinstance(it, dict))
        return f"{value.class_} ({options})" if options else value.class_
    if isinstance(value, EvaluateConfig):
        return f"every {value.every_kimg:g} kimg"
    if isinstance(value, bool) or value is None:
        return "none" if value is None else str(value).lower()
    return f"{value:g}"
