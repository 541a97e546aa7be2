"""An object of the file as it is read: what of it had no meaning is never forgotten."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeVar

from poise.recipes.hypergan.document import inner

__all__ = ["Fields", "Note", "Notes", "is_number", "shown"]

_Default = TypeVar("_Default", bound=float | None)


class Note(NamedTuple):
    """Something in the file that has no meaning here, or another one.

    Attributes:
        path: its place, such as ``trainer.hooks[0].gamma``; empty for the whole.
        says: what becomes of it.
        changes_outcome: whether what is trained is not what HyperGAN would have trained.
    """

    path: str
    says: str
    changes_outcome: bool

    def __str__(self) -> str:
        return f"{self.path}: {self.says}" if self.path else self.says


class Notes(list[Note]):
    """Notes in the order in which they were made."""

    def warn(self, path: str, says: str) -> None:
        """Note what changes the outcome."""
        self.append(Note(path, says, True))

    def inform(self, path: str, says: str) -> None:
        """Note what changes nothing that is trained."""
        self.append(Note(path, says, False))


# What decides how a training looks, and not how it goes.
_COSMETIC = frozenset(
    "comment comments debug description hypergan_version info license log log_every metric metrics name print "
    "print_every publication sample_every sampler samplers save_every skip_metrics title url verbose verify "
    "viewer viewer_size".split()
)


class Fields:
    """An object, of which values are taken by name; see :meth:`close`.

    Args:
        values: the values by name; ``null`` counts as not given.
        path: its place in the file.
        notes: where to note what has no meaning.
    """

    def __init__(self, values: Mapping[str, Any], path: str, notes: Notes) -> None:
        self.path = path
        self.notes = notes
        self._left = {name: value for name, value in values.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def path_of(self, name: str) -> str:
        """The path of one of its values."""
        return inner(self.path, name)

    def peek(self, *names: str) -> Any:
        """The first of these values that is given; it is not taken."""
        return next((self._left[name] for name in names if name in self._left), None)

    def take(self, *names: str) -> Any:
        """Take the first of these values that is given."""
        name = self._first(names)
        return None if name is None else self._left.pop(name)

    def number(
        self, *names: str, default: _Default, least: float | None = None, most: float | None = None
    ) -> float | _Default:
        """Take a number, at least ``least`` and at most ``most``; note anything else, and give the default.

        A text that reads as a number is one, as it is for HyperGAN.
        """
        name = self._first(names)
        if name is None:
            return default
        given = self._left.pop(name)
        value = _as_number(given)
        if value is None or (least is not None and value < least) or (most is not None and value > most):
            limits = [
                f" {word} {limit:g}" for word, limit in (("at least", least), ("at most", most)) if limit is not None
            ]
            self._refuse(name, given, f"a number{' and'.join(limits)}", default)
            return default
        return value

    def count(self, *names: str, default: _Default, least: int) -> int | _Default:
        """Take a whole number that is at least ``least`` and not absurd; note anything else, and give the default."""
        name = self._first(names)
        if name is None:
            return default
        given = self._left.pop(name)
        value = _as_number(given)
        if value is None or value != int(value) or not least <= value <= _MOST:
            self._refuse(name, given, f"a whole number from {least} to {_MOST:,}", default)
            return default
        return int(value)

    def flag(self, *names: str) -> bool:
        """Take a truth value; note anything else, and give False."""
        name = self._first(names)
        if name is None:
            return False
        value = self._left.pop(name)
        if not isinstance(value, bool | int) or value not in (0, 1):
            self._refuse(name, value, "true or false", False)
            return False
        return bool(value)

    def words(self, *names: str) -> list[str]:
        """Take a text, or a list of texts; note anything else, and give none."""
        name = self._first(names)
        if name is None:
            return []
        value = self._left.pop(name)
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            self.notes.warn(self.path_of(name), f"{shown(value)} is not a text or a list of texts; left out")
            return []
        return words

    def object(self, *names: str) -> "Fields | None":
        """Take an object; note anything else, and give None."""
        name = self._first(names)
        if name is None:
            return None
        value = self._left.pop(name)
        if not isinstance(value, dict):
            self.notes.warn(self.path_of(name), f"{shown(value)} is not an object; left out")
            return None
        return Fields(value, self.path_of(name), self.notes)

    def objects(self, name: str) -> "list[Fields]":
        """Take a list of objects; note anything else in it."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            value = [value]
        found = []
        for place, item in enumerate(value):
            path = inner(self.path_of(name), place)
            if isinstance(item, dict):
                found.append(Fields(item, path, self.notes))
            else:
                self.notes.warn(path, f"{shown(item)} is not an object; left out")
        return found

    def drop(self, *names: str, says: str, changes_outcome: bool = False) -> None:
        """Take those of these values that are given, and note the same of each."""
        for name in names:
            if name in self._left:
                del self._left[name]
                self.notes.append(Note(self.path_of(name), says, changes_outcome))

    def close(self, changes_outcome: bool | None = None, says: str = "has no meaning here") -> None:
        """Note every value that nobody took.

        Args:
            changes_outcome: whether they change the outcome; if it is not said, all but those that never do.
            says: what to note.
        """
        for name in self._left:
            changes = name not in _COSMETIC if changes_outcome is None else changes_outcome
            self.notes.append(Note(self.path_of(name), says, changes))
        self._left.clear()

    def ignore(self) -> None:
        """Forget what is left: one note about the whole object was enough."""
        self._left.clear()

    def _first(self, names: Collection[str]) -> str | None:
        return next((name for name in names if name in self._left), None)

    def _refuse(self, name: str, value: Any, wanted: str, default: Any) -> None:
        taken = "left out" if default is None else f"{shown(default)} is taken"
        self.notes.warn(self.path_of(name), f"{shown(value)} is not {wanted}; {taken}")


def shown(value: Any) -> str:
    """A value as JSON, on one line and not too long."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII)


def _as_number(value: Any) -> float | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    return float(value) if is_number(value) and abs(value) <= _GREATEST else None


# Nothing that is meant is as large; counts are multiplied with each other, and 64 bits must hold the product.
_GREATEST, _MOST = 1e300, 10**9
