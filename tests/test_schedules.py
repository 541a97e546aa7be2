"""Schedules against their formulas, and the contract that all of them keep."""

import math
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from poise.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Linear,
    Schedule,
    Scheduled,
    Step,
    described,
    greatest,
    least,
    value_at,
)

EXAMPLES: dict[str, Callable[[], Schedule]] = {
    "constant": lambda: Constant(0.5),
    "linear": lambda: Linear(from_=2.0, to=-1.0, start=100, end=400),
    "cosine": lambda: Cosine(from_=2.0, to=-1.0, start=100, end=400),
    "step": lambda: Step(values=[3.0, 2.0, -1.0], at=[100, 400]),
}


def test_every_schedule_has_an_example() -> None:
    assert set(EXAMPLES) == set(SCHEDULES)
    assert all(type(make()) is SCHEDULES[name] for name, make in EXAMPLES.items())


@pytest.mark.parametrize("name", SCHEDULES)
def test_contract(name: str) -> None:
    schedule, again = EXAMPLES[name](), EXAMPLES[name]()
    assert schedule is not again
    assert schedule == again
    assert hash(schedule) == hash(again)
    assert repr(schedule).startswith(f"{type(schedule).__name__}(")
    assert eval(repr(schedule)) == schedule
    with pytest.raises(FrozenInstanceError):
        setattr(schedule, fields(schedule)[0].name, 7.0)  # type: ignore[arg-type]
    for kimg in (0, 99.9, 100, 250, 400, 1e6):
        assert value_at(schedule, kimg) == schedule(kimg)
        assert math.isfinite(schedule(kimg))


def test_different_schedules_are_not_equal() -> None:
    assert len({make() for make in EXAMPLES.values()}) == len(EXAMPLES)
    assert Linear(1, 0, end=10) != Cosine(1, 0, end=10)
    assert Linear(1, 0, end=10) != Linear(1, 0, end=11)
    assert Constant(1.0) != Constant(2.0)


def test_a_number_is_its_own_value() -> None:
    assert value_at(0.25, 0) == value_at(0.25, 1e9) == 0.25


def test_constant() -> None:
    assert Constant(0.1)(0) == Constant(0.1)(123.4) == 0.1


@pytest.mark.parametrize(
    ("kimg", "value"), [(0, 2), (100, 2), (175, 1.25), (250, 0.5), (325, -0.25), (400, -1), (9e9, -1)]
)
def test_linear(kimg: float, value: float) -> None:
    assert EXAMPLES["linear"]()(kimg) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize(
    ("kimg", "value"),
    [(0, 2), (100, 2), (200, 1.25), (250, 0.5), (300, -0.25), (400, -1), (9e9, -1)],  # cos 60 degrees is one half
)
def test_cosine(kimg: float, value: float) -> None:
    assert EXAMPLES["cosine"]()(kimg) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize("schedule", [Linear, Cosine])
def test_ramps_are_exact_at_both_ends_and_start_at_zero(schedule: Callable[..., Schedule]) -> None:
    ramp = schedule(from_=0.1, to=0.3, end=0.7)
    assert ramp(0.0) == 0.1
    assert ramp(0.7) == 0.3
    assert 0.1 < ramp(1e-3) < ramp(0.35) < ramp(0.7 - 1e-3) < 0.3


def test_a_value_of_a_step_begins_at_its_position() -> None:
    schedule = EXAMPLES["step"]()
    assert [schedule(kimg) for kimg in (0, 99.999, 100, 399.999, 400, 1e9)] == [3, 3, 2, 2, -1, -1]
    assert Step([5.0], [])(10) == 5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Linear(1, 0, end=10, start=20),
            "end is 10 kimg, start is 20 kimg; a schedule must end after it starts",
        ),
        (lambda: Cosine(1, 0, end=0), "end is 0 kimg, start is 0 kimg; a schedule must end after it starts"),
        (lambda: Linear(math.nan, 0, end=10), "from is nan; a schedule needs finite numbers"),
        (lambda: Cosine(1, math.inf, end=10), "to is inf; a schedule needs finite numbers"),
        (lambda: Linear(1, 0, end=math.inf), "end is inf; a schedule needs finite numbers"),
        (lambda: Linear(1, 0, end=10, start=-math.inf), "start is -inf; a schedule needs finite numbers"),
        (lambda: Constant(math.nan), "value is nan; a schedule needs finite numbers"),
        (lambda: Step([1, 2], [5, 6]), "values has 2 numbers, at has 2; a step schedule needs one value more"),
        (lambda: Step([], []), "values has 0 numbers, at has 0"),
        (lambda: Step([1, 2, 3], [6, 5]), "at has 5 kimg after 6 kimg; the positions must increase"),
        (lambda: Step([1, 2, 3], [5, 5]), "at has 5 kimg after 5 kimg; the positions must increase"),
        (lambda: Step([1, math.nan], [5]), "a number in values is nan; a schedule needs finite numbers"),
        (lambda: Step([1, 2], [math.nan]), "a number in at is nan; a schedule needs finite numbers"),
    ],
)
def test_out_of_range(make: Callable[[], Schedule], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_scheduled_makes_with_the_options_of_the_start() -> None:
    make = Scheduled(
        lambda *given, **options: (given, options),
        lr=Linear(1.0, 0.0, end=10),
        betas=(Step([0.0, 0.5], [4]), 0.99),
        eps=1e-8,
        milestones=(1, 2),
    )
    assert make("weights") == (("weights",), {"lr": 1.0, "betas": (0.0, 0.99), "eps": 1e-8, "milestones": (1, 2)})
    assert make.at(5) == {"lr": 0.5, "betas": (0.5, 0.99)}


def test_scheduled_without_schedules_changes_nothing() -> None:
    calls = []
    make = Scheduled(lambda **options: calls.append(options) or options, lr=0.1, betas=(0.0, 0.99))
    assert make() == {"lr": 0.1, "betas": (0.0, 0.99)}
    assert make.at(100) == {}
    assert len(calls) == 1


class _Optimizer:
    """Refuses what Adam refuses, and says so."""

    def __init__(self, weights: Iterable[str], lr: float, betas: tuple[float, float] = (0.0, 0.99)) -> None:
        self.weights, self.lr, self.betas = list(weights), lr, betas
        if not lr >= 0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Invalid betas: {betas}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr": Linear(1, -1, end=10)}, r"Invalid learning rate: -1.0 \(lr is scheduled down to -1.0\)"),
        (
            {"lr": 0.1, "betas": (Linear(0, 1.5, end=0.1), 0.9)},
            r"Invalid betas: \(1.5, 0.9\) \(betas is scheduled up to \(1.5, 0.9\)\)",
        ),
        (
            {"lr": 0.1, "betas": (0.5, Step([0.9, -1, 0.9], [5, 6]))},
            r"Invalid betas: \(0.5, -1.0\) \(betas is scheduled down to",
        ),
        ({"lr": -1.0, "betas": (Linear(0, 0.5, end=1), 0.9)}, "^Invalid learning rate: -1.0$"),  # no schedule's fault
    ],
)
def test_options_that_leave_their_range_later_are_refused_at_the_start(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Scheduled(_Optimizer, **options)(["weight"])


def test_what_is_scheduled_is_given_an_iterator_whole() -> None:
    made = Scheduled(_Optimizer, lr=Linear(1, 0, end=10), betas=(Constant(0), Linear(0, 0.9, end=3)))(iter("ab"))
    assert (made.weights, made.lr, made.betas) == (["a", "b"], 1.0, (0.0, 0.0))


@pytest.mark.parametrize("make", [lambda: Linear(1, 0, end=2), lambda: Cosine(1, 0, end=2), lambda: Step([1, 0], [2])])
def test_values_are_floats_also_where_integers_were_given(make: Callable[[], Schedule]) -> None:
    for kimg in (0, 1, 2, 3):
        assert type(make()(kimg)) is float
    assert type(Constant(1)(0)) is float
    assert {type(least(make())), type(greatest(make()))} == {float}


def test_knows_no_torch() -> None:
    code = "import sys, poise.schedules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_extremes() -> None:
    assert (least(0.5), greatest(0.5)) == (0.5, 0.5)
    assert (least(Cosine(from_=1, to=-2, end=5)), greatest(Cosine(from_=1, to=-2, end=5))) == (-2, 1)
    assert (least(Step((3, 1, 2), (1, 2))), greatest(Step((3, 1, 2), (1, 2)))) == (1, 3)
    assert least(Constant(4)) == 4


def test_described() -> None:
    assert described(0.5) == "0.5"
    assert described(Step((3, 1, 2), (1, 2))) == "scheduled down to 1.0 and up to 3.0"
