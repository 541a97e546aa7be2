"""How a check fails: what was expected, what was seen, and what to change."""

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

__all__ = ["attempt", "broken", "require_kind", "shown"]

# Letters of the message of somebody else's error; the error itself stands behind ours, whole.
_LONGEST = 300


def broken(what: str, expected: str, seen: str, change: str) -> AssertionError:
    """The error of a promise that is not kept.

    Args:
        what: the part, and what was asked of it.
        expected: what the contract promises.
        seen: what came instead.
        change: what to do about it.
    """
    return AssertionError(f"{what}: expected {expected}; saw {seen}: {change}")


def shown(value: object) -> str:
    """What a value is, where it is not what was expected."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def require_kind(value: object, kind: type | tuple[type, ...], what: str, expected: str, change: str) -> None:
    """Refuse what is no instance of a class.

    Args:
        value: what was given.
        kind: the class, or several.
        what: see :func:`broken`, as the following.
        expected: the class in words.
        change: what to do about it.

    Raises:
        AssertionError: when it is none.
    """
    if not isinstance(value, kind):
        raise broken(what, expected, shown(value), change)


@contextmanager
def attempt(what: str, change: str, expected: str = "no error") -> Iterator[None]:
    """For what a part does: whatever it raises is a promise that is not kept.

    Args:
        what: the part, and what is asked of it.
        change: what to do where it fails.
        expected: what an error contradicts.

    Raises:
        AssertionError: when something was raised, which is its cause.
    """
    try:
        yield
    except Exception as error:
        seen = f"{type(error).__name__} ({shorten(str(error), _LONGEST)})"
        raise broken(what, expected, seen, change) from error
