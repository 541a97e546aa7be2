r"""Schedules: settings that change with progress.

A schedule is a function of kimg, the thousands of real images shown to the discriminator. A setting is a
:data:`Number`: a plain number or a schedule; :func:`value_at` reads either. This module knows no torch.

In a config a schedule is written with the names of its arguments, ``from_`` without the underscore that Python needs:
``{class: cosine, from: 2e-4, to: 0, end: 500}``.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, isfinite, pi
from types import MappingProxyType
from typing import Any

__all__ = [
    "SCHEDULES",
    "Constant",
    "Cosine",
    "Linear",
    "Number",
    "Schedule",
    "Scheduled",
    "Step",
    "described",
    "greatest",
    "least",
    "value_at",
]


class Schedule(ABC):
    """A number as a function of progress. Subclasses are final, frozen and compared by value."""

    @abstractmethod
    def __call__(self, kimg: float) -> float:
        """The number at ``kimg`` thousand real images."""

    @property
    def extremes(self) -> tuple[float, ...]:
        """Numbers between the least and the greatest of which all others lie; of one's own, that of the start."""
        return (self(0.0),)


Number = float | Schedule
"""A setting that stays, or one that changes with progress."""


def value_at(number: Number, kimg: float) -> float:
    """The value of a number or schedule.

    Args:
        number: a number, which is its own value at all times, or a schedule.
        kimg: thousands of real images shown so far.
    """
    return number(kimg) if isinstance(number, Schedule) else number


def least(number: Number) -> float:
    """The smallest value that a number or schedule takes."""
    return min(number.extremes) if isinstance(number, Schedule) else number


def greatest(number: Number) -> float:
    """The largest value that a number or schedule takes."""
    return max(number.extremes) if isinstance(number, Schedule) else number


def described(number: Number) -> str:
    """A number as a message shows it; of a schedule, where it goes."""
    if isinstance(number, Schedule):
        return f"scheduled down to {least(number)} and up to {greatest(number)}"
    return str(number)


def _finite(name: str, value: float) -> float:
    """A number as a float, also where an integer was given: torch's optimizers tell the two apart."""
    if not isfinite(value):
        raise ValueError(f"{name} is {value}; a schedule needs finite numbers")
    return float(value)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same at all times.

    Args:
        value: that number.

    Raises:
        ValueError: when it is not finite.
    """

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _finite("value", self.value))

    def __call__(self, kimg: float) -> float:
        """``value``, whatever ``kimg`` is."""
        return self.value


@dataclass(frozen=True)
class _Ramp(Schedule):
    """One value before a stretch of training, another after it, and on the stretch a way between them."""

    from_: float
    to: float
    end: float
    start: float = 0.0

    def __post_init__(self) -> None:
        for name in ("from_", "to", "start", "end"):
            object.__setattr__(self, name, _finite(name.rstrip("_"), getattr(self, name)))
        if self.end <= self.start:
            raise ValueError(
                f"end is {self.end:g} kimg, start is {self.start:g} kimg; a schedule must end after it starts"
            )

    @property
    def extremes(self) -> tuple[float, ...]:
        """Its two ends."""
        return (self.from_, self.to)

    def __call__(self, kimg: float) -> float:
        """``from_`` up to ``start``, ``to`` from ``end`` on, both exactly; the formula between."""
        if kimg <= self.start:
            return self.from_
        if kimg >= self.end:
            return self.to
        return self._between((kimg - self.start) / (self.end - self.start))

    @abstractmethod
    def _between(self, t: float) -> float:
        """The value at the share t of the stretch, in (0, 1)."""


@dataclass(frozen=True)
class Linear(_Ramp):
    r"""A straight line from one value to another.

    .. math:: v = (1 - t)\,v_0 + t\,v_1, \qquad t = \frac{\mathrm{kimg} - \mathrm{start}}{\mathrm{end} - \mathrm{start}}

    with t held within [0, 1].

    Args:
        from_: the value :math:`v_0` up to ``start``.
        to: the value :math:`v_1` from ``end`` on.
        end: where the line ends, in kimg.
        start: where it starts, in kimg; before ``end``.

    Raises:
        ValueError: when a number is not finite, or ``end`` is not after ``start``.
    """

    def _between(self, t: float) -> float:
        return (1 - t) * self.from_ + t * self.to


@dataclass(frozen=True)
class Cosine(_Ramp):
    r"""Half a period of a cosine from one value to another: flat at both ends, steepest in the middle.

    .. math:: v = v_1 + (v_0 - v_1)\,\frac{1 + \cos \pi t}{2}

    with :math:`t` as in :class:`Linear`.

    Args:
        from_: the value :math:`v_0` up to ``start``.
        to: the value :math:`v_1` from ``end`` on.
        end: where the curve ends, in kimg.
        start: where it starts, in kimg; before ``end``.

    Raises:
        ValueError: when a number is not finite, or ``end`` is not after ``start``.

    Source: Loshchilov and Hutter 2016, SGDR: Stochastic Gradient Descent with Warm Restarts, arXiv 1608.03983, the way
    between two of its restarts.
    """

    def _between(self, t: float) -> float:
        return self.to + (self.from_ - self.to) * (1 + cos(pi * t)) / 2


@dataclass(frozen=True)
class Step(Schedule):
    """Constant pieces: ``values[i]`` from ``at[i - 1]`` up to, but not at, ``at[i]``.

    Args:
        values: the value before the first position, then the one from each position on.
        at: the positions in kimg, increasing; one fewer than the values.

    Raises:
        ValueError: when a number is not finite, the counts do not fit, or the positions do not increase.
    """

    values: Sequence[float]
    at: Sequence[float]

    def __post_init__(self) -> None:
        # Tuples, so that schedules are hashable and one that was given lists equals one that was given tuples.
        for name in ("values", "at"):
            numbers = tuple(_finite(f"a number in {name}", value) for value in getattr(self, name))
            object.__setattr__(self, name, numbers)
        if len(self.values) != len(self.at) + 1:
            raise ValueError(
                f"values has {len(self.values)} numbers, at has {len(self.at)}; a step schedule needs one value more "
                "than positions: the first value holds before the first position"
            )
        for before, after in pairwise(self.at):
            if after <= before:
                raise ValueError(f"at has {after:g} kimg after {before:g} kimg; the positions must increase")

    @property
    def extremes(self) -> tuple[float, ...]:
        """All its values."""
        return tuple(self.values)

    def __call__(self, kimg: float) -> float:
        """The value of the piece that ``kimg`` is in."""
        return self.values[bisect_right(self.at, kimg)]


SCHEDULES: Mapping[str, type[Schedule]] = MappingProxyType(
    {"constant": Constant, "linear": Linear, "cosine": Cosine, "step": Step}
)
"""Every schedule by its name."""


class Scheduled:
    """Something to be made, such as an optimizer, with options of which some change with progress.

    Args:
        make: takes the options by name, after whatever :meth:`__call__` is given.
        **options: each a value, a schedule, or a tuple of numbers and schedules, such as Adam's ``betas``.
    """

    def __init__(self, make: Callable[..., Any], **options: Any) -> None:
        self.make = make
        self.options = options

    def __call__(self, *given: Any) -> Any:
        """Make it with the options of the start.

        It is also made, and dropped, with the least and the greatest values of each option that changes, so that a
        range which it checks holds for all of training. What is given as an iterator is read once, into a list.

        Raises:
            ValueError: when it refuses a value; of one that comes later, with the option's name.
        """
        given = tuple(list(it) if isinstance(it, Iterator) else it for it in given)
        start = self.options | self.at(0.0)
        made = self.make(*given, **start)
        for name in self.at(0.0):
            for way, extreme in (("down", least), ("up", greatest)):
                value = _read(self.options[name], extreme)
                try:
                    self.make(*given, **(start | {name: value}))
                except ValueError as error:
                    raise type(error)(f"{error} ({name} is scheduled {way} to {value})") from error
        return made

    def at(self, kimg: float) -> dict[str, Any]:
        """The options that change, as they are at ``kimg`` thousand real images."""
        return {
            name: _read(option, lambda number: value_at(number, kimg))
            for name, option in self.options.items()
            if _changes(option)
        }


def _changes(option: Any) -> bool:
    return isinstance(option, Schedule) or (isinstance(option, tuple | list) and any(map(_changes, option)))


def _read(option: Any, value_of: Callable[[Number], float]) -> Any:
    """An option with a value in place of each schedule."""
    return tuple(map(value_of, option)) if isinstance(option, tuple | list) else value_of(option)
