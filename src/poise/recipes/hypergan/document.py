"""JSON as people write it by hand: with comments, trailing commas and keys that are switched off."""

import json
import re
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from poise.errors import ConfigError

__all__ = ["Document", "inner", "read"]


@dataclass
class Document:
    """What a text says.

    Attributes:
        value: what it holds.
        repeated: the paths of names that were given again, with whether the values differed; the last one counts.
    """

    value: Any = None
    repeated: dict[str, bool] = field(default_factory=dict)


def read(text: str, origin: str) -> Document:
    """Read a text as JSON that may have, besides, ``//`` and ``/* */`` comments and a comma before a closing bracket.

    Names that begin with ``//`` are left out with their values, as comments are. NaN and infinities are no JSON.

    Args:
        text: the text.
        origin: what it comes from, for messages.

    Raises:
        ConfigError: when it is not JSON; the message tells line and column.
    """
    return _Reader(text, origin).read()


def inner(path: str, name: str | int) -> str:
    """The path of a value in the one at ``path``: ``trainer.hooks[0].gamma``; odd names are quoted."""
    if isinstance(name, int):
        return f"{path}[{name}]"
    shown = name if _PLAIN.fullmatch(name) else json.dumps(name)
    return f"{path}.{shown}" if path else shown


_PLAIN = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_SPACE = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_OPEN_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?(?![\w.])", re.ASCII)
_WORD = re.compile(r"[^\s,:\[\]{}\"]+|.", re.DOTALL)
_CONSTANTS = {"true": True, "false": False, "null": None}
_DEEPEST = 64  # values in values; each takes frames of Python's stack
_LONGEST = 400  # characters of a number


class _Reader:
    """A walk through one text."""

    def __init__(self, text: str, origin: str) -> None:
        self.text = text
        self.origin = origin
        self.at = 0
        self.document = Document()

    def read(self) -> Document:
        self.skip()
        if self.at == len(self.text):
            raise ConfigError(f"{self.origin} is empty; give a HyperGAN configuration, which is JSON")
        self.document.value = self.value("", 0)
        self.skip()
        if self.at < len(self.text):
            raise self.expected("the end of the file")
        return self.document

    def error(self, message: str) -> ConfigError:
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - (self.text.rfind("\n", 0, self.at) + 1) + 1
        return ConfigError(f"{self.origin} is not JSON: line {line}, column {column}: {message}")

    def expected(self, what: str) -> ConfigError:
        found = _WORD.match(self.text, self.at)
        return self.error(f"{what} is expected, not {ascii(found[0][:40]) if found else 'the end of the file'}")

    def skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        if self.text.startswith("/*", self.at):
            raise self.error("the comment is never closed")

    def next_is(self, sign: str) -> bool:
        """Whether this sign comes next; it is taken."""
        self.skip()
        if self.text.startswith(sign, self.at):
            self.at += 1
            return True
        return False

    def value(self, path: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise self.error(f"more than {_DEEPEST} values are nested in each other")
        self.skip()
        if self.text.startswith('"', self.at):
            return self.string()
        if self.next_is("{"):
            return self.object(path, depth)
        if self.next_is("["):
            return self.array(path, depth)
        number = _NUMBER.match(self.text, self.at)
        if number:
            return self.number(number)
        word = _WORD.match(self.text, self.at)
        if word and word[0] in _CONSTANTS:
            self.at = word.end()
            return _CONSTANTS[word[0]]
        raise self.expected("a value")

    def string(self) -> str:
        found = _OPEN_STRING.match(self.text, self.at)
        start, self.at = self.at, found.end() if found else self.at
        if not self.text.startswith('"', self.at) or self.at == start:
            raise self.error("the text is not closed here, or has a sign that a text in JSON cannot have")
        self.at += 1
        text: str = json.loads(self.text[start : self.at])
        return text

    def number(self, found: re.Match[str]) -> int | float:
        if len(found[0]) > _LONGEST or not isfinite(float(found[0])):
            raise self.error("the number is too large")
        self.at = found.end()
        return float(found[0]) if found[1] or found[2] else int(found[0])

    def object(self, path: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not self.next_is("}"):
            if not self.text.startswith('"', self.at):
                raise self.expected("a name in double quotes, or '}'")
            name = self.string()
            if not self.next_is(":"):
                raise self.expected("':'")
            value = self.value(inner(path, name), depth + 1)
            if not name.startswith("//"):
                if name in values:
                    differ = self.document.repeated.get(inner(path, name), False) or values[name] != value
                    self.document.repeated[inner(path, name)] = differ
                values[name] = value
            if not self.next_is(",") and not self.text.startswith("}", self.at):
                raise self.expected("',' or '}'")
        return values

    def array(self, path: str, depth: int) -> list[Any]:
        values: list[Any] = []
        while not self.next_is("]"):
            values.append(self.value(inner(path, len(values)), depth + 1))
            if not self.next_is(",") and not self.text.startswith("]", self.at):
                raise self.expected("',' or ']'")
        return values
