"""From layer strings to a network: the grammar says what is written, the ops what it makes."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

from torch import nn
from torch.nn.utils import parametrize

from poise.errors import ConfigError, PoiseError, ShapeError, nearest
from poise.models.arguments import Bound, Kind, Parameter, bind, parameters, read
from poise.models.conditional import Projection, require_classes
from poise.models.grammar import Layer, Value, parse
from poise.models.initialize import INITIALIZERS
from poise.models.layers import Combine, EqualLinear, Noise, Recall
from poise.models.network import Network
from poise.models.ops import OPS
from poise.models.site import BODY, BRANCH, Built, Op, Shape, Site
from poise.models.spectral import normalize
from poise.models.weights import is_scaled, weighted

__all__ = ["build", "initializer_of", "layer_options"]

Initializer: TypeAlias = Callable[[nn.Module], object]


def build(
    layers: Sequence[str],
    input_shape: Sequence[int],
    *,
    initializer: str | Initializer | None = None,
    ops: Mapping[str, Op] = MappingProxyType({}),
    classes: int = 0,
) -> Network:
    """The network of these layers, each of which takes what the one before it gives.

    A layer is an op, its arguments, and its options: ``conv 64 stride=2 name=features``. All shapes follow from the
    input's. :data:`poise.models.OPS` has every op. Besides its own options each takes ``name``, under which later
    layers can read what it gives, and those with weights take

    - ``initializer=orthogonal`` or ``initializer=(normal 0 0.02)``: how the weights begin; see
      :data:`poise.models.INITIALIZERS`; layers at an equalized learning rate draw theirs themselves;
    - ``spectral_norm=true``: weights divided by their largest singular value (Miyato et al. 2018, arXiv 1802.05957);
    - ``trainable=false``: weights that stay as they begin.

    Every use of a layer makes a new module. Names are visible inside this network only.

    Args:
        layers: the layers, in order.
        input_shape: the shape of a sample: ``(features,)``, ``(c, length)`` or ``(c, h, w)``.
        initializer: how the weights of all layers begin that do not say it themselves: a text as in the option, or a
            function of a module. None leaves torch's own.
        ops: further ops by name; see :mod:`poise.models.ops`.
        classes: make it a discriminator of samples and labels of so many classes: the last layer, which must be linear,
            gets a projection of the label on what comes into it (Miyato and Koyama 2018, arXiv 1802.05637). 0 for none.

    Returns:
        A module from ``(n, *input_shape)`` to ``(n, *output_shape)``; with classes it takes labels ``(n,)``, too.

    Raises:
        ConfigError: when a layer is not written as it must be; the message shows the place.
        ShapeError: when a layer does not take what comes in; the message shows the place.

    Example:
        >>> build(["conv 64 stride=2", "lrelu", "linear 1 bias=false"], (3, 32, 32)).output_shape
        (1,)
    """
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise ConfigError(f"layers is a {type(layers).__name__}; give a list of texts such as ['linear 128', 'relu']")
    if not layers:
        raise ConfigError("layers is empty; give at least one text, as in ['linear 128']")
    shape = tuple(input_shape)
    if not 1 <= len(shape) <= 3 or not all(isinstance(size, int) and size >= 1 for size in shape):
        raise ShapeError(f"input_shape is {shape}; it must be (features,), (c, length) or (c, h, w), each at least 1")
    require_classes(classes)
    drawing = initializer_of(initializer) if isinstance(initializer, str) else initializer
    return _Builder(shape, drawing, {**OPS, **ops}).network(layers, classes)


class _Builder:
    """The state of building one network: which names there are, and what they give."""

    def __init__(self, input_shape: Shape, initializer: Initializer | None, ops: Mapping[str, Op]) -> None:
        self.input_shape = input_shape
        self.initializer = initializer
        self.ops = ops
        self.named: dict[str, Shape] = {}
        self.owners: dict[str, str] = {}

    def network(self, texts: Sequence[str], classes: int) -> Network:
        made: dict[str, nn.Module] = {}
        shapes: list[Shape] = []
        shape = self.input_shape
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise ConfigError(f"layer {place + 1} is {text!r}; a layer is a text such as 'conv 64'")
            built = self.layer(parse(text, f"layer {place + 1}"), shape)
            made[built.name or str(place)] = built.module
            shape = built.shape
            shapes.append(shape)
        if classes:
            key, head = list(made.items())[-1]
            features = prod(shapes[-2] if len(shapes) > 1 else self.input_shape)
            made[key] = _projection(parse(texts[-1], f"layer {len(texts)}"), head, features, prod(shape), classes)
        return Network(made, [" ".join(text.split()) for text in texts], shapes, self.input_shape, classes)

    def layer(self, layer: Layer, shape: Shape) -> Built:
        """The module of a layer that takes ``shape``."""
        op = self.ops.get(layer.op)
        if op is None:
            raise _error(layer, layer.column, f"there is no op '{layer.op}' {nearest(layer.op, self.ops)}")
        within: list[nn.Module] = []
        running = shape

        def reader(parameter: Parameter, value: Value) -> Any:
            nonlocal running
            if parameter.kind is BRANCH and isinstance(value.value, str):
                return self.branch(layer, value, value.value, shape)
            if parameter.kind is _INITIALIZER and isinstance(value.value, str | Layer):
                word = value.value
                return _drawing(word if isinstance(word, Layer) else Layer(word, (), (), value.column, layer.source))
            if not parameter.kind.takes_layers or not isinstance(value.value, Layer):
                return read(layer.op, parameter, value, layer)
            built = self.layer(value.value, running)
            within.append(built.module)
            if parameter.kind is BODY:
                running = built.shape
            return built

        bound = bind(layer, [*parameters(op), *_COMMON], reader)
        own = {keyword: value for keyword, value in bound.options.items() if keyword not in _COMMON_NAMES}
        common = {name: bound.options.get(name) for name in _COMMON_NAMES}
        module, shape = self.made(layer, op, Site(shape, self.input_shape, dict(self.named)), bound, own)
        self.prepare(layer, module, within, common, bound.columns)
        name = common["name"] or ""
        if name:
            self.claim(layer, name, bound.columns["name"], shape)
        return Built(module, shape, name)

    def branch(self, layer: Layer, value: Value, word: str, shape: Shape) -> Built:
        """What a word beside layers in parentheses stands for."""
        if word == "self":
            return Built(nn.Identity(), shape)
        if word == "noise":
            return Built(Noise(shape), shape)
        if word not in self.named:
            known = nearest(word, ["self", "noise", *self.named])
            raise _error(
                layer, value.column, f"{layer.op} reads '{word}', and no layer before it has that name {known}"
            )
        return Built(Recall(word), self.named[word])

    def made(
        self, layer: Layer, op: Op, site: Site, bound: Bound, options: Mapping[str, Any]
    ) -> tuple[nn.Module, Shape]:
        """Call the op; what it refuses gets its place."""
        try:
            return op(site, *bound.arguments, **options)
        except (ConfigError, ShapeError) as error:
            column = bound.columns.get(getattr(error, "at", None) or "", layer.column)
            if isinstance(error, ShapeError):
                raise _error(layer, column, f"{layer.op} {error}; {site.shape} comes in", ShapeError) from error
            raise _error(layer, column, f"{layer.op} {error}") from error
        except (RuntimeError, TypeError, OverflowError, MemoryError) as error:
            reason = "its weights are more than memory holds; take smaller sizes"
            if not _is_of_size(error):
                reason = str(error).partition("\n")[0]
            raise _error(layer, layer.column, f"{layer.op} cannot be made: {reason}") from error

    def prepare(
        self,
        layer: Layer,
        module: nn.Module,
        within: Sequence[nn.Module],
        common: Mapping[str, Any],
        columns: Mapping[str, int],
    ) -> None:
        """Draw the weights, and do what the options say of them. Layers in parentheses had theirs already."""
        done = {id(part) for other in within for part in other.modules()}
        own = [part for part in module.modules() if id(part) not in done]
        weights = [part for part in weighted(module) if id(part) not in done]
        for option in ("initializer", "spectral_norm"):
            if common[option] and not weights:
                reason = (
                    f"{layer.op} has no linear layer and no convolution of its own, and {option}= is for their weights"
                )
                raise _error(layer, columns[option], reason)
        if common["initializer"] and all(map(is_scaled, weights)):
            reason = (
                f"{layer.op} scales its weights at run time, and so draws them itself (equalized learning rate): leave "
                "initializer= out"
            )
            raise _error(layer, columns["initializer"], reason)
        if common["trainable"] is not None and not any(True for _ in module.parameters()):
            raise _error(layer, columns["trainable"], f"{layer.op} has no weights that trainable= could change")
        initializer = common["initializer"] or self.initializer
        if initializer is not None:
            try:
                for part in own:
                    if not any(True for _ in part.children()):
                        initializer(part)
            except (RuntimeError, ValueError, ZeroDivisionError) as error:
                raise _error(
                    layer, columns.get("initializer", layer.column), f"the initializer fails: {error}"
                ) from error
        if common["spectral_norm"]:
            for part in weights:
                normalize(part)
        if common["trainable"] is False:
            module.requires_grad_(False)

    def claim(self, layer: Layer, name: str, column: int, shape: Shape) -> None:
        """Give what a layer gives a name."""
        if name in self.named:
            raise _error(layer, column, f"{self.owners[name]} is named '{name}' already; choose another name")
        if name in _TAKEN:
            raise _error(layer, column, f"the name '{name}' has a meaning already; choose another")
        self.named[name] = shape
        self.owners[name] = layer.source.where


def _projection(layer: Layer, head: nn.Module, features: int, outputs: int, classes: int) -> Projection:
    """The last layer of a discriminator of classes."""
    if not isinstance(head, nn.Linear | EqualLinear):
        reason = "the projection of labels is on what comes into a linear layer; with classes the list must end in one"
        raise _error(layer, layer.column, f"{reason}, such as 'linear 1'")
    projection = Projection(head, features, outputs, classes)
    if parametrize.is_parametrized(head, "weight"):
        normalize(projection.vectors)
    return projection


# Words of the language, and attributes of the modules whose children are named.
_TAKEN = frozenset({"self", "noise", *dir(Network({}, (), ((1,),), (1,))), *dir(Combine("add", {}))})

_INITIALIZER = Kind(
    f"one of {', '.join(INITIALIZERS)}, alone or with its values in parentheses",
    lambda value: isinstance(value, str),
    takes_layers=True,
)


def layer_options(
    site: Site,
    *,
    name: str | None = None,
    initializer: Annotated[Initializer, _INITIALIZER] | None = None,
    spectral_norm: bool = False,
    trainable: bool | None = None,
) -> None:
    """A name to read the layer by later; how weights begin, whether their spectrum is bounded, and if they train."""


_COMMON = parameters(layer_options)
_COMMON_NAMES = [parameter.name for parameter in _COMMON]


def _is_of_size(error: Exception) -> bool:
    """Whether torch could not make a tensor because of its size, which it says in words of each device's own."""
    words = ("allocate", "overflow", "out of memory")
    return isinstance(error, OverflowError | MemoryError) or any(word in str(error).lower() for word in words)


def _error(layer: Layer, column: int, message: str, kind: type[PoiseError] = ConfigError) -> PoiseError:
    return layer.source.error(column, message, kind)


def initializer_of(text: str) -> Initializer:
    """The initializer of a whole network that a text stands for, as in a layer's option, with parentheses or without.

    Args:
        text: such as ``orthogonal`` or ``normal 0 0.02``.

    Raises:
        ConfigError: when it is not written as it must be.
    """
    bare = text.strip()
    return _drawing(parse(bare[1:-1] if bare[:1] + bare[-1:] == "()" else bare, "initializer"))


def _drawing(layer: Layer) -> Initializer:
    """The function that what follows ``initializer=`` stands for."""
    function = INITIALIZERS.get(layer.op)
    if function is None:
        raise _error(layer, layer.column, f"there is no initializer '{layer.op}' {nearest(layer.op, INITIALIZERS)}")
    bound = bind(layer, parameters(function), lambda parameter, value: read(layer.op, parameter, value, layer))
    return lambda module: function(module, *bound.arguments, **bound.options)
