"""HyperGAN's layer strings in the language of :mod:`poise.models`, which grew out of theirs.

What differs is translated: initializers, whose gain is named by an activation, and ``concat``. Obsolete lines of an
initializer alone are dropped. All else must be a layer here too, for a network without a layer is another network.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn

from poise.errors import ConfigError, ShapeError
from poise.models import Network, build
from poise.models.grammar import Layer, Value, parse
from poise.recipes.hypergan.document import inner
from poise.recipes.hypergan.fields import Notes, is_number, shown

__all__ = ["Layers", "read_layers"]


class Layers(NamedTuple):
    """The layers of a network.

    Attributes:
        path: where they are in the file.
        origin: what the file is called.
        texts: how each is written here.
        places: the place of each in the file's list.
    """

    path: str
    origin: str
    texts: list[str]
    places: list[int]

    def built(self, shape: Sequence[int]) -> Network:
        """The network for samples of this shape, on the meta device: with shapes, without values.

        Raises:
            ConfigError: when a layer is none; the message names its place in the file.
            ShapeError: when the layers do not fit the shape.
        """
        if not self.texts:
            raise ConfigError(f"{self.origin}: {self.path} is empty; a network needs a layer")
        try:
            with torch.device("meta"):
                return build(self.texts, shape)
        except (ConfigError, ShapeError) as error:
            kind = ShapeError if isinstance(error, ShapeError) else ConfigError
            first, line, shows = str(error).partition("\n")
            message = re.sub(r"\blayer (\d+)", lambda it: inner(self.path, self.places[int(it[1]) - 1]), first)
            raise kind(f"{self.origin}: {message}{line}{shows}") from error


def read_layers(values: Any, path: str, origin: str, notes: Notes) -> Layers:
    """Translate a list of layer strings.

    Args:
        values: what the file has in the place of the list.
        path: where.
        origin: what the file is called.
        notes: where to note what is dropped.

    Raises:
        ConfigError: when it is no list of texts, or a text is no layer.
    """
    if not isinstance(values, list):
        raise ConfigError(f"{origin}: {path} is {shown(values)}; it must be a list of layers such as 'conv 64'")
    texts, places = [], []
    for place, text in enumerate(values):
        where = inner(path, place)
        if not isinstance(text, str):
            raise ConfigError(f"{origin}: {where} is {shown(text)}; a layer is a text such as 'conv 64'")
        if text.split()[:1] == ["initializer"]:
            notes.inform(where, f"{shown(text)} is obsolete; left out")
            continue
        texts.append(_translated(text, where, origin, notes))
        places.append(place)
    return Layers(path, origin, texts, places)


def _translated(text: str, where: str, origin: str, notes: Notes) -> str:
    try:
        layer = parse(text, where)
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error
    for start, end, new in sorted(_edits(layer, where, notes), reverse=True):
        text = text[:start] + new + text[end:]
    return " ".join(text.split())


class _Edit(NamedTuple):
    """What takes the place of a stretch of the text."""

    start: int
    end: int
    new: str


def _edits(layer: Layer, where: str, notes: Notes) -> Iterator[_Edit]:
    """What is written otherwise here, in a layer and those in its parentheses."""
    if layer.op == "concat":
        yield _Edit(layer.column - 1, layer.column - 1 + len(layer.op), "cat self")
        if layer.arguments and layer.arguments[0].value == "layer":
            yield _Edit(_start(layer.arguments[0]), _end(layer.arguments[0]), "")
    for option in layer.options:
        if option.name == "initializer":
            new = _initializer(option.value, where, notes)
            yield _Edit(option.column - 1, _end(option.value), f"initializer={new}" if new else "")
    inside = [*layer.arguments, *(option.value for option in layer.options if option.name != "initializer")]
    for value in inside:
        if isinstance(value.value, Layer):
            yield from _edits(value.value, where, notes)


def _start(value: Value) -> int:
    return value.column - 1


def _end(value: Value) -> int:
    return value.column - 1 + len(value.text)


# Initializers.

_UNIFORM = "is uniform there, and normal with the same variance here"


def _initializer(value: Value, where: str, notes: Notes) -> str | None:
    """An initializer as it is written here; None where there is none."""
    layer = value.value if isinstance(value.value, Layer) else None
    name = layer.op if layer else value.value
    arguments = [it.value for it in layer.arguments] if layer else []
    options: dict[str, Any] = {it.name: it.value.value for it in layer.options} if layer else {}
    translate = _INITIALIZERS.get(name) if isinstance(name, str) else None
    new = translate(arguments, options) if translate else None
    if new is None:
        notes.warn(where, f"there is no initializer '{value.text}' here; left out, so that the layer begins as torch's")
    elif isinstance(name, str) and name.endswith("_uniform"):
        notes.warn(where, f"the initializer '{name}' {_UNIFORM}")
    return new


def _gain(options: Mapping[str, Any], default: str) -> float | None:
    """The gain of an activation, by its name or as a number."""
    given = options.get("gain", default)
    if is_number(given):
        return float(given)
    try:
        return float(nn.init.calculate_gain(given))
    except (ValueError, TypeError):
        return None


def _only(options: Mapping[str, Any], *names: str) -> bool:
    return set(options) <= set(names)


def _normal(arguments: list[Any], options: Mapping[str, Any]) -> str | None:
    if len(arguments) != 2 or not all(map(is_number, arguments)) or options:
        return None
    mean, std = arguments
    return f"(normal {mean} {std})"


def _xavier(arguments: list[Any], options: Mapping[str, Any]) -> str | None:
    gain = _gain(options, "relu") if _only(options, "gain") and not arguments else None
    return None if gain is None else f"(xavier_normal gain={gain!r})"


def _kaiming(arguments: list[Any], options: Mapping[str, Any]) -> str | None:
    """The standard deviation is gain / sqrt(fan in) there, and sqrt(2 / (1 + slope^2)) in place of the gain here."""
    gain = _gain(options, "relu") if _only(options, "gain", "mode") and not arguments else None
    if gain is None or not 0 < gain**2 <= 2 + 1e-9 or options.get("mode", "fan_in") != "fan_in":
        return None
    slope = sqrt(max(2 / gain**2 - 1, 0))
    return "(kaiming_normal)" if slope < 1e-6 else f"(kaiming_normal slope={slope!r})"


def _orthogonal(arguments: list[Any], options: Mapping[str, Any]) -> str | None:
    gain = _gain(options, "linear") if _only(options, "gain") and not arguments else None
    return None if gain is None else "(orthogonal)" if gain == 1 else f"(orthogonal gain={gain!r})"


_INITIALIZERS = MappingProxyType(
    {
        "normal": _normal,
        "xavier_normal": _xavier,
        "xavier_uniform": _xavier,
        "kaiming_normal": _kaiming,
        "kaiming_uniform": _kaiming,
        "orthogonal": _orthogonal,
    }
)
