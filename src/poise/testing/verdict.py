"""How a check fails: what was expected, what was seen, and what to change."""

from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import shorten

__all__ = ["attempt", "broken"]

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
