"""What ops take: the kinds of values, and how a written layer's values meet a function's parameters.

An op is a function, and its signature says all: a positional parameter is an argument, every parameter can be given by
name, and the annotation says which values are right. Annotations are ``int``, ``float``, ``bool``, ``str``, a
``Literal`` of words, or one of the kinds below. A parameter whose default is None takes ``null`` too. A trailing
underscore keeps a name clear of Python's own: ``filter_`` is written ``filter=``.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args, get_origin

from poise.errors import ConfigError, nearest
from poise.models.grammar import Layer, Option, Plain, Shape, Value

__all__ = [
    "AtLeastZero",
    "Bound",
    "Count",
    "Dims",
    "Kind",
    "OpenDims",
    "Parameter",
    "Positive",
    "Share",
    "Size",
    "bind",
    "parameters",
    "read",
]


@dataclass(frozen=True)
class Kind:
    """Which values a parameter takes.

    Attributes:
        says: what a right value is, in words.
        accepts: whether a plain value is right.
        convert: makes of a right value what the op is given.
        takes_layers: whether a layer in parentheses is right, too.
    """

    says: str
    accepts: Callable[[Plain], bool]
    convert: Callable[[Any], Any] = lambda value: value
    takes_layers: bool = False


def _is_whole(value: Plain, least: int | None = None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)


def _is_number(value: Plain) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_shape(value: Plain, is_open: bool = False) -> bool:
    sizes = value.sizes if isinstance(value, Shape) else (value,)
    known = [size for size in sizes if not (is_open and size == -1)]
    return len(sizes) <= 3 and len(known) >= len(sizes) - 1 and all(_is_whole(size, least=1) for size in known)


def _dims(value: int | Shape) -> tuple[int, ...]:
    """Sizes in the order of tensors, channels first."""
    return tuple(reversed(value.sizes)) if isinstance(value, Shape) else (value,)


Count: TypeAlias = Annotated[int, Kind("a whole number at least 1", lambda value: _is_whole(value, least=1))]
"""A whole number at least 1."""

Size: TypeAlias = Annotated[int, Kind("a whole number at least 0", lambda value: _is_whole(value, least=0))]
"""A whole number at least 0."""

Positive: TypeAlias = Annotated[float, Kind("a number above 0", lambda value: _is_number(value) and value > 0, float)]
"""A number above 0."""

AtLeastZero: TypeAlias = Annotated[
    float, Kind("a number at least 0", lambda value: _is_number(value) and value >= 0, float)
]
"""A number at least 0."""

Share: TypeAlias = Annotated[
    float,
    Kind("a number at least 0 and below 1", lambda value: _is_number(value) and 0 <= value < 1, float),
]
"""A number in [0, 1)."""

Dims: TypeAlias = Annotated[tuple[int, ...], Kind("a whole number at least 1, or a shape W*H*C", _is_shape, _dims)]
"""A number or a written shape; the op is given the sizes channels first."""

OpenDims: TypeAlias = Annotated[
    tuple[int, ...],
    Kind("a shape W*H*C, of which one size may be -1", lambda value: _is_shape(value, is_open=True), _dims),
]
"""A written shape, of which one size may be -1 for what is left; the op is given the sizes channels first."""

_KINDS = {
    int: Kind("a whole number", _is_whole),
    float: Kind("a number", _is_number, float),
    bool: Kind("true or false", lambda value: isinstance(value, bool)),
    str: Kind("a word", lambda value: isinstance(value, str)),
}

REQUIRED = inspect.Parameter.empty


class Parameter(NamedTuple):
    """What an op takes under one name.

    Attributes:
        name: as it is written.
        keyword: its name in the op's signature.
        kind: its values.
        default: what it is where it is not given, or :data:`REQUIRED`.
        is_argument: whether it can be given by its place.
        is_rest: whether it takes all arguments from its place on.
    """

    name: str
    keyword: str
    kind: Kind
    default: Any = REQUIRED
    is_argument: bool = False
    is_rest: bool = False


class Bound(NamedTuple):
    """A call of an op, and where its values were written.

    Attributes:
        arguments: the positional arguments.
        options: the keyword arguments.
        columns: where each parameter that was given was written.
    """

    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    columns: Mapping[str, int]


def parameters(op: Callable[..., Any]) -> tuple[Parameter, ...]:
    """What ``op`` takes after its first parameter.

    Raises:
        TypeError: when a parameter has an annotation that no text can give.
    """
    taken = list(inspect.signature(op, eval_str=True).parameters.values())[1:]
    return tuple(
        Parameter(
            it.name.rstrip("_"),
            it.name,
            _kind(it),
            it.default,
            it.kind is not it.KEYWORD_ONLY,
            it.kind is it.VAR_POSITIONAL,
        )
        for it in taken
    )


def _kind(parameter: inspect.Parameter) -> Kind:
    """The kind that an annotation stands for, or that of the first part of ``... | None``."""
    for annotation in (parameter.annotation, *get_args(parameter.annotation)):
        if isinstance(annotation, Kind):
            return annotation
        if get_origin(annotation) is Literal:
            return _one_of(get_args(annotation))
        if get_origin(annotation) is Annotated:
            return next(it for it in get_args(annotation) if isinstance(it, Kind))
        if annotation in _KINDS:
            return _KINDS[annotation]
    raise TypeError(f"the annotation of {parameter} says nothing about what may be written")


def _one_of(words: tuple[str, ...]) -> Kind:
    return Kind(f"one of {', '.join(words)}", lambda value: value in words)


Reader: TypeAlias = Callable[[Parameter, Value], Any]
"""Makes of a written value what the op is given."""


def read(op: str, parameter: Parameter, value: Value, layer: Layer) -> Any:
    """A plain value, checked and converted.

    Raises:
        ConfigError: when it is of another kind.
    """
    if value.value is None and parameter.default is None:
        return None
    if not isinstance(value.value, Layer) and parameter.kind.accepts(value.value):
        return parameter.kind.convert(value.value)
    raise layer.source.error(
        value.column, f"{op} takes {parameter.name}: {parameter.kind.says}, not '{value.text}'", ConfigError
    )


def bind(layer: Layer, taken: Iterable[Parameter], reader: Reader) -> Bound:
    """Match the values of a written layer with what its op takes.

    Args:
        layer: the layer.
        taken: what the op takes.
        reader: makes values of what is written.

    Raises:
        ConfigError: when an option is unknown, a value is of another kind, or there are too few or too many.
    """
    by_name = {parameter.name: parameter for parameter in taken}
    places = [parameter for parameter in by_name.values() if parameter.is_argument]
    positional: list[Any] = []
    given: dict[str, int] = {}
    for place, value in enumerate(layer.arguments):
        rest = places[-1] if places and places[-1].is_rest else None
        parameter = places[place] if place < len(places) else rest
        if parameter is None:
            raise layer.source.error(
                value.column, f"{_takes(layer.op, places)}, and '{value.text}' is one more", ConfigError
            )
        positional.append(reader(parameter, value))
        given.setdefault(parameter.name, value.column)
    named: dict[str, Any] = {}
    for option in layer.options:
        parameter = _option(layer, option, by_name)
        if parameter.name in given:
            message = f"{layer.op} has its {option.name} already, as an argument"
            raise layer.source.error(option.column, message, ConfigError)
        named[parameter.keyword] = reader(parameter, option.value)
        given[parameter.name] = option.column
    for parameter in by_name.values():
        if parameter.name not in given and parameter.default is REQUIRED and not parameter.is_rest:
            message = f"{layer.op} takes {parameter.name}: {parameter.kind.says}, and none is given"
            raise layer.source.error(layer.column, message, ConfigError)
    return Bound(tuple(positional), named, given)


def _option(layer: Layer, option: Option, by_name: Mapping[str, Parameter]) -> Parameter:
    parameter = by_name.get(option.name)
    if parameter is None or parameter.is_rest:
        options = [name for name, it in by_name.items() if not it.is_rest]
        message = f"{layer.op} has no option '{option.name}' {nearest(option.name, options)}"
        raise layer.source.error(option.column, message, ConfigError)
    return parameter


def _takes(op: str, places: list[Parameter]) -> str:
    if not places:
        return f"{op} takes no arguments"
    return f"{op} takes {len(places)} argument{'s' if len(places) > 1 else ''} ({', '.join(it.name for it in places)})"
