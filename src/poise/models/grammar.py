"""Layer strings as syntax trees. What an op means, the grammar does not know.

A layer is written on one line::

    layer  = op value* option*
    option = name "=" value
    value  = number | "true" | "false" | "null" | word | shape | "(" layer ")"
    shape  = number "*" number ...

as in ``conv 64 stride=2``, ``linear 4*4*512 bias=false`` or ``add self (conv 64 initializer=(normal 0 0.02))``. Words
are letters, digits and underscores, and do not begin with a digit. Shapes are written width first: ``W*H*C``.
"""

import re
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple, TypeAlias, TypeVar

from poise.errors import ConfigError, PoiseError

__all__ = ["Layer", "Option", "Plain", "Shape", "Source", "Value", "parse"]

_Error = TypeVar("_Error", bound=PoiseError)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a layer was written.

    Attributes:
        where: what the text is, as in "layer 2".
        text: the whole text.
    """

    where: str
    text: str

    def error(self, column: int, message: str, kind: type[_Error]) -> _Error:
        """An error of this ``kind`` that tells the place, and shows it with a caret.

        Args:
            column: the place in the text, from 1.
            message: what is wrong there.
            kind: the class of the error.
        """
        shown = re.sub(r"\s", " ", self.text)  # a tab or a line break would put the caret elsewhere
        return kind(f"{self.where}, column {column}: {message}\n  {shown}\n  {' ' * (column - 1)}^")


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes joined by ``*``, in the order in which they were written: width first, channels last."""

    sizes: tuple[int, ...]


Plain: TypeAlias = int | float | bool | str | Shape | None
"""What a value that is no layer stands for."""


@dataclass(frozen=True, slots=True)
class Value:
    """An argument, or what follows the ``=`` of an option.

    Attributes:
        value: what it stands for; a word is a ``str``.
        text: how it was written.
        column: where it begins, from 1.
    """

    value: "Plain | Layer"
    text: str
    column: int


@dataclass(frozen=True, slots=True)
class Option:
    """A ``name=value``.

    Attributes:
        name: the name.
        value: the value.
        column: where the name begins, from 1.
    """

    name: str
    value: Value
    column: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: an op with its arguments and options.

    Attributes:
        op: the op's name.
        arguments: the arguments, in order.
        options: the options, in order; no two of one name.
        column: where the op begins, from 1.
        source: the text that it is part of.
    """

    op: str
    arguments: tuple[Value, ...]
    options: tuple[Option, ...]
    column: int
    source: Source


def parse(text: str, where: str = "layer 1") -> Layer:
    """Read a layer.

    Args:
        text: the layer as it is written.
        where: what errors call it.

    Raises:
        ConfigError: when the text is no layer; it shows the place.
    """
    return _Reader(Source(where, text)).read()


class _Token(NamedTuple):
    text: str
    column: int


_TOKEN = re.compile(r"[()=]|[^\s()=]+")
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_SHAPE = re.compile(r"-?\d+(\*-?\d+)+", re.ASCII)
_CONSTANTS = {"true": True, "false": False, "null": None}
_LONGEST = 18  # digits of a number that 64 bits hold
_DEEPEST = 32  # layers in layers; each takes frames of Python's stack


class _Reader:
    """A walk through the tokens of one text."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = [_Token(match[0], match.start() + 1) for match in _TOKEN.finditer(source.text)]
        self.at = 0

    def read(self) -> Layer:
        if not self.tokens:
            raise self.error(1, "the layer is empty; it begins with an op, as in 'conv 64 stride=2'")
        layer = self.layer(depth=0)
        if self.at < len(self.tokens):
            raise self.error(self.tokens[self.at].column, "')' has no '(' before it")
        return layer

    def error(self, column: int, message: str) -> ConfigError:
        return self.source.error(column, message, ConfigError)

    def next_is(self, *texts: str) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].text in texts

    def take(self) -> _Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def layer(self, depth: int) -> Layer:
        op = self.take()
        if depth > _DEEPEST:
            raise self.error(op.column, f"more than {_DEEPEST} layers are nested in each other")
        if not _WORD.fullmatch(op.text):
            raise self.error(op.column, f"a layer begins with an op, not with '{op.text}'")
        arguments: list[Value] = []
        options: list[Option] = []
        while self.at < len(self.tokens) and not self.next_is(")"):
            token = self.take()
            if token.text == "=":
                raise self.error(token.column, "'=' has no option's name before it")
            if self.next_is("="):
                options.append(self.option(token, options, depth))
            elif options:
                raise self.error(
                    token.column, f"'{token.text}' comes after {options[-1].name}=; arguments come before options"
                )
            else:
                arguments.append(self.value(token, depth))
        return Layer(op.text, tuple(arguments), tuple(options), op.column, self.source)

    def option(self, name: _Token, before: list[Option], depth: int) -> Option:
        if not _WORD.fullmatch(name.text):
            raise self.error(name.column, f"'{name.text}' cannot be the name of an option")
        if any(name.text == option.name for option in before):
            raise self.error(name.column, f"{name.text}= is given twice")
        equals = self.take()
        if self.at == len(self.tokens) or self.next_is(")", "="):
            raise self.error(equals.column, f"{name.text}= has no value")
        return Option(name.text, self.value(self.take(), depth), name.column)

    def value(self, token: _Token, depth: int) -> Value:
        if token.text != "(":
            return Value(self.plain(token), token.text, token.column)
        if self.next_is(")"):
            raise self.error(token.column, "'()' holds no layer")
        if self.at == len(self.tokens):
            raise self.error(token.column, "'(' is never closed")
        layer = self.layer(depth + 1)
        if not self.next_is(")"):
            raise self.error(token.column, "'(' is never closed")
        end = self.take()
        return Value(layer, self.source.text[token.column - 1 : end.column], token.column)

    def plain(self, token: _Token) -> Plain:
        text = token.text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _WORD.fullmatch(text):
            return text
        digits = max((len(run) for run in re.findall(r"\d+", text)), default=0)
        if _WHOLE.fullmatch(text) and digits <= _LONGEST:
            return int(text)
        if _SHAPE.fullmatch(text) and digits <= _LONGEST:
            return Shape(tuple(int(size) for size in text.split("*")))
        if _NUMBER.fullmatch(text) and not _WHOLE.fullmatch(text) and isfinite(float(text)):
            return float(text)
        if any(pattern.fullmatch(text) for pattern in (_WHOLE, _SHAPE, _NUMBER)):
            raise self.error(token.column, f"'{text}' is too large a number")
        raise self.error(token.column, f"'{text}' is no number, no word and no shape; shapes are written W*H*C")
