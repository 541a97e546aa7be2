"""Numbers in configs, told from what else would be read as one: ``true`` as 1, and text such as ``"3"``."""

from collections.abc import Callable, Iterator
from math import isfinite
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

__all__ = ["NUMBER", "Mistake", "mistakes"]


class Mistake(NamedTuple):
    """Something that is no number, where one belongs.

    Attributes:
        place: where it is in what was given, such as ``.0`` in a list.
        given: what it is.
        why: what should be there.
    """

    place: str
    given: Any
    why: str


def mistakes(given: Any, annotation: Any, place: str = "") -> Iterator[Mistake]:
    """What is no finite number, where an annotation has room for numbers and not for what it is.

    Args:
        given: a value, or a list of values, that is given for an argument.
        annotation: the argument's.
        place: where the value is.
    """
    if isinstance(given, list | tuple):
        for index, item in enumerate(given):
            yield from mistakes(item, annotation, f"{place}.{index}")
        return
    kinds = set(_kinds(annotation))
    if not kinds & {int, float} or type(given) in kinds & {bool, str} or Any in kinds:
        return
    why = _why_no_number(given)
    if why:
        yield Mistake(place, given, why)


def _why_no_number(given: Any) -> str:
    if isinstance(given, bool):
        return "input should be a number, not true or false"
    if isinstance(given, str):
        return "input should be a number, not text"
    return "" if not isinstance(given, float) or isfinite(given) else "input should be a finite number"


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types of what an annotation has room for, also within lists."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from map(type, get_args(annotation))
    elif origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin is None or origin is Callable:
        yield annotation
    else:
        for part in get_args(annotation):
            yield from _kinds(part)


def _number(given: Any) -> Any:
    why = _why_no_number(given)
    if why:
        raise PydanticCustomError("number", why)
    return given


NUMBER = BeforeValidator(_number)
"""Lets a field of type int or float take nothing but finite numbers."""
