"""HyperGAN's layer strings in the language of :mod:`poise.models`, which grew out of theirs.

What differs is translated: initializers, whose gain is named by an activation, ``concat``, and ``resizable_stack``.
Obsolete lines of an initializer alone are dropped. All else must be a layer here too, for a network without a layer is
another network.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn

from poise.errors import ConfigError, PoiseError, ShapeError
from poise.models import Network, build
from poise.models.grammar import Layer, Source, Value, parse
from poise.recipes.hypergan.document import inner
from poise.recipes.hypergan.fields import Notes, is_number, shown
from poise.recipes.hypergan.stack import DEFAULT_CHANNELS, DEFAULT_SIDE, STACK, stack

__all__ = ["Layers", "Line", "read_layers"]


class Line(NamedTuple):
    """A layer as it is written here, and what it was made of.

    Attributes:
        text: how it is written here.
        source: what the file has.
        place: its place in the file's list.
        columns: for each sign of ``text``, the column in ``source``, from 1, that it was made of.
    """

    text: str
    source: str
    place: int
    columns: Sequence[int]


class Layers(NamedTuple):
    """The layers of a network.

    Attributes:
        path: where they are in the file.
        origin: what the file is called.
        lines: the layers.
    """

    path: str
    origin: str
    lines: list[Line]

    @property
    def texts(self) -> list[str]:
        """How each layer is written here."""
        return [line.text for line in self.lines]

    def built(self, shape: Sequence[int]) -> Network:
        """The network for samples of this shape, on the meta device: with shapes, without values.

        Raises:
            ConfigError: when a layer is none; the message shows its place in the file.
            ShapeError: when the layers do not fit the shape.
        """
        if not self.lines:
            raise ConfigError(f"{self.origin}: {self.path} is empty; a network needs a layer")
        try:
            with torch.device("meta"):
                return build(self.texts, shape)
        except (ConfigError, ShapeError) as error:
            raise self._in_the_file(error) from error

    def _in_the_file(self, error: PoiseError) -> PoiseError:
        """What is wrong with a layer as it is written here, said of what the file has."""
        found = _PLACE.match(str(error))
        assert found is not None
        line = self.lines[int(found["layer"]) - 1]
        source = Source(f"{self.origin}: {inner(self.path, line.place)}", line.source)
        # Of other layers it tells the number.
        says = re.sub(r"\blayer (\d+)", lambda it: inner(self.path, self.lines[int(it[1]) - 1].place), found["says"])
        return source.error(line.columns[int(found["column"]) - 1], says, type(error))

    def unfolded(self, shape: Sequence[int], side: int | None, channels: int | None, notes: Notes) -> "Layers":
        """The same layers with those written out that depend on the size of the images: ``resizable_stack``.

        Args:
            shape: the shape of what the network is given.
            side: the side of the images, or None where the file does not say it.
            channels: the channels of the images, or None where the file does not say them.
            notes: where to note what was done.

        Raises:
            ConfigError: when a layer is none; the message shows its place in the file.
            ShapeError: when the layers do not fit the shape.
        """
        lines: list[Line] = []
        for line in self.lines:
            layer = parse(line.text)
            if layer.op != STACK:
                lines.append(line)
                continue
            where = inner(self.path, line.place)
            comes_in = Layers(self.path, self.origin, lines).built(shape).output_shape if lines else tuple(shape)
            layer = parse(line.source, f"{self.origin}: {where}")
            images = (channels or DEFAULT_CHANNELS, side or DEFAULT_SIDE)
            for text in stack(layer, comes_in, *images):
                new = _line(text, line.place, where, self.origin, notes)
                lines.append(Line(new.text, line.source, line.place, [layer.column] * len(new.text)))
            if any(option.name == "max_channels" for option in layer.options):
                notes.inform(where, "max_channels bounds nothing there, and nothing here")
            says = f"{STACK} is written out for images of {images[1]} x {images[1]} and {images[0]} channels"
            if side is None:
                notes.warn(where, f"{says}; the file does not say their size")
            else:
                notes.inform(where, f"{says}, and for no others")
        return Layers(self.path, self.origin, lines)


_PLACE = re.compile(r"layer (?P<layer>\d+), column (?P<column>\d+): (?P<says>.*)")


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
    lines = []
    for place, text in enumerate(values):
        where = inner(path, place)
        if not isinstance(text, str):
            raise ConfigError(f"{origin}: {where} is {shown(text)}; a layer is a text such as 'conv 64'")
        if text.split()[:1] == ["initializer"]:
            notes.inform(where, f"{shown(text)} is obsolete; left out")
            continue
        lines.append(_line(text, place, where, origin, notes))
    return Layers(path, origin, lines)


def _line(source: str, place: int, where: str, origin: str, notes: Notes) -> Line:
    """The translation of a layer, with one space between words."""
    layer = parse(source, f"{origin}: {where}")
    signs = [(sign, column) for column, sign in enumerate(source, 1)]
    for start, end, new in sorted(_edits(layer, where, notes), reverse=True):
        signs[start:end] = [(sign, start + 1) for sign in new]
    kept: list[tuple[str, int]] = []
    for word in re.finditer(r"\S+", "".join(sign for sign, _ in signs)):
        kept += [*([(" ", signs[word.start()][1])] if kept else []), *signs[word.start() : word.end()]]
    return Line("".join(sign for sign, _ in kept), source, place, [column for _, column in kept])


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
